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
from objectives.base import Config, Phase, Report, State
from search.asking.projection import Books
from search.asking.space import Space
from search.asking.study import Study
from search.choosing import from_members, race
from search.choosing.answer import Answer, Candidate, Row, SelectionError
from search.choosing.verdict import with_test
from search.running import ranges
from search.running.division import Division
from search.running.generations import Generations
from search.running.ledger import Ledger, why_no_answer
from search.running.new_members import NewMembers
from search.running.prior import Prior
from search.running.rounds import Rounds
from search.running.until import Until
from search.running.wall import WallTime
from search.running.work import Prepared, Progress, Reading, Result, Scored, TestRead
from search.spec.keys import Spec

CUT = "the wall time ended the confirmation before its end; `lagrange resume` goes on with it"
RETRIES = 1  # a member whose worker died is tried once more, from its checkpoint
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
        wall: WallTime | None = None,
        candidates: Sequence[Candidate] = (),
        look: race.Look = race.Look(),
        bundle: Callable[[Config], Hashable] = alone,
        workers: int = 1,
        prior: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.spec, self.space, self.study, self.ledger = spec, space, study, ledger
        self.wall, self.cut = wall or WallTime(None), False  # cut: whether the wall time ended the race before it had an end
        self.rounds = Rounds(spec, space, ledger, candidates, look, lambda: room(self))
        self._until = Until(spec, space, self.rounds.table)
        self.answer: Answer | None = None
        self.answered: Callable[[], object] = lambda: None  # is called when the answer is known, before the test split is read
        self.problem, self.refused = "", False  # why it ended early, and whether that is a mistake in what was asked
        self.weights = weights
        self.division = Division(spec, ledger, bundle, workers)
        self._new = NewMembers(spec, space, study, ledger, Prior(spec, space, prior))
        self._notes: list[str] = []  # notes about the data
        self._prepared = self._test_read = False
        self._attempts: dict[int, int] = {}
        self._in_flight: dict[int, int] = {}  # the members in training, each with the first member of its pack
        self.generations = Generations(spec, space, ledger, bundle)
        # Members that an earlier driver left open go first; before anything is asked for, those of them that were in training.
        self._queue = [row for row in ledger.ordered() if row.state is None and not self.generations.holds(row)]
        self._under_way = {row.number for row in self._queue if ledger.under_way(row)}

    def next(self) -> Job | Pause:
        """A job, or the reason why there is none now."""
        if self.problem:
            return Pause.DONE
        if not self._prepared:
            return self._prepare()
        if not self.wall.over():
            left = 0 if self.search_is_over() else self.to_come()
            # Members that passed a rung wait until others fill their pack, as long as there are fresh members to train meanwhile.
            if not self._under_way and left > 0 and len(self._queue) < self.division.size(Phase.SEARCH):
                self._queue += self._new.some(min(left, self.division.size(Phase.SEARCH)))
            if self._queue:
                return Job(Kind.TRAIN, self._take())
        if self._in_flight:
            return Pause.WAIT
        if self.generations.waiting and not self.wall.over():
            self._queue += self.generations.released() if self.search_is_over() else self.generations.next(self.ended)
            return self.next()
        return self._after_search()

    def _take(self) -> tuple[MemberRow, ...]:
        """The next pack of the queue. It is a function of the rows, so that a new driver takes the same one."""
        queue = sorted(self._queue, key=lambda row: row.number)
        first = [row for row in queue if row.number in self._under_way] or queue
        taken = self.division.next(first, self.to_come(), len(set(self._in_flight.values())))
        numbers = {row.number for row in taken}
        self._queue = [row for row in queue if row.number not in numbers]
        self._under_way -= numbers
        self._in_flight.update(dict.fromkeys(numbers, min(numbers)))
        return tuple(taken)

    def searched(self) -> int:
        """How many members of the search phase exist."""
        return self.ledger.tally.searched

    def to_come(self) -> int:
        """How many members the search still asks for."""
        searched = self.searched()
        return max(0, self._until.wanted(searched, bool(self._in_flight or self._queue)) - searched)

    def search_is_over(self) -> bool:
        """Whether the search has had its share of the wall time, and enough members completed for a fit."""
        return self.ledger.tally.complete >= FEWEST and self.wall.search_over()

    def ended(self, number: int) -> None:
        """A member has its state: tell Optuna, and note that it no longer runs."""
        self._in_flight.pop(number, None)
        row = self.ledger.rows[number]
        if row.phase == Phase.SEARCH:
            self.study.tell(row)

    def passed(self, number: int) -> None:
        """A member goes on after a rung, but others of its pack do not. It waits for a new pack."""
        self._in_flight.pop(number, None)
        if not self.generations.holds(self.ledger.rows[number]):
            self._queue.append(self.ledger.rows[number])

    def lost(self, job: Job, died: str, why: str = "") -> None:
        """A job's worker is gone. Its members are tried once more from their checkpoints, unless we ended the worker (`why` says so)."""
        if not job.rows:
            self.problem = f"the sweep's {job.kind} step lost its worker: {why or died}"
            return
        for number in job.numbers:
            if self._in_flight.pop(number, None) is not None and self.ledger.rows[number].state is None:
                self._lost(number, died, why)

    def _lost(self, number: int, died: str, why: str) -> None:
        self._attempts[number] = self._attempts.get(number, 0) + 1
        if not why and self._attempts[number] <= RETRIES:
            self._queue.append(self.ledger.rows[number])
            self._under_way.add(number)
            self.ledger.note(f"member {number}: its worker died ({died}); it resumes from its last checkpoint")
            return
        state = State.FAILED if why or "preempt" not in died.lower() else State.PREEMPTED
        reason = why or f"its worker died {self._attempts[number]} times: {died}"
        self.ledger.record({number: [Report(number, self.ledger.rows[number].epochs, math.nan, state=state, reason=reason)]}, 0.0, {})
        self.ended(number)

    def stops(self, job: Job, result: Result) -> bool:
        """Whether this report of a job is its last. A rung or the wall time ends some of its members; the others wait for a new pack."""
        if not isinstance(result, Progress):
            return False
        stopped = self.ledger.decide(result.by_member(job.numbers))
        reached = self.generations.reached(result.by_member(job.numbers))
        if self.wall.over() or (job.rows[0].phase == Phase.SEARCH and self.search_is_over()):
            stopped = set(job.numbers)
            for number in stopped:
                self.ledger.doom(number, "budget: the wall time is over, or the search's share of it")
        return reached or bool(stopped)

    def heard(self, job: Job, result: Result, stopped: bool = False) -> None:
        """A worker has reported on a job. `stopped` is what `stops` said of this report."""
        if isinstance(result, Prepared):
            self._prepared_with(result)
        elif isinstance(result, TestRead):
            self._in_flight.pop(CHORE, None)
            assert self.answer is not None
            self.answer = with_test(self.answer, read_scores(self, result.scored), result.error)
        elif isinstance(result, Progress):
            self._progressed(job, result, stopped)

    def _progressed(self, job: Job, progress: Progress, stopped: bool) -> None:
        ended = self.ledger.record(progress.by_member(job.numbers), progress.seconds, progress.worker, wait=stopped)
        for number in job.numbers:
            if number in ended:
                self.ended(number)
            elif stopped and self.ledger.rows[number].state is None:
                self.passed(number)
        if progress.remark:
            self.ledger.note(progress.remark)

    def _prepared_with(self, said: Prepared) -> None:
        """Write down facts about the data, or what is wrong with the data."""
        self._in_flight.pop(CHORE, None)
        self._prepared = True
        self.problem, self.refused = said.error, said.refused
        if said.error:
            return
        self.spec = ranges.written(self.spec, self.space, self.ledger, said.facts)
        self._notes = [*ranges.notes(self.spec, self.ledger), *(str(note) for note in said.facts.get("notes", []))]
        for note in self._notes:
            self.ledger.note(note)
        self.division.width = width = int((pack := said.facts.get("pack", {})).get("members", 1))
        if self.spec.pack == "auto" and pack.get("rates"):
            self.ledger.note(f"{f'packs of {width}' if width > 1 else 'one member at a time'}: {pack['why']}")

    def _prepare(self) -> Job | Pause:
        if CHORE in self._in_flight:
            return Pause.WAIT
        self._in_flight[CHORE] = CHORE
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
            cut = [CUT] if self.cut else []
            told = self._new.prior.remarks(self.ledger.ordered(), self.ledger.curves)
            self.answer = replace(found, notes=[*self._notes, *cut, *told, *found.notes])
            self.answered()
        if self._test_read or self.wall.over():
            return Pause.DONE
        self._test_read = True
        if not (to_read := readings(self, self.answer)):
            return Pause.DONE
        self._in_flight[CHORE] = CHORE
        return Job(Kind.READ_TEST, readings=to_read)

    def table(self) -> list[Row]:
        """The members, as rows for the choice."""
        return self.rounds.table()


def books(plan: Plan) -> Books:
    """The members as a projection for Optuna's tools reads them."""
    return Books(plan.spec, plan.space, plan.ledger.ordered(), plan.ledger.curves)


def ended(plan: Plan, carried_out: bool) -> tuple[str, str]:
    """How a sweep ended (complete, interrupted, failed, or refused by its objective), and why where it has no answer."""
    if not carried_out or plan.answer is not None:
        return ("complete" if carried_out else "interrupted"), ""
    return ("refused" if plan.refused else "failed"), plan.problem or why_no_answer(plan.ledger.ordered())


def room(plan: Plan) -> float:
    """How many whole members the wall time has room for, by what an epoch has taken so far."""
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
