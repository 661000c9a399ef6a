"""Is it alive, for trainings that nobody can look into: a few short trainings say what seed and knobs do.

The first one has every λ off. The same seed again gives the same number, or says how far two trainings of one seed are apart: noise that no
seed explains. Another seed gives another number. Each knob moved to another value gives another number, on the same seed. A function also
says which knobs it reads, and, with `score_at`, what its score would be with each λ on: the same number, for a score contains no λ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from objectives.base import Check, Config, Knob, Member, ObjectiveError, State, Value
from objectives.programs.run import ProcessRun

EPOCHS = 2  # of a short training, at most
SEED = 1_000_003
SEEDS = 6  # seeds that are tried before all are said to be alike
SCORE_TOLERANCE = 1e-6  # relative


class Subject(Protocol):
    """The objective under examination."""

    title: ClassVar[str]
    function: ClassVar[str]
    how_to_seed: ClassVar[str]
    how_to_prove: ClassVar[str]
    score: ClassVar[str]
    knobs: ClassVar[Mapping[str, Knob]]

    def short(self, member: Member, epochs: int, asked: Sequence[Config]) -> ProcessRun:
        """A training of so many epochs, which scores what it has trained at these configs too."""
        ...


@dataclass(frozen=True)
class Short:
    """What a short training came to: the metrics after each epoch, the knobs that it read, the scores at other configs, how it ended."""

    metrics: tuple[Mapping[str, float], ...]
    read: frozenset[str]
    moved: tuple[float, ...]
    lost: str = ""  # why it did not end well
    beyond: bool = False  # whether it reported once more after its last epoch
    failed: bool = False  # whether it was lost to an error, not to its config

    def apart(self, other: Short, score: str) -> float:
        """The largest difference of the two scores after an epoch; infinite where one of the two did not end well."""
        if self.lost != other.lost:
            return math.inf
        pairs = zip(self.metrics, other.metrics, strict=False)
        return max((abs(a[score] - b[score]) for a, b in pairs if score in a and score in b), default=0.0)


def check(subject: Subject, names: Sequence[str]) -> tuple[list[Check], list[str]]:
    """One verdict for each knob in `names`, and remarks on seeds.

    Raises:
        ObjectiveError: a training with every λ off does not end well; or seed or knobs are not used.
    """
    knobs = subject.knobs
    base: dict[str, Value] = {name: one.off if one.off is not None else one.default for name, one in knobs.items()}
    lambdas = [name for name in names if knobs[name].is_lambda]
    first = _short(subject, base, SEED, [{**base, name: elsewhere(knobs[name], base[name])[0]} for name in lambdas])
    if first.lost:
        at = ", ".join(f"{name}={_shown(value)}" for name, value in base.items())
        raise ObjectiveError(f"{subject.title} must train; with {at} a short training {first.lost}")
    _reads_all(subject, first)
    gap, notes = _seeds(subject, base, first)
    notes += [_own_loop(subject, len(first.metrics))] if first.beyond else []
    in_score = dict(zip(lambdas, first.moved, strict=False))
    checks = []
    for name in names:
        wrong = _in_the_score(first.metrics[-1][subject.score], name, elsewhere(knobs[name], base[name])[0], in_score)
        checks.append(wrong or _moves(subject, knobs[name], base, first, gap, in_score))
    return checks, notes


def _own_loop(subject: Subject, epochs: int) -> str:
    """A remark on a function whose loop does not end with the epochs that it is given."""
    said = (
        f"{subject.title} was asked for {epochs} epoch{'s' * (epochs != 1)} and reported once more: its loop is not one over trial.epochs()"
    )
    return f"{said}. A training that reports after its last epoch is ended there, and what is behind the loop (trial.finish) is not reached"


def _reads_all(subject: Subject, first: Short) -> None:
    unread = [name for name in subject.knobs if name not in first.read] if subject.function else []
    if unread:
        raise ObjectiveError(
            f"{subject.title} must read every knob that it declares; in {len(first.metrics)} epochs it never read "
            f"trial.{', trial.'.join(unread)}. Use it, or take it out of the declaration."
        )


def _seeds(subject: Subject, base: Config, first: Short) -> tuple[float, list[str]]:
    """How far two trainings of one seed are apart, and a remark where they are."""
    score = subject.score
    gap = first.apart(_short(subject, base, SEED), score)
    if gap:
        said = f"two trainings with the same seed differ by {gap:.3g} in {score} after {len(first.metrics)} epochs"
        return gap, [f"{said}: no seed explains this noise, so comparing on the same seeds helps less"]
    # A coarse score, such as an accuracy on few rows, may be the same by chance.
    if not any(first.apart(_short(subject, base, SEED + further), score) for further in range(1, SEEDS)):
        raise ObjectiveError(
            f"{subject.title} must use its seed; trainings with {SEEDS} seeds have the same {score} in every digit. {subject.how_to_seed} "
            "Where the score is just too coarse to tell, `check: false` searches all the same."
        )
    return 0.0, []


def _in_the_score(here: float, name: str, value: Value, in_score: Mapping[str, float]) -> Check | None:
    """A fault, where the same weights have another score with this λ on."""
    there = in_score.get(name, here)
    if abs(there - here) <= SCORE_TOLERANCE * max(1.0, abs(here)):
        return None
    said = f"the same model scores {here:.6g} with it off and {there:.6g} with {name} = {_shown(value)}"
    return Check(name, False, "λ in the score", f"{said}. A score must not contain λ, or the weakest λ always wins")


def _moves(subject: Subject, knob: Knob, base: Config, first: Short, gap: float, in_score: Mapping[str, float]) -> Check:
    """Whether a knob changes what is trained. A coarse score may not show it at the first value that is tried."""
    score, name, at = subject.score, knob.name, base[knob.name]
    free = name in in_score or not knob.is_lambda
    for value in elsewhere(knob, at):
        other = _short(subject, {**base, name: value}, SEED)
        where, moved = f"{name} = {_shown(value)} against {_shown(at)}", first.apart(other, score)
        if other.failed:
            said = f"with {name} = {_shown(value)} a short training {other.lost}"
            return Check(name, False, "fails", f"every value of its range must train; {said}")
        if moved > gap:
            break
    else:
        if gap:
            said = f"{where} moves {score} by {moved:.3g}, and the same training twice by {gap:.3g}"
            return Check(name, True, "", said, proven=False, free=free)
        said = f"{where}, same seed: {score} is the same in every digit after {len(first.metrics)} epochs"
        return Check(name, False, "no effect", f"{said}, and so it is at other values. Use the knob, or take it out")
    if math.isinf(moved):
        return Check(name, True, "", f"{where}: the short training {other.lost.splitlines()[0] if other.lost else 'is lost'}", free=free)
    doubt = "" if free else f"; not proven: that the score contains no λ ({subject.how_to_prove})"
    return Check(name, True, "", f"{where} moves {score} by {moved:.3g}{doubt}", free=free)


def elsewhere(knob: Knob, at: Value) -> list[Value]:
    """Other values of a knob, the first of them well inside of its range."""
    if knob.choices:
        return [value for value in knob.choices if value != at] or list(knob.choices)
    low, high = float(knob.low or 0.0), float(knob.high or 1.0)
    found: list[Value] = []
    for share in (0.5, 0.8, 0.1, 1.0):
        value = low * (high / low) ** share if knob.log else low + share * (high - low)
        value = round(value) if knob.integer else value
        if not math.isclose(value, float(at), rel_tol=0.3) and value not in found:
            found.append(value)
    return found or [high]


def _shown(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _short(subject: Subject, config: Config, seed: int, asked: Sequence[Config] = ()) -> Short:
    """Train for a moment."""
    run = subject.short(Member(0, config, seed), EPOCHS, asked)
    metrics: list[Mapping[str, float]] = []
    try:
        while len(metrics) < EPOCHS:
            (report,) = run.step()
            if report.state in (None, State.COMPLETE):
                metrics.append(report.metrics)
            elif report.state is not None:
                trace = f"\n{report.traceback}" if report.traceback.strip() not in report.reason else ""
                said = f"ended as {report.state}: {report.reason}{trace}"
                return Short(tuple(metrics), run.seen(0)[0], (), said, failed=report.state == State.FAILED)
            if report.state is not None:
                break
        read, moved, beyond = run.seen(0)
        return Short(tuple(metrics), read, tuple(moved), beyond=beyond)
    finally:
        run.close()
