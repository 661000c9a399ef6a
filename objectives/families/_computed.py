"""Members whose state is a function of their config, seed and epoch. A run computes it anew at every epoch. Pure Python."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from objectives import registry
from objectives._files import replaced
from objectives.base import Member, ObjectiveError, Report


def options(objective: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the dataset `none` of an objective was given, over the options that it knows.

    Raises:
        ObjectiveError: an option is not known, or has a value that it cannot have.
    """
    if faults := option_faults(objective, known, given):
        raise ObjectiveError("\n".join(faults))
    return {**known, **given}


def option_faults(objective: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options of the dataset `none`. An option whose default is a number must be one, and at least 0."""
    faults = [registry.unknown("option of dataset 'none'", str(key), list(known)) for key in given if key not in known]
    if given.get("name", "none") != "none":
        faults.append(registry.unknown(f"dataset of the objective '{objective}'", str(given["name"]), ("none",)))
    for key, value in given.items():
        default = known.get(key)
        if isinstance(default, int | float) and not _amount(value, whole=isinstance(default, int)):
            kind = "a whole number" if isinstance(default, int) else "a number"
            faults.append(f"dataset.{key} must be {kind} of at least 0; got {value!r}. The default is {default!r}.")
    return faults


def _amount(value: object, whole: bool) -> bool:
    right = isinstance(value, int) or (isinstance(value, float) and not whole)
    return right and not isinstance(value, bool) and 0 <= value < math.inf  # type: ignore[operator]


class ComputedRun:
    """An implementation of `base.Run` for objectives that need no training, such as those with closed-form answers.

    `report` gives a member's report after so many epochs. A report with a state is the member's last.
    """

    def __init__(self, objective: str, members: Sequence[Member], report: Callable[[Member, int], Report]) -> None:
        self.objective, self.report = objective, report
        self.epoch = 0
        self.members = {member.number: member for member in members}
        self.living = [member.number for member in members]

    def step(self) -> list[Report]:
        """One epoch of every living member."""
        if not self.living:
            return []
        self.epoch += 1
        reports = [self.report(self.members[number], self.epoch) for number in self.living]
        self.living = [report.number for report in reports if report.state is None]
        return reports

    def stop(self, number: int) -> None:
        """Take a member out."""
        self.living = [other for other in self.living if other != number]

    def save(self, path: Path) -> None:
        """Write a JSON checkpoint, atomically."""
        _write(path, {"epoch": self.epoch, "living": self.living, "seeds": [self.members[number].seed for number in self.living]})

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ObjectiveError: the checkpoint is of other members.
        """
        state = json.loads(path.read_text())
        known = {member.number: member.seed for member in self.members.values()}
        if any(known.get(number) != seed for number, seed in zip(state["living"], state["seeds"], strict=True)):
            raise ObjectiveError(f"{path} must be a checkpoint of members {sorted(known)} and their seeds; it holds {state['living']}.")
        self.epoch, self.living = state["epoch"], state["living"]

    def save_weights(self, number: int, path: Path) -> None:
        """Write what `read_test` needs: a seed, because there are no weights. JSON, whatever the suffix."""
        member = self.members[number]
        _write(path, {"objective": self.objective, "config": dict(member.config), "seed": member.seed})

    def save_picture(self, number: int, path: Path) -> bool:
        """There is nothing to see."""
        return False


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with replaced(path) as temporary:
        temporary.write_text(json.dumps(content))
