"""Members trained together are the members trained alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from objectives import base, draws, registry
from objectives.base import Member, Settings, State
from objectives.training import judging, loop, optimizers, population
from objectives.training.loop import TrainingRun

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

DIGITS = {"name": "digits", "train_size": 160}
# λ, learning rate and seed differ from member to member, and dropout is on in some.
PACKS: dict[str, list[dict[str, float]]] = {
    "autoencoder": [{"l2": 1e-2, "lr": 1e-3}, {"l1": 1e-3, "dropout": 0.3}, {"decoupled_wd": 0.3, "lr": 3e-3, "dropout": 0.1}],
    "vae": [{"beta": 4.0, "dropout": 0.2}, {"l2": 1e-3, "lr": 3e-3}, {"beta": 0.1, "decoupled_wd": 0.1, "dropout": 0.5}],
    "gan": [{"l2_g": 1e-3, "dropout": 0.3}, {"l2_d": 1e-2, "lr": 3e-4}, {"l1_d": 1e-3, "decoupled_wd_g": 0.2, "dropout": 0.1}],
}
CLIPPED = [{"clip_norm": 0.5}, {}, {"clip_norm": 0.1, "lr": 3e-3}]  # long gradients at first: all of them are rescaled


def begin(name: str, members: list[Member], model: str | None = None, **options: Any) -> TrainingRun:
    """A run in double precision."""
    family: Any = registry.load(name)
    double = type("Double", (family,), {"dtype": "float64"})
    run: TrainingRun = double(Settings(**{"dataset": DIGITS, "epochs": 2, "batch_size": 32, "model": model, **options})).start(members)
    return run


def members(name: str) -> list[Member]:
    return [Member(number, config, seed=100 + number) for number, config in enumerate(PACKS[name])]


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("name", "model"), [("autoencoder", "mlp"), ("vae", "mlp400"), ("gan", "mlp_small"), ("gan", "mlp")])
def test_fused_equals_single(name: str, model: str) -> None:
    pack = members(name)
    together = begin(name, pack, model)
    fused = [together.step(), together.step()]
    for k, member in enumerate(pack):
        alone = begin(name, [member], model)
        single = [alone.step()[0], alone.step()[0]]
        for player, weights in alone.ended[member.number].items():
            torch.testing.assert_close(together.ended[member.number][player], weights, rtol=1e-9, atol=1e-9)
        for epoch in range(2):
            # A generator is scored in single-precision features, hence the looser bound on its KID.
            expected = pytest.approx(single[epoch].rung_score, rel=1e-4 if name == "gan" else 1e-9)
            assert fused[epoch][k].rung_score == expected
            # A penalty that is off for a member is still logged when a neighbour has it on.
            for key in single[epoch].metrics.keys() & {"train_loss", "train_loss_g", "train_loss_d", "train_data"}:
                assert fused[epoch][k].metrics[key] == pytest.approx(single[epoch].metrics[key], rel=1e-9), key


def distance(name: str, configs: list[dict[str, float]]) -> float:
    """How far the weights of members trained together are from those of the members trained alone, relative, after an epoch."""
    pack = [Member(number, config, seed=100 + number) for number, config in enumerate(configs)]
    together, found = begin(name, pack, epochs=1), 0.0
    together.step()
    for member in pack:
        alone = begin(name, [member], epochs=1)
        alone.step()
        for player, weights in alone.ended[member.number].items():
            found = max(found, float((together.ended[member.number][player] - weights).norm() / weights.norm()))
    return found


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", PACKS)
def test_each_member_is_clipped_by_its_own_norm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert distance(name, CLIPPED) < 1e-9

    def shared(gradient: torch.Tensor, longest: torch.Tensor | float) -> None:
        optimizers.clip(gradient, torch.as_tensor(longest) * gradient.norm(dim=-1, keepdim=True) / gradient.norm())

    monkeypatch.setattr(loop, "clip", shared)
    assert distance(name, CLIPPED) > 1e-6, "a norm that members share is seen"


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", ["vae", "gan"])
def test_a_draw_that_members_share_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[dict[str, float]] = [{}, {"lr": 3e-3}]
    assert distance(name, configs) < 1e-9
    record, first = draws.record, {}

    def shared(live: draws.Live, requests: Any) -> Any:
        return record(first.setdefault(id(requests), live), requests)

    monkeypatch.setattr(draws, "record", shared)
    assert distance(name, configs) > 1e-6


@pytest.mark.parametrize("name", PACKS)
def test_in_single_precision_a_pack_stays_close(name: str) -> None:
    """After an epoch, or ten steps of a GAN, whose differences grow."""
    pack, family = members(name), registry.load(name)
    settings = Settings(dataset=DIGITS, epochs=1, batch_size=16)
    runs = [family(settings).start(pack), *(family(settings).start([member]) for member in pack)]
    for run in runs:
        run.train_steps(10)  # type: ignore[attr-defined]  # an epoch: 160 images
    for k, alone in enumerate(runs[1:]):
        for player, theta in alone.crew.thetas.items():  # type: ignore[attr-defined]
            difference = (runs[0].crew.thetas[player][k] - theta[0]).norm() / theta[0].norm()  # type: ignore[attr-defined]
            assert difference < (1e-5 if name == "gan" else 1e-4)


def test_a_stopped_member_leaves_the_others_as_they_would_be() -> None:
    pack = members("vae")
    run, undisturbed = begin("vae", pack, epochs=3), begin("vae", [pack[0], pack[2]], epochs=3)
    run.step(), undisturbed.step()
    run.stop(1)
    assert [report.number for report in run.step()] == [0, 2]
    undisturbed.step()
    assert all(report.state is State.COMPLETE for report in run.step())
    undisturbed.step()
    for number in (0, 2):
        torch.testing.assert_close(run.ended[number]["model"], undisturbed.ended[number]["model"], rtol=1e-9, atol=1e-9)
    assert run.step() == []


LAMBDAS = [
    (name, knob)
    for name in ("autoencoder", "vae")
    for knob in registry.load(name).knobs.values()
    if (knob.is_lambda or knob.choices) and not (knob.structural and not knob.choices and knob.off is None)
]


@pytest.mark.sampled(12)
@pytest.mark.parametrize(("name", "knob"), LAMBDAS, ids=[f"{name}-{knob.name}" for name, knob in LAMBDAS])
def test_a_pack_is_evaluated_as_each_of_it_would_be(name: str, knob: base.Knob, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [knob.choices[-1]] * 3 if knob.choices else [knob.high] * 3 if knob.structural else [knob.low, knob.high, knob.high]
    pack = [Member(number, {knob.name: value}, seed=100 + number) for number, value in enumerate(values)]
    run = begin(name, pack, epochs=3, likelihood="gaussian" if knob.name == "optimal_sigma" else None)
    monkeypatch.setattr(judging, "TOGETHER", 2 * len(run.images.val))  # two of the three members at once, then the third
    assert run.family.evaluates_together
    run.step()
    together = run.judge.evaluated_together()
    for k in range(3):
        for key, value in run.judge.evaluated(k).items():
            assert float(together[key][k]) == pytest.approx(float(value), rel=1e-9, nan_ok=True), key


def test_one_member_is_not_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a population of one was mapped")

    monkeypatch.setattr(population.torch.func, "vmap", refuse)
    assert begin("vae", members("vae")[:1]).step()[0].state is None
    assert begin("vae", members("vae")).step()[0].state is State.FAILED  # and several are
