"""What every regularizer promises; collected from the folder, so a new file is tested without editing this one."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from objectives import base, regularizers
from objectives.draws import Live
from objectives.training import Terms

MODULES = regularizers.modules()
HOOKS = ("penalty", "layer", "corrupt", "before_step")
PLACES = ("autoencoder", "vae", "gan.generator", "gan.discriminator")


def having(hook: str) -> Any:
    return pytest.mark.parametrize("module", [pytest.param(m, id=name) for name, m in MODULES.items() if hasattr(m, hook)])


every = pytest.mark.parametrize(("name", "module"), MODULES.items(), ids=list(MODULES))


@every
def test_its_knob_is_a_lambda_named_like_the_file(name: str, module: ModuleType) -> None:
    knob = module.KNOB
    assert knob.name == name and knob.is_lambda and knob.default == knob.off
    assert knob.summary and knob.formula and knob.unit and knob.source and (module.__doc__ or "").strip()
    assert knob.choices or knob.low < knob.high
    assert knob.more in ("high", "low"), "one end of the range must be the more regularized one"
    assert not knob.log or knob.low > 0
    # The off value lies at the less regularized side of the range, or inside it where a knob can be turned both ways (β).
    assert knob.off <= knob.low if knob.more == "high" and knob.off < knob.low else knob.low <= knob.off <= knob.high


@every
def test_it_acts_somewhere(name: str, module: ModuleType) -> None:
    assert any(hasattr(module, hook) for hook in HOOKS)
    assert module.ON and set(module.ON) <= set(PLACES)
    for place in module.ON:
        family = place.split(".")[0]
        assert any(knob == name or knob.rsplit("_", 1)[0] == name for knob in base.load(family).knobs), family


@having("penalty")
def test_a_penalty_has_its_closed_form(module: ModuleType) -> None:
    assert module.examples()
    for terms, expected in module.examples():
        found = module.penalty(terms)
        assert found.shape == () and float(found) == pytest.approx(expected, rel=1e-6)


@having("penalty")
def test_the_gradient_of_a_penalty_is_that_of_finite_differences(module: ModuleType) -> None:
    for example, _ in module.examples():
        leaves = {f"kernels.{key}": value.double().requires_grad_() for key, value in example.kernels.items()}
        leaves |= {f"values.{key}": value.double().requires_grad_() for key, value in example.values.items()}
        split = {side: {key.split(".", 1)[1]: v for key, v in leaves.items() if key.startswith(side)} for side in ("kernels", "values")}
        terms = Terms(example.data.double(), split["values"], split["kernels"], example.net)
        found = torch.autograd.grad(module.penalty(terms), list(leaves.values()), allow_unused=True)
        for leaf, gradient in zip(leaves.values(), found, strict=True):
            slope = torch.zeros_like(leaf)
            with torch.no_grad():
                for index in range(leaf.numel()):
                    ends = []
                    for sign in (1, -1):
                        leaf.view(-1)[index] += sign * 1e-6
                        ends.append(float(module.penalty(terms)))
                        leaf.view(-1)[index] -= sign * 1e-6
                    slope.view(-1)[index] = (ends[0] - ends[1]) / 2e-6
            torch.testing.assert_close(torch.zeros_like(leaf) if gradient is None else gradient, slope, rtol=1e-5, atol=1e-6)


@having("penalty")
def test_a_penalty_at_zero_weights_has_a_finite_gradient(module: ModuleType) -> None:
    """A λ of 0 beside a neighbour's λ multiplies this gradient: 0 · NaN would poison a member that has the penalty off."""
    for example, _ in module.examples():
        kernels = {key: torch.zeros_like(value).requires_grad_() for key, value in example.kernels.items()}
        if kernels:
            gradients = torch.autograd.grad(
                module.penalty(Terms(example.data, example.values, kernels, example.net)), list(kernels.values())
            )
            assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@having("layer")
def test_a_layer_is_unbiased_and_off_to_the_bit(module: ModuleType) -> None:
    x = torch.linspace(-1, 2, 50)
    assert torch.equal(module.layer(x, Live(0), module.KNOB.off), x)
    value = 0.5 * (module.KNOB.low + module.KNOB.high)
    many = module.layer(x.expand(20_000, -1), Live(0), value)
    assert not torch.equal(many[0], x)
    torch.testing.assert_close(many.mean(0), x, rtol=0, atol=0.06)


@having("corrupt")
def test_corruption_is_off_to_the_bit(module: ModuleType) -> None:
    x = torch.linspace(0, 1, 64).view(4, 16)
    assert torch.equal(module.corrupt(x, Live(0), module.KNOB.off), x)
    assert not torch.equal(module.corrupt(x, Live(0), module.KNOB.high), x)


@having("before_step")
def test_a_step_is_off_to_the_bit_and_each_members_own(module: ModuleType) -> None:
    knob = module.KNOB
    start = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kernels = torch.tensor([1.0, 0.0] * 4, dtype=torch.float64)
    still = start.clone()
    module.before_step(still, 0.01, knob.off, kernels)
    assert torch.equal(still, start)
    rates, values = torch.tensor([[0.1], [0.01], [0.02]]).double(), torch.tensor([[knob.off], [knob.low], [knob.high]]).double()
    together = start.clone()
    module.before_step(together, rates, values, kernels)
    for k in range(3):
        alone = start[k].clone()
        module.before_step(alone, float(rates[k]), float(values[k]), kernels)
        torch.testing.assert_close(together[k], alone, rtol=0, atol=1e-15)
    assert not torch.equal(together[2][kernels == 1], start[2][kernels == 1])
    assert torch.equal(together[:, kernels == 0], start[:, kernels == 0])
