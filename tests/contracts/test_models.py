"""What every model promises; collected from the folder."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from objectives import base, models
from objectives.base import Member, ObjectiveError, Settings, State
from objectives.draws import initialized

LATENT = 6
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 8, 8), (1, 1, 20)]
CASES = [(name, family) for family in ("autoencoder", "vae", "gan") for name in models.serving(family)]
each = pytest.mark.parametrize(("name", "family"), CASES, ids=[f"{family}-{name}" for name, family in CASES])


def build(name: str, family: str, shape: models.Shape, seed: int = 0) -> Any:
    return initialized(seed, lambda: models.build(name, family, shape, LATENT))


def test_every_model_serves_a_family() -> None:
    assert {name for name, _ in CASES} == set(base.names("model"))


@each
def test_parts_have_the_shapes_that_the_family_expects(name: str, family: str) -> None:
    accepted = 0
    for shape in SHAPES:
        try:
            parts = build(name, family, shape)
        except ObjectiveError:
            continue
        accepted += 1
        size = math.prod(shape)
        x, z = torch.rand(5, size), torch.randn(5, LATENT)
        expected = {
            "autoencoder": {"encoder": (x, (5, LATENT)), "decoder": (z, (5, size))},
            "vae": {"encoder": (x, (5, 2 * LATENT)), "decoder": (z, (5, size))},
            "gan": {"generator": (z, (5, size)), "discriminator": (x, (5,))},
        }[family]
        assert set(parts) == set(expected)
        for part, (given, shape_out) in expected.items():
            out = parts[part](given).detach()
            assert out.shape == shape_out and bool(out.isfinite().all())
            if part == "generator":
                assert 0 <= float(out.min()) <= float(out.max()) <= 1
    assert accepted, "a model must accept one of the usual shapes"


@each
def test_a_seed_is_an_initialization_and_there_is_no_hidden_state(name: str, family: str) -> None:
    first, again, other = (build(name, family, (1, 8, 8), seed) for seed in (1, 1, 2))
    for part, module in first.items():
        assert not list(module.buffers()), "a buffer is state that neither the optimizer, a checkpoint nor the member axis knows"
        assert all(torch.equal(p, q) for p, q in zip(module.parameters(), again[part].parameters(), strict=True))
        assert any(not torch.equal(p, q) for p, q in zip(module.parameters(), other[part].parameters(), strict=True))


@each
def test_hidden_activations_pass_through_the_hook(name: str, family: str) -> None:
    for part, module in build(name, family, (1, 8, 8)).items():
        seen: list[torch.Size] = []

        def hidden(h: torch.Tensor, seen: list[torch.Size] = seen) -> torch.Tensor:
            seen.append(h.shape)
            return torch.zeros_like(h)

        width = next(p for p in module.parameters() if p.ndim > 1).shape[1]
        x = torch.rand(3, width)
        out = module(x, hidden)
        linear = sum(p.ndim > 1 for p in module.parameters())
        assert len(seen) == linear - 1, part
        assert not seen or not torch.equal(out, module(x))


@each
def test_it_trains_alone_and_in_a_population(name: str, family: str) -> None:
    family_class: Any = base.load(family)
    for count in (1, 2):
        settings = Settings(dataset={"name": "digits", "train_size": 64}, epochs=1, model=name, batch_size=32)
        run = family_class(settings).start([Member(n, {"latent_dim": LATENT}, n) for n in range(count)])
        before = {player: theta.clone() for player, theta in run.thetas.items()}
        reports = run.step()
        assert [report.state for report in reports] == [State.COMPLETE] * count, reports[0].traceback
        assert all(not torch.equal(run.ended[0][player], theta[0]) for player, theta in before.items())


def test_an_unknown_model_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ObjectiveError, match="linear, mlp"):
        models.build("mlp400", "autoencoder", (1, 8, 8), 4)
