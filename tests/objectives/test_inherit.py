"""A member starts from what another one has become: its weights, averages, optimizer and memories; seed and config are its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives import registry
from objectives.base import HeirRun, Member, ObjectiveError, Report, Settings
from objectives.training.loop import TrainingRun
from search.running.working.checkpoints import plain
from search.running.working.pack import Pack
from search.running.working.work import Assigned, Origin

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

EPOCHS = 3
CONFIGS: dict[str, list[dict[str, Any]]] = {
    "vae": [{"l0": 1e-3, "beta": 2.0}, {"l0": 1e-4, "beta": 0.5}, {"l0": 1e-2, "beta": 4.0}],
    "gan": [{"lecam": 0.1, "spectral_norm_d": 1.0}, {"lecam": 0.3, "spectral_norm_d": 0.5}, {"lecam": 0.2, "spectral_norm_d": 0.9}],
}


def objective(name: str) -> Any:
    family: Any = registry.load(name)
    double = type("Double", (family,), {"dtype": "float64"})
    return double(Settings(dataset={"name": "digits", "train_size": 96}, epochs=EPOCHS, batch_size=32))


def member(name: str, number: int) -> Member:
    return Member(number, CONFIGS[name][number], seed=50 + number)


def parent(name: str, folder: Path, epochs: int = EPOCHS) -> Path:
    """What member 0 has become after so many epochs."""
    run: TrainingRun = objective(name).start([member(name, 0)])
    assert isinstance(run, HeirRun)
    path = folder / f"after-{epochs}.pt"
    run.bequeath({0: path})
    for _ in range(epochs):
        run.step()
    if epochs < EPOCHS:
        run.save(path)
    return path


def told(reports: list[Report]) -> list[Any]:
    return [{**plain(report), "metrics": None, "score": None, "rung_score": round(report.rung_score, 9)} for report in reports]


def finished(pack: Pack) -> dict[int, dict[str, Any]]:
    """Train to the end: the scored weights of each member."""
    while pack.living:
        pack.step()
    return {number: pack.run_of(number).ended[number] for number in pack._members}  # type: ignore[attr-defined]


def assigned(name: str, folder: Path, origin: Origin, numbers: tuple[int, ...] = (1, 2)) -> list[Assigned]:
    folder.mkdir(exist_ok=True)
    return [Assigned(member(name, number), folder / f"{number}.pt", origin=origin) for number in numbers]


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for player, weights in one.items():
        torch.testing.assert_close(other[player], weights, rtol=1e-9, atol=1e-9)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", CONFIGS)
def test_together_equals_alone_and_interrupted_equals_uninterrupted(name: str, start: int, tmp_path: Path) -> None:
    origin = Origin(parent(name, tmp_path, start or EPOCHS), start)
    alone = {number: finished(Pack(objective(name), assigned(name, tmp_path / "alone", origin, (number,)))) for number in (1, 2)}
    together = Pack(objective(name), assigned(name, tmp_path / "together", origin))
    assert list(together._runs) == [(1, 2)], "they are one program"
    first = together.step()
    assert {report.epoch for report in first} == {start + 1}
    together.save()
    resumed = Pack(objective(name), assigned(name, tmp_path / "together", Origin(tmp_path / "gone.pt", start)))  # the parent's file is gone
    assert told(resumed.history()) == told(sorted(first, key=lambda report: report.number))
    found = finished(resumed)
    for number in (1, 2):
        same(alone[number][number], found[number])


def test_weights_optimizer_and_averages_are_the_parents_and_the_streams_its_own(tmp_path: Path) -> None:
    path = parent("gan", tmp_path)
    given = torch.load(path, weights_only=True)
    run, fresh = (objective("gan").start([member("gan", 1)]) for _ in range(2))
    run.inherit(path, 0)
    got, own = run.crew.state([0]), fresh.crew.state([0])
    for player in given["thetas"]:
        for key in ("thetas", "averages"):
            assert player not in given[key] or torch.equal(got[key][player], given[key][player])
        assert torch.equal(got["optimizers"][player]["square"], given["optimizers"][player]["square"])
        assert got["optimizers"][player]["steps"] == given["optimizers"][player]["steps"] > 0
    assert got["members"] == own["members"] == [[1, 51]] and got["epoch"] == got["steps"] == 0 and got["rungs"] == [[]]
    assert all(torch.equal(got["streams"][0][name], value) for name, value in own["streams"][0].items())
    assert run.crew.values(run.family.knobs, "gan")["lecam"] == [0.3], "λ is its own"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = parent("vae", tmp_path)
    with pytest.raises(ObjectiveError, match="must be a checkpoint of epoch 2; it is of epoch 3"):
        objective("vae").start([member("vae", 1)]).inherit(path, 2)
    with pytest.raises(ObjectiveError, match="must hold weights of model of shape"):
        objective("vae").start([Member(1, {"latent_dim": 5, "l0": 1e-3}, 7)]).inherit(path, 0)


def test_a_member_whose_own_checkpoint_is_torn_starts_from_its_parent_again(tmp_path: Path) -> None:
    origin = Origin(parent("vae", tmp_path))
    whole = finished(Pack(objective("vae"), assigned("vae", tmp_path / "whole", origin, (1,))))
    pack = Pack(objective("vae"), assigned("vae", tmp_path / "torn", origin, (1,)))
    pack.step()
    pack.save()
    (tmp_path / "torn" / "1.pt").write_bytes(b"torn")
    assert json.loads((tmp_path / "torn" / "1.json").read_text())
    same(whole[1], finished(Pack(objective("vae"), assigned("vae", tmp_path / "torn", origin, (1,))))[1])


def test_members_that_inherited_trainings_of_different_length_are_no_program(tmp_path: Path) -> None:
    long, short = parent("vae", tmp_path), parent("vae", tmp_path, 1)
    one, other = assigned("vae", tmp_path / "m", Origin(long)), assigned("vae", tmp_path / "m", Origin(short))
    pack = Pack(objective("vae"), [one[0], other[1]])
    assert "optimizers of equally many steps" in pack.remark() and len(pack._runs) == 2
    assert all(report.state is None for report in pack.step())


# Knobs that move in training --------------------------------------------------------------------------------------------------------------


def moving(number: int, *steps: tuple[int, float]) -> Member:
    return Member(number, {**CONFIGS["vae"][number], "beta": steps[0][1]}, 50 + number, schedule={"beta": steps})


def weights(run: TrainingRun, number: int, epochs: int = EPOCHS) -> dict[str, Any]:
    for _ in range(epochs):
        run.step()
    return run.ended[number]


def test_a_knob_that_moves_is_a_training_that_goes_on_with_another_value(tmp_path: Path) -> None:
    first = objective("vae").start([Member(1, {**CONFIGS["vae"][1], "beta": 0.5}, 51)])
    first.step()
    first.save(tmp_path / "1.pt")
    rest = objective("vae").start([Member(1, {**CONFIGS["vae"][1], "beta": 4.0}, 51)])
    rest.restore(tmp_path / "1.pt")
    moved = weights(objective("vae").start([moving(1, (0, 0.5), (1, 4.0))]), 1)
    same(weights(rest, 1, EPOCHS - 1), moved)
    constant = weights(objective("vae").start([moving(1, (0, 0.5))]), 1)
    assert not torch.equal(constant["model"], moved["model"])


def test_members_that_move_at_different_epochs_are_one_program_and_may_be_interrupted(tmp_path: Path) -> None:
    members = [moving(0, (0, 2.0), (2, 0.1)), moving(1, (0, 0.5), (1, 4.0), (2, 1.0))]
    alone = [weights(objective("vae").start([member]), member.number) for member in members]
    together, paths = objective("vae").start(members), {number: tmp_path / f"{number}.pt" for number in (0, 1)}
    together.step()
    together.save_each(paths)
    resumed = objective("vae").start(members)
    resumed.restore_each(paths)
    for run, epochs in ((together, EPOCHS - 1), (resumed, EPOCHS - 1)):
        for _ in range(epochs):
            run.step()
        for number in (0, 1):
            same(alone[number], run.ended[number])
