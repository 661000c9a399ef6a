"""Members trained together are the members trained alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from objectives import base, population
from objectives.base import Member, Settings, State
from objectives.training import TrainingRun

DIGITS = {"name": "digits", "train_size": 160}
# λ, learning rate and seed differ from member to member, and dropout is on in some.
PACKS: dict[str, list[dict[str, float]]] = {
    "autoencoder": [{"l2": 1e-2, "lr": 1e-3}, {"l1": 1e-3, "dropout": 0.3}, {"decoupled_wd": 0.3, "lr": 3e-3, "dropout": 0.1}],
    "vae": [{"beta": 4.0, "dropout": 0.2}, {"l2": 1e-3, "lr": 3e-3}, {"beta": 0.1, "decoupled_wd": 0.1, "dropout": 0.5}],
    "gan": [{"l2_g": 1e-3, "dropout": 0.3}, {"l2_d": 1e-2, "lr": 3e-4}, {"l1_d": 1e-3, "decoupled_wd_g": 0.2, "dropout": 0.1}],
}


def begin(name: str, members: list[Member], model: str | None = None, **options: Any) -> TrainingRun:
    """A run in double precision."""
    family: Any = base.load(name)
    double = type("Double", (family,), {"dtype": "float64"})
    run: TrainingRun = double(Settings(**{"dataset": DIGITS, "epochs": 2, "batch_size": 32, "model": model, **options})).start(members)
    return run


def members(name: str) -> list[Member]:
    return [Member(number, config, seed=100 + number) for number, config in enumerate(PACKS[name])]


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


def test_one_member_is_not_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a population of one was mapped")

    monkeypatch.setattr(population.torch.func, "vmap", refuse)
    assert begin("vae", members("vae")[:1]).step()[0].state is None
    assert begin("vae", members("vae")).step()[0].state is State.FAILED  # and several are
