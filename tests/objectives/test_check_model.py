"""The check finds what makes every answer worthless, whatever λ is, and names it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from objectives import base, guests, registry
from objectives.base import ObjectiveError, Settings
from objectives.checks.alive import WHOLE, check
from tests.borrowed import ForwardVAE
from tests.objectives.planted import Planted

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

DIGITS: dict[str, Any] = {"dataset": {"name": "digits", "train_size": 64}, "epochs": 4, "batch_size": 32}


class Layer(nn.Module):
    """A function as the last layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def mlp(inputs: int, outputs: int, *layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 10), nn.Tanh(), nn.Linear(10, outputs), *layers)


FAULTS: dict[str, tuple[str, Callable[[int, int], Mapping[str, nn.Module]], dict[str, Any]]] = {
    "frozen encoder": ("vae", lambda n, z: {"encoder": mlp(n, 2 * z, Layer(torch.detach)), "decoder": mlp(z, n)}, {}),
    "decoder ignores its code": (
        "autoencoder",
        lambda n, z: {"encoder": mlp(n, z), "decoder": mlp(z, n, Layer(lambda x: x.mean(0, keepdim=True).expand_as(x)))},
        {},
    ),
    "encoder ignores its image": (
        "autoencoder",
        lambda n, z: {"encoder": mlp(n, z, Layer(lambda x: x.mean(0, keepdim=True).expand_as(x))), "decoder": mlp(z, n)},
        {},
    ),
    "decoder gives no logits": (
        "vae",
        lambda n, z: {"encoder": mlp(n, 2 * z), "decoder": mlp(z, n, nn.Sigmoid())},
        {"output": "logits"},
    ),
    "generator out of range": ("gan", lambda n, z: {"generator": mlp(z, n), "discriminator": mlp(n, 1)}, {}),
    "discriminator gives no logits": (
        "gan",
        lambda n, z: {"generator": mlp(z, n, nn.Tanh()), "discriminator": mlp(n, 1, nn.Softplus())},
        {},
    ),
}


def objective(fault: str, monkeypatch: pytest.MonkeyPatch) -> base.Objective:
    family, make, options = FAULTS[fault]
    monkeypatch.setitem(globals(), "net", lambda shape, latent_dim: make(shape[0] * shape[1] * shape[2], latent_dim))
    features = {"name": "randconv"} if family == "gan" else None
    kind: Any = registry.load(family)
    found: base.Objective = kind(Settings(**DIGITS, model=f"{__name__}:net", features=features, **options))
    return found


class Whole(ForwardVAE):
    """One module, wrong in one method."""

    def __init__(self, wrong: str, x_dim: int, z_dim: int) -> None:
        super().__init__(x_dim, z_dim)
        self.wrong = wrong

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.fc1(x))
        mean, log_variance = self.fc31(h), self.fc32(h)
        return (mean.detach(), log_variance.detach()) if self.wrong == "frozen encoder" else (mean, log_variance)

    def decode(self, z: Tensor) -> Tensor:
        z = z * 0 if self.wrong == "decoder ignores its code" else z.detach() if self.wrong == "no gradient" else z
        return torch.sigmoid(self.fc6(torch.relu(self.fc4(z))))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("frozen encoder", "frozen encoder"),
        ("decoder ignores its code", "decoder ignores its code"),
        ("no gradient", "decoder ignores its code"),
        ("", ""),
    ],
)
def test_in_one_module_too(wrong: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "whole", lambda shape, z: Whole(wrong, 64, z))
    kind: Any = registry.load("vae")
    assert [one.fault for one in check(kind(Settings(**DIGITS, model=f"{__name__}:whole")), [])] == ([said] if said else [])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_worthless_model_is_named(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(objective(fault, monkeypatch))
    assert [one.fault for one in found if not one.passed] == [fault]
    assert found[0].knob == WHOLE and not found[1].proven and "not tried" in found[1].message


@pytest.mark.parametrize(("family", "likelihood"), [("autoencoder", None), ("vae", "bernoulli"), ("vae", "gaussian"), ("gan", None)])
def test_the_same_model_without_the_fault_is_sound(family: str, likelihood: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def net(shape: base.Shape, z: int) -> dict[str, nn.Module]:
        n = shape[0] * shape[1] * shape[2]
        last = [nn.Tanh()] if family == "gan" else []
        names = {"gan": ("discriminator", "generator")}.get(family, ("encoder", "decoder"))
        return {names[0]: mlp(n, {"gan": 1, "vae": 2 * z}.get(family, z)), names[1]: mlp(z, n, *last)}

    monkeypatch.setitem(globals(), "net", net)
    kind: Any = registry.load(family)
    settings = Settings(
        **DIGITS, model=f"{__name__}:net", likelihood=likelihood, features={"name": "randconv"} if family == "gan" else None
    )
    assert check(kind(settings), []) == []


class Own(Planted):
    """A user's objective whose probe goes wrong in one way."""

    def __init__(self, way: str) -> None:
        super().__init__(Settings({"name": "none"}, 1))
        self.way = way

    def probes(self, config: base.Config) -> Mapping[str, Any]:
        (player, inner), *_ = super().probes(config).items()
        return {player: Wrong(inner, self.way)}


class Wrong:
    def __init__(self, inner: Any, way: str) -> None:
        self._inner, self._way = inner, way

    def parameters(self) -> Mapping[str, Tensor]:
        found: Mapping[str, Tensor] = self._inner.parameters()
        return found

    def loss(self, config: base.Config) -> Tensor:
        found: Tensor = self._inner.loss(config)
        return found * {"loss not finite": float("nan"), "random loss": float(torch.rand(()))}.get(self._way, 1.0)

    def score(self, config: base.Config) -> float:
        return float(self._inner.score(config)) * (float(torch.rand(())) if self._way == "random score" else 1.0)


@pytest.mark.parametrize("way", ["loss not finite", "random loss", "random score"])
def test_what_is_random_or_not_finite_is_no_fault_of_a_lambda(way: str) -> None:
    """Once "unused coefficient" was said of a NaN, and "λ in the score" of every λ of a model that drops out when it is scored."""
    assert [(one.knob, one.fault) for one in check(Own(way)) if not one.passed] == [(WHOLE, way)]


def test_without_lambdas_the_model_is_looked_at_all_the_same() -> None:
    assert [one.fault for one in check(Own("random score"), [])] == ["random score"]


# Guests -----------------------------------------------------------------------------------------------------------------------------------


def test_a_guest_that_ends_the_program_is_named() -> None:
    with (
        pytest.raises(ObjectiveError, match=r"model 'mine:net' must not end the program; while it is built it raises SystemExit\(3\)"),
        guests.guest("model 'mine:net'", "while it is built"),
    ):
        raise SystemExit(3)


def test_a_guest_that_does_not_return_is_named_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guests, "NOTICE_SECONDS", 0.05)
    monkeypatch.setattr(guests, "LONGEST_SECONDS", 0.2)
    with (
        pytest.raises(ObjectiveError, match=r"model 'mine:net' must return while it is built; it has not for 0.2 s. Does it loop"),
        guests.guest("model 'mine:net'", "while it is built"),
    ):
        while True:
            time.sleep(0.01)
    assert "model 'mine:net' while it is built: has not returned for 0.05 s" in capsys.readouterr().err


def test_what_a_guest_prints_is_named_and_no_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with guests.guest("model 'mine:net'", "while it is built"):
        print("hello\nworld")
    print("ours")
    found = capsys.readouterr()
    assert found.out == "ours\n"
    assert found.err == "model 'mine:net' prints: hello\nmodel 'mine:net' prints: world\n"


def test_an_interrupt_by_hand_is_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), guests.guest("model 'mine:net'", "while it is built"):
        raise KeyboardInterrupt
