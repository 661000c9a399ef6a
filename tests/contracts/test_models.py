"""What every model promises; collected from the folder.

Shapes and counts are asked of models without memory (torch's meta device), everything else of small images. What costs seconds for the
models that are made for a GPU is slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from objectives import base, models, registry
from objectives.base import Member, ObjectiveError, Settings
from objectives.checks.alive import check
from objectives.draws import initialized
from objectives.models._convolutional import Deconv
from search.spec.keys import Spec
from search.spec.reading import resolve

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

LATENT = 6
SMALL = (1, 8, 8)
SHAPES = [SMALL, (1, 28, 28), (3, 32, 32), (3, 30, 45), (6, 17, 8), (1, 1, 20), (1, 1, 2)]  # six channels: a pack of two colour images
# Parameters of models that are made for a GPU: to map and to train them is slow; of the largest, to compute with them at all.
LARGE, LARGEST = 3_000_000, 10_000_000
N = 5


def build(name: str, family: str, shape: base.Shape, latent_dim: int = LATENT, seed: int = 0) -> dict[str, nn.Module]:
    return dict(initialized(seed, lambda: models.build(name, family, shape, latent_dim)))


def without_memory(name: str, family: str, shape: base.Shape, latent_dim: int = LATENT) -> dict[str, nn.Module]:
    """Parts whose parameters have a shape and no values. To draw values for the meta device loads a fifth of torch, so none are drawn."""
    with torch.device("meta"), patch.object(Tensor, "normal_", undrawn), patch.object(Tensor, "uniform_", undrawn):
        return dict(models.build(name, family, shape, latent_dim))


def undrawn(tensor: Tensor, *values: object, **options: object) -> Tensor:
    return tensor


def parts_of(family: str, shape: base.Shape) -> models.Parts:
    """What the family expects."""
    known: Any = registry.load(family)
    found: models.Parts = known.parts(shape, LATENT)
    return found


def sizes(parts: dict[str, nn.Module]) -> dict[str, int]:
    return {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}


def nudged(name: str, family: str, seed: int = 0) -> dict[str, nn.Module]:
    """Small and in double precision; the first values of some parameters are special (biases of 0), so all are moved a little."""
    parts = {part: module.double() for part, module in build(name, family, SMALL, seed=seed).items()}
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in {id(p): p for module in parts.values() for p in module.parameters()}.values():
            p.add_(torch.empty_like(p).normal_(0, 0.05, generator=generator))
    return parts


def inputs(family: str, part: str, shape: base.Shape = SMALL, n: int = N) -> Tensor:
    size, _ = parts_of(family, shape)[part]
    generator = torch.Generator().manual_seed(3)
    draw = torch.randn if size == LATENT else torch.rand
    return draw(n, size, generator=generator, dtype=torch.float64)


def probed(out: Tensor) -> Tensor:
    """A scalar in which every number of the output has a weight of its own."""
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(4), dtype=out.dtype)
    return (out * weights).sum()


FAMILIES = dict.fromkeys(family for name in registry.names("model") for family in models._file(name).BUILD)
CASES = [(name, family) for family in FAMILIES for name in models.serving(family)]
PARAMETERS = {case: sum(sizes(without_memory(*case, SMALL)).values()) for case in CASES}
IDS = [f"{family}-{name}" for name, family in CASES]
each = pytest.mark.parametrize(("name", "family"), CASES, ids=IDS)


def up_to(most: int) -> list[Any]:
    """The cases, those of more parameters marked as slow."""
    return [pytest.param(*case, marks=pytest.mark.slow) if PARAMETERS[case] > most else pytest.param(*case) for case in CASES]


each_light = pytest.mark.parametrize(("name", "family"), up_to(LARGE), ids=IDS)


def trained(case: tuple[str, str]) -> Any:
    """A case whose training is a minute of one core in `make test-all` alone; the others hold what makes models of its kind train."""
    marks = [pytest.mark.slow] * (PARAMETERS[case] > LARGE) + [pytest.mark.whole] * (PARAMETERS[case] > LARGEST)
    return pytest.param(*case, marks=marks)


each_trained = pytest.mark.parametrize(("name", "family"), [trained(case) for case in CASES], ids=IDS)


@dataclass
class Small:
    """A model that several tests look at, built once."""

    name: str
    family: str
    parts: dict[str, nn.Module]


@pytest.fixture(scope="module")
def small(request: pytest.FixtureRequest) -> Small:
    return Small(*request.param, nudged(*request.param))


each_small = pytest.mark.parametrize(
    "small", [pytest.param(case.values, marks=case.marks) for case in up_to(LARGEST)], ids=IDS, indirect=True, scope="module"
)


def test_every_model_serves_a_family() -> None:
    assert {name for name, _ in CASES} == set(registry.names("model"))
    for family in FAMILIES:
        assert parts_of(family, SMALL), f"{family} must say of which parts its models are"


@pytest.mark.sampled(8)
@each
def test_parts_have_the_shapes_that_the_family_expects(name: str, family: str) -> None:
    accepted = 0
    for shape in SHAPES:
        try:
            parts = without_memory(name, family, shape)
        except ObjectiveError as error:
            assert models._file(name).FITS in str(error)
            continue
        accepted += 1
        expected = parts_of(family, shape)
        assert set(parts) == set(expected)
        for part, (size, gives) in expected.items():
            assert parts[part](torch.zeros(N, size, device="meta")).shape == (N, *gives), (shape, part)
    assert accepted, "a model must accept one of the usual shapes"


@each
def test_it_has_as_many_parameters_as_published(name: str, family: str) -> None:
    published = getattr(models._file(name), "PUBLISHED", {})
    assert set(published) <= set(models._file(name).BUILD)
    if family in published:
        shape, latent_dim, counts = published[family]
        assert sizes(without_memory(name, family, shape, latent_dim)) == counts


@each
def test_what_was_published_with_it_is_a_spec(name: str, family: str) -> None:
    """Every knob exists, every value means something, nothing in it is refused together."""
    spec = Spec(objective=family, model=name)
    recipe = models.recipe(name, family)
    assert recipe.items() <= resolve(spec).fixed.items()
    knobs: Any = registry.load(family).knobs
    for knob, value in recipe.items():
        ours = knobs[knob]
        inside = value in ours.choices if ours.choices else value in (ours.off, ours.default) or ours.low / 20 <= value <= ours.high * 20
        assert inside, knob


@pytest.mark.sampled(8)
@each_small
def test_its_numbers_are_finite_and_generated_images_are_in_the_unit_interval(small: Small) -> None:
    for part, module in small.parts.items():
        with torch.no_grad():
            out = module(inputs(small.family, part))
        assert bool(out.isfinite().all()) and float(out.std()) > 0
        if part == "generator" and not getattr(models._file(small.name), "REAL_VALUED", False):
            assert 0 <= float(out.min()) <= float(out.max()) <= 1


@pytest.mark.sampled(8)
@each_light
def test_a_seed_is_an_initialization_and_there_is_no_hidden_state(name: str, family: str) -> None:
    first, again, other = (build(name, family, SMALL, seed=seed) for seed in (1, 1, 2))
    for part, module in first.items():
        assert not list(module.buffers()), "a buffer is state that neither the optimizer, a checkpoint nor the member axis knows"
        assert all(torch.equal(p, q) for p, q in zip(module.parameters(), again[part].parameters(), strict=True))
        assert any(not torch.equal(p, q) for p, q in zip(module.parameters(), other[part].parameters(), strict=True))


@pytest.mark.sampled(8)
@each_small
def test_every_parameter_has_a_gradient(small: Small) -> None:
    """Finite, and not zero but for biases that a normalization behind them takes out again, which then change nothing at all."""
    for part, module in small.parts.items():
        x = inputs(small.family, part)
        named = dict(module.named_parameters())
        found = dict(zip(named, torch.autograd.grad(probed(module(x)), list(named.values())), strict=True))
        assert all(bool(gradient.isfinite().all()) for gradient in found.values())
        least = 1e-10 * max(float(gradient.abs().max()) for gradient in found.values())
        idle = {key: named[key] for key, gradient in found.items() if float(gradient.abs().max()) <= least}
        for key in idle:
            owner = module.get_submodule(key.rpartition(".")[0])
            assert key.endswith("bias") and isinstance(owner, nn.Linear | nn.Conv2d | Deconv), f"{part}.{key} has no gradient"
        if idle:
            with torch.no_grad():
                before = module(x)
                moved = torch.func.functional_call(module, {key: value + 1.0 for key, value in idle.items()}, (x,))
                torch.testing.assert_close(moved, before, rtol=1e-9, atol=1e-9)


@pytest.mark.sampled(8)
@each_small
def test_every_hidden_activation_passes_through_the_hook(small: Small) -> None:
    """Behind a hook that makes zeros nothing of the image is left, but in the shortcuts of residual networks (1 × 1 convolutions)."""
    for part, module in small.parts.items():
        x = inputs(small.family, part)
        seen: list[torch.Size] = []
        uncovered: list[str] = []

        def zeros(h: Tensor, seen: list[torch.Size] = seen) -> Tensor:
            seen.append(h.shape)
            return torch.zeros_like(h)

        handles = [
            layer.register_forward_pre_hook(_watch(label, uncovered))
            for label, layer in module.named_modules()
            if isinstance(getattr(layer, "weight", None), Tensor) and layer.weight.ndim > 1
        ]
        out = module(x, zeros)
        for handle in handles:
            handle.remove()
        assert not uncovered, f"{part}: the input of {uncovered} did not pass through the hook"
        if seen:
            assert _same_for_all(out) and not torch.allclose(out, module(x))
        assert torch.equal(module(x, lambda h: h), module(x))


def _watch(label: str, uncovered: list[str]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def watch(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        shortcut = isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)
        # What depends on no parameter is the part's own input.
        if given[0].requires_grad and not _same_for_all(given[0]) and not shortcut:
            uncovered.append(label)

    return watch


def _same_for_all(x: Tensor) -> bool:
    return torch.allclose(x, x[:1].expand_as(x), rtol=1e-9, atol=1e-9)


@pytest.mark.sampled(8)
@each_light
def test_mapped_equals_one_by_one(name: str, family: str) -> None:
    """Output and gradient of two sets of parameters, in double precision."""
    first, second = nudged(name, family), nudged(name, family, seed=1)
    for part, module in first.items():
        x = inputs(family, part)

        def scalar(parameters: dict[str, Tensor], module: nn.Module = module, x: Tensor = x) -> tuple[Tensor, Tensor]:
            out = torch.func.functional_call(module, parameters, (x,), tie_weights=False)
            return (out.square().sum(), out)

        sets = [{key: p.detach() for key, p in one.named_parameters()} for one in (module, second[part])]
        stacked = {key: torch.stack([one[key] for one in sets]) for key in sets[0]}
        gradient = torch.func.grad(scalar, has_aux=True)
        mapped, outs = torch.func.vmap(gradient)(stacked)
        for k, one in enumerate(sets):
            alone, out = gradient(one)
            torch.testing.assert_close(outs[k], out, rtol=1e-9, atol=1e-12)
            for key, value in alone.items():
                scale = max(1.0, float(value.abs().max()))
                torch.testing.assert_close(mapped[key][k], value, rtol=1e-9, atol=1e-9 * scale, msg=f"{part}.{key}")


@pytest.mark.sampled(8)
@each_light
def test_the_check_finds_it_sound(name: str, family: str) -> None:
    kind: Any = registry.load(family)
    features = {"name": "randconv"} if family == "gan" else None
    assert check(kind(Settings({"name": "digits", "train_size": 64}, 2, name, batch_size=32, features=features)), []) == []


@pytest.mark.sampled(8)
@each_trained
def test_it_trains_alone_and_in_a_population(name: str, family: str) -> None:
    family_class: Any = registry.load(family)
    for count in (1, 2):
        settings = Settings(dataset={"name": "digits", "train_size": 64}, epochs=2, model=name, batch_size=32)
        run = family_class(settings).start([Member(n, {"latent_dim": LATENT}, n) for n in range(count)])
        before = {player: theta.clone() for player, theta in run.crew.thetas.items()}
        reports = run.step()
        assert [report.state for report in reports] == [None] * count, reports[0].traceback
        assert all(math.isfinite(report.rung_score) for report in reports)
        assert all(not torch.equal(run.crew.thetas[player][0], theta[0]) for player, theta in before.items())


def test_an_unknown_model_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ObjectiveError, match="linear, mlp"):
        models.build("mlp400", "autoencoder", SMALL, 4)
