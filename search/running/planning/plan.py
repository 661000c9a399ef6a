"""Which member comes next: all phases of a sweep as one question. Tune's Searcher asks it; the catalogue's rows give the answer.

search → confirm → read the test split → done. The plan has no state that the catalogue does not have. So a new driver that loads the rows
makes the same decisions as the old one would have made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

from infra.catalogue import MemberRow
from objectives.base import Config, Phase, State
from search.asking.projection import Books
from search.asking.space import Space
from search.asking.study import Study
from search.choosing import from_members, race
from search.choosing.answer import Answer, Candidate, Row, SelectionError
from search.choosing.verdict import with_chores, with_test
from search.choosing.words import listed
from search.facts import CHORES, UNPROVEN
from search.running.planning import ranges
from search.running.planning.division import Division
from search.running.planning.faults import Cause, Faults
from search.running.planning.generations import Generations
from search.running.planning.new_members import NewMembers
from search.running.planning.prior import Prior
from search.running.planning.rounds import Rounds
from search.running.planning.spending import Spending
from search.running.planning.until import Until
from search.running.planning.wall import WallTime
from search.running.working.work import Prepared, Progress, Reading, Result, Scored, TestRead, Warmed
from search.running.writing.ledger import SHOWN_MEMBERS, Ledger, noted, why_no_answer
from search.spec.keys import Spec

CUT = "the confirmation ended before its end, because {why}; `lagrange resume` goes on with it"
FEWEST = 3  # members that must complete before the search may be ended by its share of the wall time
CHORE = -1  # stands where a job has no member's number


def alone(config: Config) -> None:
    """The `bundle` of an objective whose members are always trained one by one."""


class Pause(Enum):
    """Answers of the plan that are not jobs."""

    WAIT = "wait"
    DONE = "done"


class Kind(StrEnum):
    """The kind of a job: a pack of members to train, or a chore of the sweep."""

    PREPARE = "prepare"
    TRAIN = "train"
    READ_TEST = "read_test"


@dataclass(frozen=True)
class Job:
    """What comes next: members to train (`rows`), or weights to score on the test split (`readings`), or neither."""

    kind: Kind
    rows: tuple[MemberRow, ...] = ()
    readings: tuple[Reading, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The members' numbers, in the order of the pack."""
        return tuple(row.number for row in self.rows)


class Plan:
    """The next job of one sweep. Single-threaded: everything happens on the driver's thread, inside Tune's loop."""

    def __init__(
        self,
        spec: Spec,
        space: Space,
        study: Study,
        ledger: Ledger,
        weights: Callable[[int], Path],
        *,
        wall: Spending | None = None,
        candidates: Sequence[Candidate] = (),
        look: race.Look = race.Look(),
        bundle: Callable[[Config], Hashable] = alone,
        workers: int = 1,
        prior: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.spec, self.space, self.study, self.ledger = spec, space, study, ledger
        self.wall, self.cut = wall or Spending(spec, WallTime(None)), False  # cut: whether the budget ended the race before its end
        self.rounds = Rounds(spec, space, ledger, candidates, look, lambda: room(self))
        self._until = Until(spec, space, self.rounds.table)
        self.answer: Answer | None = None
        self.answered: Callable[[], object] = lambda: None  # is called when the answer is known, before the test split is read
        self.problem, self.refused = "", False  # why it ended early, and whether that is a mistake in what was asked
        self.halted = ""  # why it stops with members left: a disk takes no more, and the sweep can go on when that is mended
        self.weights = weights
        self.division = Division(spec, ledger, bundle, workers)
        self._new = NewMembers(spec, space, study, ledger, Prior(spec, space, prior))
        self.notes: list[str] = []  # notes about the data
        self.prepared = self.test_read = False
        self.in_flight: dict[int, int] = {}  # the members in training, each with the first member of its pack
        self.generations = Generations(spec, space, ledger, bundle)
        self.faults = Faults(ledger, spec.limits, sum(from_members.planned(spec).values()))
        # Members that an earlier driver left open go first; before anything is asked for, those of them that were in training.
        self._queue = [row for row in ledger.ordered() if row.state is None and not self.generations.holds(row)]
        self._under_way = {row.number for row in self._queue if ledger.under_way(row)}

    def next(self) -> Job | Pause:
        """A job, or the reason why there is none now."""
        if self.problem or self.halted:
            return Pause.DONE
        if not self.prepared:
            return self._prepare()
        if not self.wall.over():
            left = 0 if self.search_is_over() else self.to_come()
            # Members that passed a rung wait until others fill their pack, as long as there are fresh members to train meanwhile.
            if not self._under_way and left > 0 and len(self._queue) < self.division.size(Phase.SEARCH):
                self._queue += self._new.some(min(left, self.division.size(Phase.SEARCH)))
            if self._queue:
                return Job(Kind.TRAIN, self._take())
        if self.in_flight:
            return Pause.WAIT
        if self.generations.waiting and not self.wall.over():
            self._queue += self.generations.released() if self.search_is_over() else self.generations.next(self.ended)
            return self.next()
        return self._after_search()

    def _take(self) -> tuple[MemberRow, ...]:
        """The next pack of the queue. It is a function of the rows, so that a new driver takes the same one."""
        queue = sorted(self._queue, key=lambda row: row.number)
        first = [row for row in queue if row.number in self._under_way] or queue
        suspects = [row for row in first if self.faults.suspect(row)]
        taken = suspects[:1] or self.division.next(first, self.to_come(), len(set(self.in_flight.values())))
        numbers = {row.number for row in taken}
        self._queue = [row for row in queue if row.number not in numbers]
        self._under_way -= numbers
        self.in_flight.update(dict.fromkeys(numbers, min(numbers)))
        return tuple(taken)

    def searched(self) -> int:
        """How many members of the search phase exist."""
        return self.ledger.tally.searched

    def to_come(self) -> int:
        """How many members the search still asks for."""
        searched = self.searched()
        return max(0, self._until.wanted(searched, bool(self.in_flight or self._queue)) - searched) + len(self._new.owed)

    def search_is_over(self) -> bool:
        """Whether the search has had its share of the budget, and enough members completed for a fit."""
        return self.ledger.tally.complete >= FEWEST and self.wall.search_over()

    def ended(self, number: int) -> None:
        """A member has its state: tell Optuna, and note that it no longer runs."""
        self.in_flight.pop(number, None)
        row = self.ledger.rows[number]
        if row.phase == Phase.SEARCH:
            self.study.tell(row)
            self._new.ended(row)

    def passed(self, number: int) -> None:
        """A member goes on after a rung, but others of its pack do not. It waits for a new pack."""
        self.in_flight.pop(number, None)
        if not self.generations.holds(self.ledger.rows[number]):
            self._queue.append(self.ledger.rows[number])

    def lost(self, job: Job, said: str, cause: Cause = Cause.DIED, seconds: float = 0.0) -> None:
        """A job's worker is gone, after so many seconds without a report. What it did is tried again as often as the limits of the spec
        say: members from their checkpoints."""
        numbers = [number for number in job.numbers if self.in_flight.pop(number, None) is not None]
        numbers = [number for number in numbers if self.ledger.rows[number].state is None]
        self.try_again(numbers, said, cause, seconds)
        if job.rows:
            self.wall.add(seconds)
        else:
            chore_took(self, job.kind, seconds)
            chore_lost(self, job.kind, said, cause)

    def try_again(self, numbers: Sequence[int], said: str, cause: Cause, seconds: float = 0.0) -> None:
        """Members were lost with their worker, or their processes were. Those that may go on come before all others."""
        ended = self.faults.lost(numbers, said, cause, seconds) if numbers else set[int]()
        for number in numbers:
            if number in ended:
                self.ended(number)
            else:
                self._queue.append(self.ledger.rows[number])
                self._under_way.add(number)

    def stops(self, job: Job, result: Result) -> bool:
        """Whether this report of a job is its last. A rung or the wall time ends some of its members; the others wait for a new pack."""
        if not isinstance(result, Progress):
            return False
        stopped = self.ledger.decide(result.by_member(job.numbers))
        reached = self.generations.reached(result.by_member(job.numbers))
        if self.wall.over() or (job.rows[0].phase == Phase.SEARCH and self.search_is_over()):
            stopped = set(job.numbers)
            for number in stopped:
                self.ledger.doom(number, f"budget: {self.wall.why()}")
        late = self.faults.late(job.numbers, result.seconds)
        for number, why in late.items():
            self.ledger.doom(number, why, State.FAILED)
        return reached or bool(stopped) or bool(late)

    def heard(self, job: Job, result: Result, stopped: bool = False) -> None:
        """A worker has reported on a job. `stopped` is what `stops` said of this report."""
        fault = None if isinstance(result, Warmed) else result.fault
        if fault is not None and fault.disk:
            self.halted = fault.words
        if isinstance(result, Progress):
            progressed(self, job, result, stopped)
        elif self.halted:
            self.in_flight.pop(CHORE, None)
        elif isinstance(result, Prepared):
            prepared_with(self, result)
        elif isinstance(result, TestRead):
            read_with(self, result)

    def left_open(self, job: Job, why: str = "") -> None:
        """A job is over. Members of it that nobody has ended are tried again: without this the sweep would wait for them for ever."""
        if not self.halted and any(number in self.in_flight for number in job.numbers):
            self.lost(job, why or "it said nothing of how they ended", Cause.AROUND)

    def stuck(self) -> None:
        """The plan waits, and nothing runs: this is a fault of Lagrange, and it ends the sweep, for it would wait for ever."""
        waits = sorted({one for one in self.in_flight if one != CHORE})
        what = f"members {listed(waits, SHOWN_MEMBERS)}" if waits else "the preparation" if not self.prepared else "the test split"
        self.problem = (
            f"the sweep waits for {what}, and no worker has them (a fault of Lagrange). Nothing that was trained is lost: resume the sweep."
        )

    def _prepare(self) -> Job | Pause:
        if CHORE in self.in_flight:
            return Pause.WAIT
        self.in_flight[CHORE] = CHORE
        return Job(Kind.PREPARE)

    def _after_search(self) -> Job | Pause:
        """The search is over and nothing runs: confirm, then answer, then read the test split once."""
        if self.answer is None:
            self.ledger.leftovers.search_is_over(self.ledger.rows.values())
            try:
                missing = self.rounds.next()
            except SelectionError as error:
                self.problem = str(error)
                return Pause.DONE
            if missing and not self.wall.over():
                self._queue += self._new.confirmed(missing)
                return self.next()
            self.cut = bool(missing or self._queue or self.generations.waiting)
            found = self.rounds.answer()
            cut = [CUT.format(why=self.wall.why())] if self.cut else []
            cut += self.wall.said(self.searched(), self.spec.budget.trials if self.to_come() else 0)
            told = self._new.prior.remarks(self.ledger.ordered(), self.ledger.curves)
            self.answer = with_cost(self, replace(found, notes=[*self.notes, *cut, *told, *found.notes]))
            self.answered()
        if self.test_read or self.wall.over():
            return Pause.DONE
        self.test_read = True
        if not (to_read := readings(self, self.answer)):
            return Pause.DONE
        self.in_flight[CHORE] = CHORE
        return Job(Kind.READ_TEST, readings=to_read)

    def table(self) -> list[Row]:
        """The members, as rows for the choice."""
        return self.rounds.table()


def progressed(plan: Plan, job: Job, progress: Progress, stopped: bool) -> None:
    """Write down what a pack has reported, and see who ended, who waits, and who is to be tried again."""
    lost = {report.number: report for report in progress.reports if report.lost and plan.ledger.rows[report.number].state is None}
    told = {number: [one for one in mine if not one.lost] for number, mine in progress.by_member(job.numbers).items()}
    plan.wall.add(progress.seconds)
    ended = plan.ledger.record(told, progress.seconds, progress.worker, wait=stopped)
    for number in job.numbers:
        if number in ended:
            plan.ended(number)
        elif number in lost:
            plan.in_flight.pop(number, None)
            plan.try_again([number], lost[number].reason, Cause(lost[number].lost))
        elif stopped and plan.ledger.rows[number].state is None:
            plan.passed(number)
    if progress.remark:
        plan.ledger.note(progress.remark)
    if progress.done and not stopped and not plan.halted:
        plan.left_open(job, progress.fault.words if progress.fault is not None else "")


def read_with(plan: Plan, said: TestRead) -> None:
    """Take over what the test split says."""
    plan.in_flight.pop(CHORE, None)
    chore_took(plan, Kind.READ_TEST, said.seconds)
    assert plan.answer is not None
    plan.answer = with_cost(plan, with_test(plan.answer, read_scores(plan, said.scored), said.error))


def with_cost(plan: Plan, answer: Answer) -> Answer:
    """The answer with the time of the steps in which no member is trained, beside that of the members."""
    return replace(answer, spent=with_chores(answer.spent, plan.ledger.fact(CHORES)))


def chore_took(plan: Plan, kind: Kind, seconds: float) -> None:
    """Count the time of a step of the sweep: it holds a worker, as a member does."""
    if seconds > 0:
        plan.wall.add(seconds)
        counts = plan.ledger.fact(CHORES)
        noted(plan.ledger, [], CHORES, {**counts, kind: counts.get(kind, 0.0) + seconds})


def chore_lost(plan: Plan, kind: Kind, said: str, cause: Cause) -> None:
    """The worker of a step of the sweep is gone. The step is tried again; where that ends the data has no preparation, or no test score."""
    plan.in_flight.pop(CHORE, None)
    why = plan.faults.chore(kind, said, cause)
    if kind is Kind.PREPARE:
        plan.problem = why
    elif plan.answer is not None and why:
        plan.answer = with_test(plan.answer, [], why)
    else:
        plan.test_read = False


def prepared_with(plan: Plan, said: Prepared) -> None:
    """Write down facts about the data, or what is wrong with the data."""
    plan.in_flight.pop(CHORE, None)
    chore_took(plan, Kind.PREPARE, said.seconds)
    plan.faults.done(Kind.PREPARE)
    plan.prepared = True
    plan.problem, plan.refused = said.error, said.refused
    if said.error:
        return
    plan.spec = ranges.written(plan.spec, plan.space, plan.ledger, said.facts)
    plan.notes = [*ranges.notes(plan.spec, plan.ledger), *(str(note) for note in said.facts.get("notes", []))]
    for note in plan.notes:
        plan.ledger.note(note)
    plan.notes += map(str, said.facts.get(UNPROVEN, []))  # with the answer alone: it is about what the answer is worth
    plan.division.width = width = int((pack := said.facts.get("pack", {})).get("members", 1))
    if plan.spec.pack == "auto" and pack.get("rates"):
        plan.ledger.note(f"{f'packs of {width}' if width > 1 else 'one member at a time'}: {pack['why']}")


def books(plan: Plan) -> Books:
    """The members as a projection for Optuna's tools reads them."""
    return Books(plan.spec, plan.space, plan.ledger.ordered(), plan.ledger.curves)


def ended(plan: Plan, carried_out: bool) -> tuple[str, str]:
    """How a sweep ended (complete, interrupted, failed, or refused by its objective), and why where it has no answer."""
    if plan.halted:
        return "interrupted", plan.halted
    if not carried_out or plan.answer is not None:
        return ("complete" if carried_out else "interrupted"), ""
    return ("refused" if plan.refused else "failed"), plan.problem or why_no_answer(plan.ledger.ordered())


def room(plan: Plan) -> float:
    """How many whole members the budget has room for, by what an epoch has taken so far."""
    rows = plan.ledger.rows.values()
    epochs = sum(row.epochs - row.start for row in rows)
    member_s = plan.spec.settings().epochs * sum(row.seconds for row in rows) / max(epochs, 1)
    return plan.division.workers * plan.wall.left_s() / member_s if member_s > 0 else math.inf


def readings(plan: Plan, answer: Answer) -> tuple[Reading, ...]:
    """What is to be scored on the test split for an answer."""
    wanted = from_members.to_read(answer, plan.ledger.ordered(), plan.rounds.candidates, set(plan.rounds.seeds()))
    return tuple(Reading(arm, row.seed, row.config, plan.weights(row.number)) for arm, row in wanted)


def read_scores(plan: Plan, scored: Sequence[Scored]) -> list[tuple[str, int, float]]:
    """Arm, seed and score of each reading of the test split; lower is better. MLflow is told of them by their members."""
    for one in scored:
        for row in plan.ledger.ordered():
            if row.phase == Phase.CONFIRM and row.seed == one.reading.seed and row.config == one.reading.config:
                plan.ledger.mirror.tested(row, one.scores)
    return [(one.reading.arm, one.reading.seed, plan.spec.asked[0].lower(one.scores["score"])) for one in scored]
