"""Which member comes next: the phases of a sweep as one question, asked by the searcher and answered from the catalogue's rows.

search → confirm → read the test split → done. The plan has no state that the catalogue lacks: a new driver that loads the rows goes on
with the decisions the old one would have made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from infra.catalogue import MemberRow, config_hash
from objectives import metrics
from objectives.base import Config, Phase, Value
from search import samplers, selection
from search.ledger import Ledger
from search.seeds import derive
from search.space import OFF_ARM, Space
from search.spec import Spec
from search.study import OFF_EVERY, Study

RETRIES = 1  # a member whose worker died is tried once more, from its checkpoint


class Pause(Enum):
    """Answers of the plan that are no job."""

    WAIT = "wait"
    DONE = "done"


@dataclass(frozen=True)
class Job:
    """One Tune trial: a pack of members to train, or a chore of the sweep (`prepare`, `read_test`)."""

    kind: str
    rows: tuple[MemberRow, ...] = ()
    items: tuple[dict[str, Any], ...] = ()


class Plan:
    """The next job of one sweep. Single-threaded: everything happens on the driver's thread inside Tune's loop."""

    def __init__(
        self,
        spec: Spec,
        space: Space,
        study: Study,
        ledger: Ledger,
        weights: Callable[[int], str],
        *,
        deadline: float | None = None,
        candidates: Sequence[selection.Candidate] = (),
        bundle: Callable[[Config], Hashable] | None = None,
        workers: int = 1,
    ) -> None:
        self.spec, self.space, self.study, self.ledger, self.deadline = spec, space, study, ledger, deadline
        self.candidates = list(candidates)
        self._chosen = bool(self.candidates)  # apart from the list, which stays empty where nothing is to be confirmed
        self.answer: selection.Answer | None = None
        self.problem = ""
        self._weights, self._bundle, self._workers = weights, bundle, workers
        self._notes: list[str] = []  # on the data
        self._wide = 1  # how many members make a pack: measured when the data is prepared
        self._prepared = self._test_read = False
        self._in_flight: dict[int, int] = {}  # who is trained now, and by whom their pack is known; a chore is −1
        self._attempts: dict[int, int] = {}
        # What an earlier driver left open goes first, in the order of asking.
        self._queue = [row for row in ledger.ordered() if row.state is None]

    def next(self) -> Job | Pause:
        """A job, or why there is none now."""
        if self.problem:
            return Pause.DONE
        if not self._prepared:
            return self._prepare()
        if not self.out_of_time():
            left = self.spec.budget.trials - self.searched()
            # Members that passed a rung wait for others to fill a pack with, as long as there are fresh ones to train meanwhile.
            if left > 0 and len(self._queue) < self._even(Phase.SEARCH):
                self._queue += [self._ask() for _ in range(min(left, self._even(Phase.SEARCH)))]
            if self._queue:
                return Job("train", self._take())
        if self._in_flight:
            return Pause.WAIT
        return self._after_search()

    def _widest(self, phase: str) -> int:
        """How many members of a phase a pack may have: as many as train well together.

        An adaptive sampler learns from what was told between asks, so it gives at most a quarter of the trials without a word.
        """
        asks = phase == Phase.SEARCH and samplers.adaptive(self.spec.sampler)
        return min(self._wide, max(1, self.spec.budget.trials // 4)) if asks else self._wide

    def _even(self, phase: str) -> int:
        """How many members of a phase make a pack, so that every worker gets equally many packs of one size."""
        rows = sum(row.phase == phase for row in self.ledger.rows.values())
        members = max(rows, self.spec.budget.trials) if phase == Phase.SEARCH else rows
        rounds = math.ceil(members / (self._widest(phase) * self._workers))
        return max(1, math.ceil(members / (rounds * self._workers)))

    def _take(self) -> tuple[MemberRow, ...]:
        """The first members of the queue that can be one pack: of one phase, equally long trained, and alike for the objective."""
        kinds: dict[tuple[Any, ...], list[MemberRow]] = {}
        for row in self._queue:
            kinds.setdefault(self._kind(row), []).append(row)
        # The fullest pack goes first; the few that passed a rung wait for others that do.
        found = max(kinds.values(), key=len) if self._wide > 1 else self._queue
        waiting = len(self._queue) + max(0, self.spec.budget.trials - self.searched())
        free = self._workers - len(set(self._in_flight.values()))  # whoever has nothing to do gets some of what is left
        share = math.ceil(waiting / max(1, free))
        taken = found[: 1 if self._bundle is None else min(self._even(found[0].phase), share)]
        numbers = {row.number for row in taken}
        self._queue = [row for row in self._queue if row.number not in numbers]
        self._in_flight.update(dict.fromkeys(numbers, min(numbers)))
        return tuple(taken)

    def _kind(self, row: MemberRow) -> tuple[Any, ...]:
        return (row.phase, row.epochs, None if self._bundle is None else self._bundle(row.config))

    def searched(self) -> int:
        """How many members of the search phase exist."""
        return sum(row.phase == Phase.SEARCH for row in self.ledger.rows.values())

    def out_of_time(self) -> bool:
        """Whether the wall time of the sweep is over."""
        return self.deadline is not None and time.time() > self.deadline

    def ended(self, number: int) -> None:
        """A member has its state: tell Optuna, and forget that it runs."""
        self._in_flight.pop(number, None)
        row = self.ledger.rows[number]
        if row.phase == Phase.SEARCH:
            self.study.tell(row)

    def passed(self, number: int) -> None:
        """A member goes on after a rung that others of its pack did not pass: it waits for a new pack."""
        self._in_flight.pop(number, None)
        self._queue.append(self.ledger.rows[number])

    def lost(self, number: int, why: str) -> str:
        """A member's worker died: queue the member again, or return the reason to give it up."""
        self._in_flight.pop(number, None)
        self._attempts[number] = self._attempts.get(number, 0) + 1
        if self._attempts[number] > RETRIES:
            return f"its worker died {self._attempts[number]} times: {why}"
        self._queue.insert(0, self.ledger.rows[number])
        self.ledger.note(f"member {number}: its worker died ({why}); it resumes from its last checkpoint")
        return ""

    def prepared(self, facts: dict[str, Any], error: str) -> None:
        """The worker's word on the data: facts for the record, or what is wrong with it."""
        self._in_flight.pop(-1, None)
        self._prepared = True
        self.problem = error
        if not error:
            self.ledger.facts(facts)
            self._notes = [str(note) for note in facts.get("notes", [])]
            for note in self._notes:
                self.ledger.note(note)
            pack = facts.get("pack", {})
            self._wide = int(pack.get("members", 1))
            if self.spec.pack == "auto" and pack.get("rates"):
                self.ledger.note(f"{f'packs of {self._wide}' if self._wide > 1 else 'one member at a time'}: {pack['why']}")

    def test_read(self, items: list[dict[str, Any]], error: str) -> None:
        """Scores on the test split, per confirmed seed of the chosen config and its off arm."""
        self._in_flight.pop(-1, None)
        assert self.answer is not None
        self.answer = selection.with_test(self.answer, items, error)

    def _prepare(self) -> Job | Pause:
        if -1 in self._in_flight:
            return Pause.WAIT
        self._in_flight[-1] = -1
        return Job("prepare")

    def _ask(self) -> MemberRow:
        """A fresh config, committed to the catalogue before anyone trains it."""
        searched = [row.arm for row in self.ledger.ordered() if row.phase == Phase.SEARCH]
        number = self.ledger.next_number()
        # Where each λ is searched alone they take turns: the one with the fewest members is next.
        arm = OFF_ARM if len(searched) % OFF_EVERY == 0 else min(self.space.arms, key=searched.count)
        point = self._point(arm, searched)
        arm = arm if point is None else self.space.arm_of(point)
        index = searched.count(arm)
        seed = derive(self.spec.seed, "search")
        if point is not None:
            config = self.study.enqueue(number, self.space.complete(point), arm)
        else:
            config = self.study.ask(number, arm, index)
            if arm == OFF_ARM and not self.space.nuisances:
                seed = derive(self.spec.seed, "search", "off", index)  # one config only: replicates say more than copies
        return self._commit(number, Phase.SEARCH, arm, config, seed)

    def _point(self, arm: str, searched: Sequence[str]) -> Mapping[str, Value] | None:
        """The user's own point that is next, if one is left and it is not the off arm's turn."""
        tried = len(searched) - searched.count(OFF_ARM)
        return self.spec.points[tried] if arm != OFF_ARM and tried < len(self.spec.points) else None

    def _commit(self, number: int, phase: Phase, arm: str, config: dict[str, Value], seed: int) -> MemberRow:
        row = MemberRow(number=number, phase=phase.value, arm=arm, config=config, config_hash=config_hash(config), seed=seed)
        self.ledger.open([row])
        return row

    def _after_search(self) -> Job | Pause:
        """Search is over and nothing runs: confirm, then answer, then read the test split, once."""
        if self.answer is None:
            if not self._chosen and not self._choose():
                return Pause.DONE
            if not self.out_of_time() and self._open_confirmations():
                return self.next()
            self.answer = self._answer()
        if self._test_read or self.out_of_time():
            return Pause.DONE
        self._test_read = True
        items = self._test_items(self.answer)
        if not items:
            return Pause.DONE
        self._in_flight[-1] = -1
        return Job("read_test", items=tuple(items))

    def _choose(self) -> bool:
        try:
            self.candidates = selection.candidates(
                self.table(),
                self.space.knobs,
                fixed=self._constants(),
                configs=self.spec.confirm.configs,
                simplify=self.spec.simplify,
                alone=self.space.alone,
            )
        except selection.SelectionError as error:
            self.problem = str(error)
            return False
        self._chosen = True
        self.ledger.chose(self.candidates)
        return True

    def _constants(self) -> dict[str, Value]:
        """The values of all knobs that are not searched."""
        searched = {knob.name for knob in self.space.knobs}
        return {name: value for name, value in self.space.config({}).items() if name not in searched}

    def _open_confirmations(self) -> bool:
        """Commit the confirmations that are missing; true if there were any. Seeds are fresh: no search member used them."""
        have = {(row.config_hash, row.seed) for row in self.ledger.rows.values() if row.phase == Phase.CONFIRM}
        number = self.ledger.next_number()
        rows: list[MemberRow] = []
        for index in range(self.spec.confirm.seeds):
            seed = derive(self.spec.seed, "confirm", index)
            for candidate in self.candidates:
                digest = config_hash(candidate.config)
                if (digest, seed) not in have:
                    rows.append(
                        MemberRow(
                            number + len(rows), candidate.config, seed, phase=Phase.CONFIRM.value, arm=candidate.arm, config_hash=digest
                        )
                    )
        self.ledger.open(rows)
        self._queue += rows
        return bool(rows)

    def _answer(self) -> selection.Answer:
        found = selection.answer(
            self.table(),
            self.space.knobs,
            self.candidates,
            margin=self.spec.margin,
            score_name=self.ledger.score_name,
            simplify=self.spec.simplify,
            alone=self.space.alone,
        )
        return replace(
            found,
            score_label=self.ledger.labels.get(self.ledger.score_name, ""),
            measured=self._measured(found),
            notes=[*self._notes, *found.notes],
        )

    def _measured(self, found: selection.Answer) -> dict[str, dict[str, dict[str, float]]]:
        """What was asked for beside the score, over the confirmed seeds of the chosen config and of its off arm."""
        off = next((candidate.config for candidate in self.candidates if candidate.arm == OFF_ARM), None)
        arms = {"chosen": found.best, **({"off": off} if off is not None else {})}
        told: dict[str, dict[str, dict[str, float]]] = {}
        for name in (metric.name for file in self.spec.measure for metric in metrics.declared(file)):
            for arm, config in arms.items():
                values = self._confirmed(config_hash(config), name)
                if values:
                    told.setdefault(self.ledger.labels.get(name, name), {})[arm] = selection.mean_of(values)
        return told

    def _confirmed(self, digest: str, metric: str) -> list[float]:
        """A metric of every confirmed member of one config that has it."""
        rows = [row for row in self.ledger.ordered() if row.phase == Phase.CONFIRM and row.config_hash == digest]
        values = [row.metrics.get(metric) for row in rows if row.state == "complete"]
        return [float(value) for value in values if value is not None and math.isfinite(value)]

    def table(self) -> list[selection.Row]:
        """The members as selection sees them. A confirmed config's arm is the one it has among today's candidates."""
        arms = {config_hash(candidate.config): candidate.arm for candidate in self.candidates}
        found = []
        for row in self.ledger.ordered():
            arm = arms.get(row.config_hash, "dropped") if row.phase == Phase.CONFIRM else row.arm
            found.append(
                selection.Row(
                    number=row.number,
                    phase=row.phase,
                    arm=arm,
                    config=row.config,
                    seed=row.seed,
                    state=row.state or "open",
                    score=row.score,
                    rung_score=row.rung_score,
                    epochs=row.epochs,
                    seconds=row.seconds,
                    curve=self.ledger.curves.get(row.number, {}),
                )
            )
        return found

    def _test_items(self, answer: selection.Answer) -> list[dict[str, Any]]:
        alone = {one.arm for one in answer.lambdas if one.alone is not None}
        wanted = {config_hash(one.config): one.arm for one in self.candidates if one.arm in alone}
        wanted[config_hash(answer.best)] = "chosen"
        off = next((candidate for candidate in self.candidates if candidate.arm == OFF_ARM), None)
        if off is not None:
            wanted[config_hash(off.config)] = OFF_ARM
        return [
            {"arm": wanted[row.config_hash], "seed": row.seed, "config": dict(row.config), "weights": self._weights(row.number)}
            for row in self.ledger.ordered()
            if row.phase == Phase.CONFIRM and row.state == "complete" and row.config_hash in wanted
        ]
