"""Schedulers: which members are worth their next epochs. One file each; the file name is the name in a spec, so no list is edited.

A file holds `SCHEDULER`, a `SchedulerInfo`, and a class `Scheduler(epochs, *, …)` with the methods of `SchedulerProtocol`. Its keyword-only
arguments are the options that a spec may give: `scheduler: {name: asha, reduction: 2}`. A file with options holds `EXAMPLES` of them, with
which the contract suite runs too. Every scheduler takes the option `wraps`, another scheduler: then both may stop a member.

The class is pure: what carries a sweep out asks it and does as it says. The contract suite tests each file for this:

- milestones ascend, and all lie before the last epoch; between them the scheduler decides nothing;
- a decision depends on what was told, not on the order or the groups in which it was told, because packs report together, and a resumed
  driver tells everything again;
- every arm is judged only against itself, so that the off arm is not stopped by the arms for which it is the yardstick. A class that
  judges smaller groups than an arm names the group of a member: `bracket(number)`;
- a lower score is better and NaN is the worst. At each milestone the best of an arm goes on, because an answer needs complete members;
- a reason begins with the scheduler's name and names the epoch.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from objectives.base import Config, Knob, Value
from objectives.registry import names, unknown
from search import options
from search.options import Chosen, name_of, options_of
from search.schedulers._wrapped import Wrapped

WRAPS = "wraps"
Score = float | tuple[float, ...]  # a rung score; with several metrics the rung score and the others, NaN for what was not measured


@dataclass(frozen=True)
class SchedulerInfo:
    """What `lagrange schedulers` prints. `several`: it is fair where several metrics are asked for, and is told all of them."""

    name: str
    summary: str
    formula: str
    source: str
    several: bool = False


@dataclass(frozen=True)
class Change:
    """By how much a member's score fell from a milestone to the next one, and its config; None where that is not known yet."""

    epoch: int
    config: Config
    gain: float | None


class SchedulerProtocol(Protocol):
    """Decides at milestones whether a member goes on. `milestones` are the epochs after which workers wait for a decision.

    The class of a file takes rung scores. Where its `SCHEDULER` says `several`, it takes a tuple of all metrics in their place, too.
    """

    milestones: tuple[int, ...]

    def hear(self, reports: Iterable[tuple[int, str, int, Any]]) -> None:
        """Take in what an earlier driver was told: (number, arm, epoch, rung score)."""
        ...

    def decide(self, number: int, arm: str, epoch: int, score: Any) -> str:
        """The reason to stop a member after this epoch; empty if the member goes on."""
        ...


class Evolving(SchedulerProtocol, Protocol):
    """A scheduler at whose milestones all members wait, and some are replaced by members that start from others."""

    def replaced(self, scores: Mapping[int, float], draws: random.Random) -> dict[int, int]:
        """Who is replaced by a member that starts from whom, by the scores of an arm at a milestone."""
        ...

    def explored(self, knobs: Sequence[Knob], config: Config, draws: random.Random, told: Sequence[Change]) -> dict[str, Value]:
        """The knobs of such a member, from the config of the one from which it starts and from the changes so far."""
        ...


def evolving(chosen: Chosen) -> bool:
    """True for a scheduler that replaces members (`Evolving`)."""
    return _replaces(name_of(chosen))


@cache
def _replaces(name: str) -> bool:
    """Asked for every member that begins, so the folder of schedulers is read once."""
    return name in known() and hasattr(_class(name), "replaced")


def known() -> list[str]:
    """The names of all schedulers."""
    return names("scheduler", __name__)


def accepted(name: str) -> dict[str, options.Option]:
    """The options of a scheduler."""
    wraps = options.Option(None, str | dict[str, Any] | None, "another scheduler, with its options: both may stop a member")
    return options.accepted(_class(name)) | {WRAPS: wraps}


def faults(chosen: Chosen, where: str = "scheduler", around: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with a scheduler that is chosen in a spec, and with those that it wraps; `around` are those that wrap it."""
    name, given = name_of(chosen), options_of(chosen)
    inner = given.pop(WRAPS, None)
    found = [unknown(where, name, known())] if name not in known() else _option_faults(where, name, given)
    if name in around:
        found.append(f"{where} must be another scheduler than those around it; {name} is one of them. Leave it out.")
    if inner is None:
        return found
    below = f"{where}.{WRAPS}"
    if isinstance(inner, str) or (isinstance(inner, dict) and isinstance(inner.get("name"), str)):
        moves = f"{below} must be a scheduler that stops members; {name_of(inner)} replaces them. Name it as the scheduler itself."
        return found + faults(inner, below, (*around, name)) + ([moves] if evolving(inner) else [])
    return [*found, f"{below} must be a scheduler, or a mapping with its name and options; got {inner!r}. Write `{WRAPS}: asha`."]


def blind(chosen: Chosen, where: str = "scheduler") -> list[str]:
    """Faults of a scheduler, and of those that it wraps, where several metrics are asked for and it sees the score alone."""
    name, inner = name_of(chosen), options_of(chosen).get(WRAPS)
    fair = ", ".join(one for one in known() if _info(one).several)
    found = (
        []
        if _info(name).several
        else [
            f"{where} must judge all metrics where several are asked for; {name!r} sees the score alone, and stops members of the front. "
            f"Choose one of {fair}."
        ]
    )
    return found + (blind(inner, f"{where}.{WRAPS}") if inner else [])


def idle(chosen: Chosen, where: str = "scheduler") -> list[str]:
    """Faults of a scheduler, and of those that it wraps, that weighs several metrics where one is asked for."""
    name, inner = name_of(chosen), options_of(chosen).get(WRAPS)
    found = (
        []
        if not _info(name).several or name == "none"
        else [
            f"{where} must judge the one metric that is asked for; {name!r} weighs several against each other. Choose asha, or ask for "
            "several: metric: [ONE, OTHER]."
        ]
    )
    return found + (idle(inner, f"{where}.{WRAPS}") if inner else [])


def make(chosen: Chosen, epochs: int) -> SchedulerProtocol:
    """A scheduler for members of `epochs` epochs: by name, or as a mapping with `name` and options."""
    given = options_of(chosen)
    inner = given.pop(WRAPS, None)
    scheduler: SchedulerProtocol = _class(name_of(chosen))(epochs, **given)
    return scheduler if inner is None else Wrapped(scheduler, make(inner, epochs))


def _option_faults(where: str, name: str, given: dict[str, Any]) -> list[str]:
    return options.faults(where, f"scheduler {name!r}", accepted(name), given)


def _info(name: str) -> SchedulerInfo:
    found: SchedulerInfo = importlib.import_module(f"{__name__}.{name}").SCHEDULER
    return found


def _class(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}").Scheduler
