"""Sweeps of every kind as figures and reports see them: simulated, with a known truth, so that nothing is trained."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from infra.catalogue import Catalogue, MemberRow, SweepRow, config_hash
from objectives.base import Value
from search.asking.space import AGAINST_NOTHING
from search.choosing.findings import Front, FrontPoint, Interval
from search.choosing.turned import turned
from search.spec.plain import plain_spec
from search.telling.files import exports
from search.telling.view import View, own_rows, view_of
from tests.search.simulated import Simulated, Truth

USUAL: dict[str, Any] = {
    "objective": "vae",
    "search": {"beta": {}, "lr": {}},
    "budget": {"trials": 10, "epochs": 2},
    "confirm": {"configs": 3, "screen": 1, "between": 0, "seeds": 3},
    "scheduler": "none",
}
Config = Mapping[str, Value]


def bowl(config: Config, at: float = 0.4) -> float:
    """Best at β = 0.4 and lr = 0.001."""
    away = math.log10(float(config["beta"]) / at) ** 2
    return 100 + 3 * away + 0.3 * (math.log10(float(config["lr"])) + 3) ** 2 + 2 * float(config.get("dropout", 0.0))


def off_is_best(config: Config) -> float:
    """Best at β = 1, which is off; steep around it."""
    return 100 + 8 * abs(math.log10(float(config["beta"])))


def edge(config: Config) -> float:
    """Training diverges above β = 1.5 and fails below 0.05."""
    beta = float(config["beta"])
    return math.nan if beta > 1.5 else math.inf if beta < 0.05 else bowl(config)


def _sweep(truth: Truth, jobs: int = 10_000, **changes: Any) -> Callable[[], View]:
    def made() -> View:
        with tempfile.TemporaryDirectory() as folder, Simulated(Path(folder), USUAL | changes, truth) as sim:
            sim.run(jobs)
            return _view(sim)

    return made


def _view(sim: Simulated) -> View:
    """The view of a simulated sweep, with learning curves of a few epochs."""
    members, found = sim.catalogue.members("s"), sim.plan.answer
    answer = None if found is None else turned(found, sim.plan.spec.asked[0].better)
    candidates = sim.catalogue.sweep("s").candidates
    row = SweepRow("s", plain_spec(sim.spec), "vae", "mlp400", "digits", answer=answer and answer.to_dict(), candidates=candidates)
    config = exports.to_yaml(exports.best_spec("s", row, answer, members)) if answer is not None else ""
    curves = {one.number: {epoch: (one.score or 110) + 5 / epoch for epoch in (1, 2, 3)} for one in members}
    return view_of(row, members, curves, config=config)


def _changed(**changes: Any) -> View:
    """The usual sweep with another answer."""
    usual = view("helps")
    assert usual.answer is not None
    answer = replace(usual.answer, **changes)
    return replace(usual, answer=answer, sweep=replace(usual.sweep, answer=answer.to_dict()))


def _higher() -> View:
    """A score of which more is better: the usual sweep with its signs turned."""
    usual = view("helps")
    assert usual.answer is not None
    spec = {**usual.sweep.spec, "metric": {"quality": "higher"}}
    row = replace(usual.sweep, spec=spec, answer=turned(usual.answer, "higher").to_dict())
    members = [
        MemberRow(one.number, dict(one.config), one.seed, one.phase, one.arm, config_hash(one.config), one.state, score=one.score, epochs=1)
        for one in usual.rows
    ]
    return view_of(row, members, {one.number: one.curve for one in usual.rows})


def _front() -> View:
    """Two metrics: a front of three arms, one of them the off arm."""
    usual = view("helps")
    assert usual.answer is not None
    arms = [arm["arm"] for arm in usual.answer.arms][:3]
    points = [
        FrontPoint(arm, {"beta": 1.0}, {"val_nll_nats": _about(100.0 + place), "bytes": _about(50.0 - place)}, {}, place < 2, 0.9)
        for place, arm in enumerate(arms)
    ]
    front = Front({"val_nll_nats": "lower", "bytes": "lower"}, points, 3, _about(7.0), {"val_nll_nats": 110.0, "bytes": 60.0}, arms[0])
    spec = {**usual.sweep.spec, "metric": {"val_nll_nats": "lower", "bytes": "lower"}}
    answer = replace(usual.answer, front=front)
    rows = [replace(row, others=(40.0 + row.number,)) for row in usual.rows]
    return replace(usual, sweep=replace(usual.sweep, spec=spec, answer=answer.to_dict()), answer=answer, rows=rows)


def _about(value: float) -> Interval:
    return Interval(value, value - 1, value + 1, 3)


KINDS: dict[str, Callable[[], View]] = {
    "helps": _sweep(bowl),
    "hurts": _sweep(off_is_best, margin="0.01 val_nll_nats"),
    "diverging": _sweep(edge),
    "two λ": _sweep(bowl, search={"beta": {}, "dropout": {}, "lr": {}}),
    "alone": _sweep(bowl, search={"beta": {}, "dropout": {}}, alone=True),
    "choices": _sweep(lambda config: 100 - float(config["dropout"]), search={"dropout": [0.0, 0.2, 0.4], "optimizer": ["adam", "sgd"]}),
    "baseline": _sweep(bowl, baseline={"beta": 2.0}),
    "nothing compared": lambda: _changed(against=AGAINST_NOTHING),
    "nothing confirmed": _sweep(bowl, confirm={"seeds": 0}),
    "under way": _sweep(bowl, jobs=7),
    "one member": _sweep(bowl, jobs=2),
    "no member": _sweep(bowl, jobs=0),
    "only diverged": _sweep(lambda config: math.nan),
    "only failed": _sweep(lambda config: math.inf),
    "higher": _higher,
    "front": _front,
}


@cache
def view(kind: str) -> View:
    """A sweep of this kind."""
    return KINDS[kind]()


def kept(seen: View, catalogue: Catalogue, name: str) -> None:
    """Write a sweep into a catalogue, under another name. Scores are stored as search compares them."""
    catalogue.create_sweep(replace(seen.sweep, name=name))
    rows = [
        MemberRow(
            one.number,
            dict(one.config),
            one.seed,
            one.phase,
            one.arm,
            config_hash(one.config),
            one.state if one.state != "open" else None,
            score=one.score,
            rung_score=one.rung_score,
            epochs=one.epochs,
            seconds=one.seconds,
        )
        for one in own_rows(seen.rows, seen.better)
    ]
    catalogue.add_members(name, rows)
