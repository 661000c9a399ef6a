"""What a person sees of a sweep: live progress, and the answer.

On a terminal a table is redrawn in place. Elsewhere (a log file, CI) a line is printed every few seconds, and one for every member that
ended badly. `Display` is a listener of the sweep (`search.telling.listener.Listener`): it reads and never decides.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from objectives.base import Phase, State, lowered
from search.asking.space import OFF_ARM
from search.choosing.words import more, number

PLAIN_SECONDS = 3.0
SHOWN_MEMBERS = 8
SHOWN_NOTES = 3
SHOWN_FAILURES = 5
COLOURS: Mapping[str, str] = {
    State.COMPLETE: "green",
    State.STOPPED: "yellow",
    State.DIVERGED: "red",
    State.COLLAPSED: "red",
    State.FAILED: "red",
    State.PREEMPTED: "magenta",
}
ENDED_BADLY = (State.DIVERGED, State.COLLAPSED, State.FAILED)


@dataclass
class _Member:
    phase: str
    arm: str
    config: Mapping[str, Any]
    epoch: int = 0
    epochs: int = 0
    rung_score: float = math.nan


@dataclass
class _Books:
    """Everything that the display knows. It is counted from events only."""

    info: dict[str, Any] = field(default_factory=dict)
    running: dict[int, _Member] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    heirs: set[int] = field(default_factory=set)  # members that took others' places
    totals: dict[str, int] = field(default_factory=dict)
    best: tuple[float, int, _Member] | None = None
    off_best: float | None = None
    epochs_seen: int = 0
    epochs_of_ended: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    values: dict[str, set[Any]] = field(default_factory=dict)

    def config_text(self, config: Mapping[str, Any]) -> str:
        """A config without the knobs that had one and the same value in all members so far."""
        varied = {name: value for name, value in config.items() if len(self.values.get(name, ())) > 1}
        return config_text(varied or config)

    def asked(self, config: Mapping[str, Any]) -> None:
        """Remember the values that members have had."""
        for name, value in config.items():
            self.values.setdefault(name, set()).add(value)

    def keep_best(self, number: int, member: _Member, score: float) -> None:
        """Remember the best searched member with λ on, and the best with λ off."""
        if member.arm == OFF_ARM:
            self.off_best = score if self.off_best is None else min(score, self.off_best)
        elif self.best is None or score < self.best[0]:
            self.best = (score, number, member)

    def count_earlier(self) -> None:
        """Count what an earlier driver did as done, though this display has not seen it."""
        info = self.info
        self.totals[Phase.SEARCH] = int(info.get("trials", 0))
        self.heirs = set(info.get("heirs", ()))
        self.ended[Phase.SEARCH] = min(int(info.get("done", 0)), self.totals[Phase.SEARCH])
        if info.get("confirm"):
            self.totals[Phase.CONFIRM], self.ended[Phase.CONFIRM] = int(info["confirm"]), int(info.get("confirmed", 0))
        for member, arm, config, score in info.get("scored", ()):
            self.asked(config)
            self.keep_best(member, _Member(Phase.SEARCH, arm, config), score)

    @property
    def sides(self) -> tuple[str, str]:
        """What the two sides are called that are searched."""
        return ("with λ on", "with λ off") if self.info.get("against", "off") == "off" else ("found", "with what it is compared with")

    @property
    def confirmations(self) -> int:
        """How many members the confirmation has, as far as it is known."""
        return self.totals.get(Phase.CONFIRM, int(self.info.get("confirming") or 0))

    def score_text(self, score: float) -> str:
        """A score in its own sign."""
        return score_text(lowered(score, self.info.get("better", "lower")))

    @property
    def title(self) -> str:
        """What is trained, by how many workers."""
        info = self.info
        what = " × ".join(str(info[key]) for key in ("objective", "model", "dataset") if info.get(key))
        workers = info.get("workers")
        tail = f" · {_of(info.get('up', workers), workers)}" if workers else ""
        return f"{info.get('name', 'training')}: {what}{tail}"

    def last_notes(self) -> list[Text]:
        """The newest notes, and how many there were before them."""
        notes = list(self.notes)
        earlier = len(notes) - SHOWN_NOTES
        told = [Text(f"… and {earlier} earlier note{'s' if earlier > 1 else ''}", style="dim")] if earlier > 0 else []
        return [*told, *(Text(note, style="yellow") for note in notes[-SHOWN_NOTES:])]


class Display:
    """A listener that shows a sweep on `console`; `plain` forces lines. Use it as a context manager, so that the terminal is given back."""

    def __init__(
        self, console: Console | None = None, *, plain: bool | None = None, clock: Callable[[], float] = time.monotonic, ui: str = ""
    ) -> None:
        self.console = console or Console()
        self._ui, self._placed = ui, False  # where MLflow shows a sweep, with NAME for its name; whether it is there
        self.plain = not self.console.is_terminal if plain is None else plain
        self._clock, self._began, self._told, self._failures = clock, clock(), -math.inf, 0
        self._books = _Books()
        self._live: Live | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back. May be called twice."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def started(self, info: Mapping[str, Any]) -> None:
        """A sweep begins or goes on."""
        self.close()
        self._books, self._began, self._failures, self._placed = _Books(info=dict(info)), self._clock(), 0, False
        self._books.count_earlier()
        if self.plain:
            self._line(self._books.title)
        else:
            self._live = Live(self, console=self.console, refresh_per_second=2, transient=True)
            self._live.start()

    def member(self, number: int, phase: str, arm: str, config: Mapping[str, Any], start: int = 0) -> None:
        """A member is about to be trained. One that takes another's place (`start` is not 0) is counted in its stead."""
        books = self._books
        if not books.running and not books.epochs_seen:
            self._began = self._clock()  # the time before this (starting Ray, preparing the data) tells nothing about the members
        books.running[number] = _Member(str(phase), arm, dict(config), epoch=max(start, 0))
        books.asked(config)
        if start and number not in books.heirs:
            books.heirs.add(number)
            books.ended[str(phase)] -= 1

    def report(self, number: int, epoch: int, epochs: int, rung_score: float) -> None:
        """A member finished an epoch."""
        books = self._books
        member = books.running.setdefault(number, _Member("train", "", {}))
        books.epochs_seen += max(epoch - member.epoch, 0)
        member.epoch, member.epochs, member.rung_score = epoch, epochs, rung_score
        self._say_place()
        if self.plain and member.phase == "train":
            self._now_and_then(f"epoch {epoch} of {epochs}, rung score {books.score_text(rung_score)}")

    def ended(self, number: int, state: str, score: float | None, reason: str) -> None:
        """A member has its state."""
        self._say_place()
        books = self._books
        member = books.running.pop(number, _Member(Phase.SEARCH, "", {}))
        books.states[state] += 1
        books.ended[member.phase] += 1
        books.epochs_of_ended[member.phase] += member.epoch
        if state == State.COMPLETE and score is not None and member.phase == Phase.SEARCH:
            books.keep_best(number, member, score)
        if state in ENDED_BADLY:
            self._failed(number, state, reason)
        if self.plain:
            self._now_and_then(self._progress())

    def phase(self, name: str, done: int, total: int) -> None:
        """How far a phase is, of how many members at most."""
        books = self._books
        books.totals[name], books.ended[name] = total, max(done, books.ended[name])
        if self.plain:
            self._line(f"{name}: {done} of {total}")

    def workers(self, up: int, there: int) -> None:
        """How many workers train, of how many that are there or start."""
        grew = up > self._books.info.get("up", 0)
        self._books.info.update(up=up, workers=there)
        if self.plain and (up == there or not grew):
            self._line(f"{_of(up, there)} up")

    def note(self, text: str) -> None:
        """A remark for the user."""
        self._books.notes.append(text)
        if self.plain or not self._books.info:  # before the sweep begins nothing is drawn, and it may be long until then
            self._line(text)

    def finished(self, answer: Any) -> None:
        """The answer is there: the live table is taken away (`print_answer` prints the answer)."""
        del answer
        if self.plain and self._books.info:
            self._line(self._progress())
        self.close()

    def __rich__(self) -> ConsoleRenderable:
        """The live table."""
        parts: list[ConsoleRenderable] = [Text(self._books.title, style="bold"), self._bars(), Text(self._counts())]
        running = list(self._books.running.items())
        if running:
            parts.append(self._running_table(sorted(running[:SHOWN_MEMBERS])))
        if len(running) > SHOWN_MEMBERS:
            parts.append(Text(more(len(running) - SHOWN_MEMBERS), style="dim"))
        place = [Text(self._place(), style="dim")] if self._ui and self._placed else []
        return Group(*parts, *self._books.last_notes(), *place)

    # --- what was counted -----------------------------------------------------------------------------------------------------------------

    def seconds_left(self) -> float | None:
        """An estimate from the epochs per second so far; None before the first member has ended.

        A searched member is assumed to take as many epochs as ended members took on average (a scheduler stops many). A confirmation is
        assumed to take its whole budget.
        """
        books, elapsed = self._books, self._clock() - self._began
        ended = sum(books.states.values())
        if not ended or not books.epochs_seen or elapsed <= 0:
            return None
        epochs = int(books.info.get("epochs") or 1)
        usual = books.epochs_of_ended[Phase.SEARCH] / max(sum(books.states.values()) - books.ended[Phase.CONFIRM], 1) or epochs
        searching = max(books.totals.get(Phase.SEARCH, 0) - books.ended[Phase.SEARCH], 0) * usual
        confirming = max(books.confirmations - books.ended[Phase.CONFIRM], 0) * epochs
        under_way = sum(member.epoch for member in list(books.running.values()))
        return max(searching + confirming - under_way, 0.0) * elapsed / books.epochs_seen

    # --- how it is said -------------------------------------------------------------------------------------------------------------------

    def _say_place(self) -> None:
        """Say where MLflow shows the sweep, from the first epoch on: before it a check may refuse the sweep, and MLflow is told nothing."""
        if self._ui and self.plain and not self._placed:
            self._line(self._place())
        self._placed = True

    def _place(self) -> str:
        return f"in MLflow: {self._ui.replace('NAME', str(self._books.info.get('name', 'NAME')))}"

    def _progress(self) -> str:
        books = self._books
        done = [f"{books.ended[name]}/{total} {_PHASES.get(name, name)}" for name, total in books.totals.items()]
        return " · ".join([*done, self._counts()])

    def _counts(self) -> str:
        books = self._books
        states = Counter(books.states) + Counter(books.info.get("states", {}))  # with the members of an earlier driver
        parts = [f"{count} {state}" for state, count in sorted(states.items())]
        if books.best is not None:
            score, number, member = books.best
            parts.append(f"luckiest {books.sides[0]} {books.score_text(score)} (member {number}: {books.config_text(member.config)})")
        if books.off_best is not None:
            parts.append(f"luckiest {books.sides[1]} {books.score_text(books.off_best)} (single seeds; the answer compares equal ones)")
        left = self.seconds_left()
        parts.append("time left unknown yet" if left is None else f"about {duration(left)} left")
        return " · ".join(parts)

    def _bars(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, total in list(self._books.totals.items()):
            done = self._books.ended[name]
            table.add_row(
                _PHASES.get(name, name), ProgressBar(total=max(total, 1), completed=min(done, total), width=40), f"{done} of {total}"
            )
        return table

    def _running_table(self, running: Iterable[tuple[int, _Member]]) -> Table:
        table = Table(box=None, padding=(0, 2), header_style="dim")
        for title in ("member", "phase", "arm", "epoch", "rung score", "config"):
            table.add_column(title, overflow="ellipsis", no_wrap=True)
        for key, one in running:
            epochs = one.epochs or self._books.info.get("epochs", "?")
            table.add_row(
                str(key),
                one.phase,
                one.arm,
                f"{one.epoch}/{epochs}",
                self._books.score_text(one.rung_score),
                escape(self._books.config_text(one.config)),
            )
        return table

    def _failed(self, number: int, state: str, reason: str) -> None:
        self._failures += 1
        if self._failures > SHOWN_FAILURES:
            return
        text = f"member {number} {state}: {reason.splitlines()[0] if reason else 'no reason given'}"
        if self._failures == SHOWN_FAILURES:
            text += " (further ones are counted, not printed)"
        self.note(text)

    def _now_and_then(self, text: str) -> None:
        if self._clock() - self._told >= PLAIN_SECONDS:
            self._line(text)

    def _line(self, text: str) -> None:
        self._told = self._clock()
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


_PHASES: Mapping[str, str] = {Phase.SEARCH: "searched", Phase.CONFIRM: "confirmed"}


def _of(up: int, there: int) -> str:
    """So many workers, of so many where not all are up."""
    return f"{up if up == there else f'{up} of {there}'} worker{'s' if there != 1 else ''}"


def duration(seconds: float) -> str:
    """Seconds in words that people use: 40 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def score_text(score: float | None, known_to: float = math.inf) -> str:
    """A score with as many digits as an interval of width `known_to` needs, or a dash where there is none."""
    return "–" if score is None or math.isnan(score) else number(score, known_to)


def config_text(config: Mapping[str, Any], usual: Mapping[str, Any] | None = None) -> str:
    """A config on one line. Values equal to `usual` are not listed; the line only says that there are more."""
    if usual:
        told = {name: value for name, value in config.items() if name not in usual or usual[name] != value}
        return ", ".join(filter(None, (config_text(told), "the others at their defaults" if len(told) < len(config) else "")))
    return ", ".join(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in config.items())


def sparkline(values: Iterable[float | None], width: int = 60) -> str:
    """A curve in one line, with its first and last value; NaN is a gap."""
    numbers = [math.nan if value is None else value for value in values]
    if not numbers:
        return "–"
    step = max(len(numbers) / width, 1.0)
    shown = [numbers[int(place * step)] for place in range(int(len(numbers) / step))]
    finite = [value for value in shown if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    levels = "▁▂▃▄▅▆▇█"
    drawn = (levels[round((value - low) / ((high - low) or 1.0) * 7)] if math.isfinite(value) else " " for value in shown)
    return f"{score_text(numbers[0])} {''.join(drawn)} {score_text(numbers[-1])}"


# --- the answer ---------------------------------------------------------------------------------------------------------------------------


def sweep_of(display: Display) -> str:
    """The name of the sweep that a display shows; empty before it has begun."""
    return str(display._books.info.get("name", ""))
