"""Every detector of collapse, found by listing the folder: it finds the collapse that its file plants, and nothing in healthy training."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from objectives import detectors, registry
from objectives.base import Member, Report, Settings, State
from objectives.detectors import History
from objectives.registry import names
from objectives.training.loop import TrainingRun

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

REPOSITORY = Path(__file__).parents[2]
NAMES = names("detector")
FAMILIES = tuple(dict.fromkeys(family for name in NAMES for family in detectors.module(name).ON))
DIGITS = {"name": "digits", "train_size": 512}
each = pytest.mark.parametrize("name", NAMES)


def begin(family: str, configs: list[Mapping[str, Any]], epochs: int, seed: int = 0, **options: Any) -> TrainingRun:
    objective: Any = registry.load(family)
    members = [Member(number, config, seed + number) for number, config in enumerate(configs)]
    run: TrainingRun = objective(Settings(DIGITS, epochs, **options)).start(members)
    return run


def reports(run: TrainingRun) -> list[Report]:
    found = []
    while news := run.step():
        found += news
    return found


def history(epochs: int, values: Mapping[str, list[float]], rest: float = 0.0, **config: Any) -> History:
    """A member whose metrics by epoch are the columns of `values`."""
    return History([dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)], epochs, config, rest)


def test_facts_need_no_torch() -> None:
    code = """
import sys
from objectives import detectors
from objectives.registry import names
for name in names("detector"):
    found = detectors.module(name)
    assert found.SUMMARY and found.ON and found.READS and found.PLANTED and callable(found.find), name
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.mark.sampled(4)
@each
def test_it_reads_what_its_families_report_in_every_epoch(name: str) -> None:
    found: ModuleType = detectors.module(name)
    for family in found.ON:
        (report,) = begin(family, [{}], 2).step()
        assert set(found.READS) <= set(report.metrics) <= set(registry.load(family).metrics)


@pytest.mark.sampled(4)
@each
def test_the_planted_collapse_ends_the_member_with_the_evidence(name: str) -> None:
    """And not before three evaluations of the second half of the training."""
    found = detectors.module(name)
    for family in found.ON:
        epochs = 12 if name == "saturation" else 8
        last = reports(begin(family, [found.PLANTED], epochs))[-1]
        assert last.state is State.COLLAPSED and last.score is None and last.epoch >= epochs / 2 + 3
        assert last.reason.startswith(f"{name.replace('_', ' ')}: ") and f"to {last.epoch} of" in last.reason
        assert math.isfinite(last.rung_score) and last.metrics, "the evidence is kept"


@pytest.mark.parametrize("family", FAMILIES)
def test_healthy_training_is_left_alone(family: str) -> None:
    """At a budget so short that a GAN has hardly begun."""
    found = reports(begin(family, [{}], 8))
    assert {report.state for report in found} == {None, State.COMPLETE}


@pytest.mark.slow
@pytest.mark.sampled(6)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lr", [1e-4, 1e-3, 3e-3])
def test_healthy_training_is_left_alone_at_the_default_budget(family: str, lr: float) -> None:
    objective: Any = registry.load(family)
    run = objective(Settings({"name": "digits"}, objective.default_epochs)).start([Member(seed, {"lr": lr}, seed) for seed in range(3)])
    assert {report.state for report in reports(run)} == {None, State.COMPLETE}


def test_of_four_epochs_too_few_are_in_the_second_half() -> None:
    assert reports(begin("vae", [detectors.module("posterior_collapse").PLANTED], 4))[-1].state is State.COMPLETE


def test_a_collapsed_member_leaves_the_others_alone_and_an_interruption_changes_nothing(tmp_path: Path) -> None:
    planted = detectors.module("posterior_collapse").PLANTED
    run, resumed = (begin("vae", [{"lr": 5e-3}, planted], 8) for _ in range(2))
    for _ in range(6):
        run.step()
    run.save(tmp_path / "run")
    resumed.restore(tmp_path / "run")
    found, again = reports(run), reports(resumed)
    assert [(report.number, report.epoch, report.state) for report in found] == [(r.number, r.epoch, r.state) for r in again]
    assert [report.rung_score for report in found] == pytest.approx([report.rung_score for report in again], rel=1e-5)
    calm = [report for report in reports(begin("vae", [{"lr": 5e-3}] * 2, 8)) if report.number == 0 and report.epoch > 6]
    # One member is trained without the mapping, which sums in another order.
    assert [report.rung_score for report in found if report.number == 0] == pytest.approx([report.rung_score for report in calm], rel=1e-5)
    assert [report.state for report in found if report.number == 1] == [State.COLLAPSED]


# What each looks at -----------------------------------------------------------------------------------------------------------------------


def posterior(kl: list[float], units: list[float] | None = None, epochs: int = 10, rest: float = 0.0) -> str:
    values = {"val_kl_nats": kl, "val_active_units": units or [0.0] * len(kl)}
    return detectors.find("vae", history(epochs, values, rest))


def test_a_posterior_that_wakes_up_has_not_collapsed() -> None:
    assert "epochs 6 to 8 of 10" in posterior([0.01] * 8)
    assert not posterior([0.01] * 7) and not posterior([0.01] * 7 + [0.06]) and not posterior([0.01] * 8, [0] * 7 + [1])
    rising = [0.01 * 1.2**epoch for epoch in range(8)]
    assert not posterior(rising), "a start that is slow"
    assert posterior([0.001 * 1.2**epoch for epoch in range(10)]), "but it did not start in time"
    assert not posterior([math.nan] * 8)


def test_a_schedule_may_still_turn_it_round() -> None:
    assert not posterior([0.01] * 9, rest=8.0) and posterior([0.01] * 9, rest=6.0)
    assert not posterior([0.01] * 9, rest=math.inf) and posterior([0.01] * 10, rest=math.inf)


@pytest.mark.parametrize(
    ("config", "rest"),
    [({}, 0.0), ({"kl_warmup": 7.0}, 7.0), ({"kl_cycles": 2}, 15.0), ({"capacity": 10.0}, 10.0), ({"geco": 0.1}, math.inf)],
)
def test_schedules_say_from_when_they_rest(config: dict[str, Any], rest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[History] = []
    monkeypatch.setattr(detectors, "find", lambda _, history: seen.append(history) or "")
    run = begin("vae", [config], 20)
    run.judge._collapse(run.crew.living[0])
    assert seen[0].rest == rest and seen[0].epochs == 20


def test_a_member_scored_by_an_epoch_before_its_collapse_is_sound() -> None:
    """The best epoch of the planted training is its last, so it has collapsed; one whose best is the first has not."""
    planted = detectors.module("posterior_collapse").PLANTED
    run = begin("vae", [planted], 8, score="best_epoch")
    for _ in range(6):
        run.step()
    run.crew.living[0].rungs[0] = 0.0
    assert run.step()[0].state is None and run.step()[0].state is State.COMPLETE


def modes(diversity: list[float], epochs: int = 10) -> str:
    return detectors.module("mode_collapse").find(history(epochs, {"val_diversity": diversity}))


def test_a_generator_that_has_not_begun_has_not_collapsed() -> None:
    assert not modes([0.02] * 10) and not modes([0.02] * 8 + [0.1, 0.3])
    assert "one image" in modes([0.02] * 5 + [1e-4] * 3) and not modes([0.02] * 5 + [1e-4, 2e-4, 3e-4])
    lost = [0.1, 0.4, 0.6, 0.6, 0.5, 0.3, 0.1, 0.04, 0.03, 0.04]
    assert "after 0.6" in modes(lost)
    assert not modes(lost[:9]), "it may find them again"
    assert not modes([0.1, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.04, 0.03, 0.04]), "it never had them"


def saturated(loss: float = 0.01, sure: float = 1.0, kid: float = 1.0, before: float = 1.0, epochs: int = 10) -> str:
    values = {
        "val_kid": [1.0] + [before] * 4 + [kid] * 5,
        "train_data_d": [1.4] * 5 + [loss] * 5,
        "train_told_apart_d": [0.7] * 5 + [sure] * 5,
    }
    return detectors.module("saturation").find(history(epochs, values))


def test_a_discriminator_that_is_sure_while_samples_improve_is_not_saturated() -> None:
    assert "0.0072 of an even game's and it tells 100.0 % of pairs apart" in saturated()
    assert not saturated(kid=0.85), "samples improve"
    assert saturated(kid=0.6, before=0.6) and not saturated(kid=0.4, before=0.4), "half was learnt, and kept"
    assert not saturated(loss=0.5) and not saturated(sure=0.99) and not saturated(epochs=12)


def test_what_winning_means_depends_on_the_game() -> None:
    find = detectors.module("saturation").find
    values = {"val_kid": [1.0] * 10, "train_data_d": [0.1] * 10, "train_told_apart_d": [1.0] * 10}
    found = {game: bool(find(history(10, values, loss=game))) for game in ("non_saturating", "hinge", "lsgan", "wasserstein")}
    assert found == {"non_saturating": True, "hinge": True, "lsgan": False, "wasserstein": False}


def test_an_output_that_grows_is_not_constant() -> None:
    def constant(spread: list[float]) -> str:
        return detectors.module("constant_output").find(history(10, {"val_output_spread": spread}))

    assert "at most 0.0005" in constant([0.0005] * 8)
    assert not constant([0.002] * 10) and not constant([1e-4 * 1.1**epoch for epoch in range(8)])


def test_the_even_loss_is_that_of_a_discriminator_that_cannot_tell() -> None:
    """The least over what it may answer, the same for every image."""
    import torch

    from objectives.losses import GAMES

    for name, game in GAMES.items():
        if game.even is None:
            assert name == "wasserstein"
            continue
        answers = torch.linspace(-3, 3, 601, dtype=torch.float64)
        losses = [float(game.discriminator(answer[None], answer[None])) for answer in answers]
        assert min(losses) == pytest.approx(game.even, abs=1e-4), name
