"""What a user's model gives is found out, and what cannot be trained is said by name."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from objectives import models, registry
from objectives.base import Member, ObjectiveError, Settings, State
from objectives.models import _verified
from search.running.working.pack import Pack
from search.running.working.work import Assigned

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

SHAPE, LATENT = (1, 8, 8), 3
PARTS = {"encoder": (64, (2 * LATENT,)), "decoder": (LATENT, (64,))}
BERNOULLI = {"encoder": "posterior", "decoder": "logits"}
GAUSSIAN = {"encoder": "posterior", "decoder": "pixels"}


def mlp(*layers: nn.Module, inputs: int = LATENT, outputs: int = 64) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 10), nn.ReLU(), nn.Linear(10, outputs), *layers)


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Build a VAE with this decoder or this encoder."""

    def built(decoder: Callable[[], nn.Module] = mlp, meanings: dict[str, str] = BERNOULLI, output: str | None = None, **own: Any) -> Any:
        encoder = own.get("encoder", lambda: mlp(inputs=64, outputs=2 * LATENT))
        monkeypatch.setitem(globals(), "net", lambda shape, latent_dim: {"encoder": encoder(), "decoder": decoder()})
        return models.build(f"{__name__}:net", "vae", SHAPE, LATENT, PARTS, meanings, output)

    return built


class Halved(nn.Module):
    """σ(x), scaled by a weight that starts at 0: at its first weights it is ½ everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.scale * x)


@pytest.mark.parametrize(
    ("last", "meanings", "output", "link"),
    [
        ([], BERNOULLI, None, "as it is"),
        ([nn.Sigmoid()], BERNOULLI, None, "logit"),
        ([nn.BatchNorm1d(64), nn.Sigmoid()], BERNOULLI, None, "logit"),
        ([Halved()], BERNOULLI, None, "logit"),
        ([nn.Hardtanh(0, 1)], BERNOULLI, None, "logit"),
        ([nn.Tanh()], BERNOULLI, None, "logit of centred"),
        ([nn.BatchNorm1d(64)], BERNOULLI, None, "as it is"),
        ([nn.Sigmoid()], BERNOULLI, "logits", "as it is"),
        ([nn.Sigmoid()], GAUSSIAN, None, "as it is"),
        ([nn.Tanh()], GAUSSIAN, None, "centred"),
        ([nn.Tanh()], GAUSSIAN, "pixels", "as it is"),
        ([], GAUSSIAN, None, "as it is"),
        ([], GAUSSIAN, "logits", "sigmoid"),
    ],
)
def test_what_a_decoder_gives_is_found_out(
    build: Callable[..., Any], last: list[nn.Module], meanings: dict[str, str], output: str | None, link: str
) -> None:
    parts = build(lambda: mlp(*last), meanings, output)
    assert parts["decoder"].form.link == link
    z = torch.randn(5, LATENT)
    raw = parts["decoder"].module.eval()(z)
    if meanings == BERNOULLI and "logit" in link:
        expected = raw if link == "logit" else (raw + 1) / 2
        torch.testing.assert_close(torch.sigmoid(parts["decoder"](z)), expected, rtol=1e-4, atol=1e-5)


def test_what_is_said_of_a_decoder_must_be_true(build: Callable[..., Any]) -> None:
    with pytest.raises(
        ObjectiveError, match=r"output: probabilities says that the decoder gives numbers in \[0, 1\]; on large random codes"
    ):
        build(mlp, BERNOULLI, "probabilities")


class Codes(nn.Module):
    """What an encoder may wrongly do."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.linear, self.other = way, nn.Linear(64, LATENT), nn.Linear(64, LATENT)

    def forward(self, x: Tensor) -> Any:
        mean, log_variance = self.linear(x), self.other(x)
        found: dict[str, Callable[[], Any]] = {
            "triple": lambda: (mean, log_variance, mean),
            "single": lambda: mean,
            "dict": lambda: {"mean": mean},
            "python": lambda: (mean * random.random(), log_variance),
            "multinomial": lambda: (mean + torch.multinomial(torch.ones(4), 1), log_variance),
        }
        return found[self.way]()


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("triple", ["tuple of (2, 3), (2, 3), (2, 3)", "Return (mean, log-variance), (n, 3) each"]),
        ("single", ["must make (n, 6) of (n, 64)", "it makes (2, 3)", "latent_dim"]),
        ("dict", ["dict; it must return a tensor"]),
        ("python", ["two calls give different numbers", "numpy"]),
        ("multinomial", ["must draw random numbers by dropout, randn"]),
    ],
)
def test_what_is_wrong_with_an_encoder_is_said(build: Callable[..., Any], way: str, said: list[str]) -> None:
    with pytest.raises(ObjectiveError) as error:
        build(encoder=lambda: Codes(way))
    assert all(text in str(error.value) for text in said), str(error.value)


def test_channels_last_is_refused(build: Callable[..., Any]) -> None:
    with pytest.raises(ObjectiveError, match=r"the decoder must make \(n, 64\) of \(n, 3\); with n = 2 it makes \(2, 4, 16\)"):
        build(lambda: mlp(nn.Unflatten(1, (4, 16))))


def test_trying_out_leaves_no_trace() -> None:
    """Weights, running statistics, the mode and torch's generator are as they were."""
    module = mlp(nn.BatchNorm1d(64), nn.Dropout(0.5))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    torch.manual_seed(3)
    wanted = _verified.Wanted(PARTS, SHAPE, LATENT, BERNOULLI)
    form = _verified._form("decoder", module, "forward", wanted)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1)) and module.training and form.draws
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("signature", "hooked"),
    [("x", False), ("x, hidden", True), ("x, h", True), ("x, hidden=None", True), ("x, features=False", False), ("x, *rest", False)],
)
def test_who_takes_the_hook(signature: str, hooked: bool) -> None:
    made: Any = type("Made", (nn.Module,), {"forward": eval(f"lambda self, {signature}: x")})
    assert _verified.takes_hook(made()) is hooked


class Counting(nn.Module):
    """Batch normalization whose momentum falls: it reads its own count as a number, which cannot be mapped."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(LATENT, 64), nn.BatchNorm1d(64, momentum=None)

    def forward(self, z: Tensor) -> Tensor:
        found: Tensor = self.norm(self.linear(z))
        return found


def test_what_cannot_be_mapped_goes_on_one_at_a_time_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "counting", lambda s, z: {"encoder": mlp(inputs=64, outputs=2 * LATENT), "decoder": Counting()})
    family: Any = registry.load("vae")
    settings = Settings({"name": "digits", "train_size": 64}, 2, f"{__name__}:counting", batch_size=32)
    members = [Member(n, {"latent_dim": LATENT}, n) for n in range(2)]
    pack = Pack(family(settings), [Assigned(member, tmp_path / f"{member.number}.pt") for member in members])
    reports = [report for _ in range(2) for report in pack.step()]
    assert [report.state for report in reports] == [None, None, State.COMPLETE, State.COMPLETE]
    remark = pack.remark()
    assert "2 members in one program failed (RuntimeError: vmap" in remark and "they go on one after another" in remark


def test_a_class_without_arguments_is_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.borrowed import ForwardVAE

    class Fixed(ForwardVAE):
        def __init__(self, latent_dim: int = 5) -> None:
            super().__init__(64, latent_dim)

    monkeypatch.setitem(globals(), "Fixed", Fixed)
    parts = models.build(f"{__name__}:Fixed", "vae", SHAPE, LATENT, PARTS, BERNOULLI)
    assert parts["encoder"](torch.rand(2, 64)).shape == (2, 2 * LATENT)


def test_one_forward_of_a_deviation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third result that is no log-variance does not lead to the code."""

    class Deviation(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(64, 2 * LATENT), nn.Linear(LATENT, 64)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, deviation = self.a(x).chunk(2, -1)
            return self.b(mean + deviation * torch.randn_like(mean)), mean, deviation

    monkeypatch.setitem(globals(), "deviation", lambda s, z: Deviation())
    with pytest.raises(ObjectiveError, match="a variance or a deviation"):
        models.build(f"{__name__}:deviation", "vae", SHAPE, LATENT, PARTS, BERNOULLI)


def test_one_forward_that_drops_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.borrowed import ForwardVAE

    class Dropping(ForwardVAE):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return super().forward(nn.functional.dropout(x, 0.5, self.training))

    monkeypatch.setitem(globals(), "dropping", lambda s, z: Dropping(64, z))
    with pytest.raises(ObjectiveError, match="must draw nothing but the noise of its code"):
        models.build(f"{__name__}:dropping", "vae", SHAPE, LATENT, PARTS, BERNOULLI)


def test_remarks_say_what_stays_and_what_is_made_of_outputs(build: Callable[..., Any]) -> None:
    said = _verified.remarks(build(lambda: mlp(nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Sigmoid())))
    text = "\n".join(said)
    for part in ("gives probabilities", "Dropout(p=0.5, inplace=False), which stays as it is", "running statistics of each member"):
        assert part in text
