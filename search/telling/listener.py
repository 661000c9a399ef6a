"""Who watches a sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from infra.catalogue import MemberRow
from objectives.base import Phase, State
from search.asking.space import Space
from search.choosing.from_members import planned
from search.choosing.missing import INSTEAD
from search.spec.keys import Spec


class Listener(Protocol):
    """Someone who watches a sweep: the live display, or a user's own object."""

    def started(self, info: Mapping[str, Any]) -> None:
        """The sweep begins or goes on: name, objective, trials, confirmations, epochs, workers, score."""

    def member(self, number: int, phase: str, arm: str, config: Mapping[str, Any], start: int = 0) -> None:
        """A member is about to be trained. `start`: the epoch from which it goes on in the place of another member; 0 for others.

        −1: it stands in for a member that is missing.
        """

    def report(self, number: int, epoch: int, epochs: int, rung_score: float) -> None:
        """A member finished an epoch."""

    def ended(self, number: int, state: str, score: float | None, reason: str) -> None:
        """A member has its state."""

    def phase(self, name: str, done: int, total: int) -> None:
        """How far a phase is."""

    def workers(self, up: int, there: int) -> None:
        """How many workers train, of how many that are there or start."""

    def note(self, text: str) -> None:
        """A remark for the user."""

    def finished(self, answer: Any) -> None:
        """The answer is there."""


class Silent:
    """A listener that does not listen."""

    def started(self, info: Mapping[str, Any]) -> None:
        """Ignored."""

    def member(self, number: int, phase: str, arm: str, config: Mapping[str, Any], start: int = 0) -> None:
        """Ignored."""

    def report(self, number: int, epoch: int, epochs: int, rung_score: float) -> None:
        """Ignored."""

    def ended(self, number: int, state: str, score: float | None, reason: str) -> None:
        """Ignored."""

    def phase(self, name: str, done: int, total: int) -> None:
        """Ignored."""

    def workers(self, up: int, there: int) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""

    def finished(self, answer: Any) -> None:
        """Ignored."""


def of_the_objective(spec: Spec) -> dict[str, Any]:
    """What a listener is told that only the objective knows. Raises ObjectiveError where there is none."""
    metric = spec.trained.metrics.get(spec.score_name)
    return {
        "confirming": planned(spec)[Phase.CONFIRM],
        "against": Space(spec, spec.trained).against,
        "unit": metric.unit if metric else "",
    }


def introduction(name: str, spec: Spec, workers: int, rows: Sequence[MemberRow], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a listener is told when a sweep begins or goes on: what it is, and what an earlier driver has done of it.

    `known` is what is known of the objective; None: it is asked.

    `done` counts the searched members that have ended, without those in the places of others (`heirs`); `states` all that have ended.
    `scored` are the searched members with a score: number, arm, config, score. Where a confirmation has begun, `confirm` and `confirmed`
    count its members and those that have ended.
    """
    searched = [row for row in rows if row.phase == Phase.SEARCH]
    heirs = [row.number for row in searched if row.start or INSTEAD in row.facts]
    confirm = [row for row in rows if row.phase == Phase.CONFIRM] if len(searched) - len(heirs) >= spec.budget.trials else []
    return {
        "name": name,
        "objective": spec.objective,
        "model": spec.model,
        "dataset": spec.dataset.name,
        "trials": spec.budget.trials,
        "epochs": spec.budget.epochs,
        **(of_the_objective(spec) if known is None else known),
        "workers": workers,
        "score": spec.score_name,
        "better": spec.asked[0].better,
        "done": sum(row.state is not None for row in searched) - len(heirs),
        "heirs": heirs,
        "states": Counter(row.state for row in rows if row.state is not None),
        "scored": [
            (row.number, row.arm, row.config, row.score) for row in searched if row.state == State.COMPLETE and row.score is not None
        ],
    } | ({"confirm": len(confirm), "confirmed": sum(row.state is not None for row in confirm)} if confirm else {})
