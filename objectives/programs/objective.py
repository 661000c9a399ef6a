"""What functions and programs have in common as objectives."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from objectives.base import Check, Config, Knob, Member, Metric, Objective, ObjectiveError, Settings
from objectives.programs import alive
from objectives.programs.declared import Declared
from objectives.programs.host import Host
from objectives.programs.keeping import BEYOND_NUMBER, numbers_of
from objectives.programs.process import MemberProcess
from objectives.programs.run import ProcessRun
from objectives.programs.trial import BEYOND


class ProgramObjective(Objective):
    """A training that is a process. A subclass for each declaration says what starts it."""

    declared: ClassVar[Declared] = Declared("score")
    title: ClassVar[str] = ""  # as a spec names it
    function: ClassVar[str] = ""  # what the host imports; empty for a program
    how_to_seed: ClassVar[str] = ""
    how_to_prove: ClassVar[str] = ""  # how it is proven that the score contains no λ
    how_to_end: ClassVar[str] = ""  # what a training that ends before its last epoch lacks
    needs_lambda: ClassVar[bool] = False  # people tune what has no λ; the baseline is what they compare with then

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._host: Host | None = None
        self._notes: list[str] = []

    @property
    def host(self) -> Host:
        """The server that starts members; it starts when it is first needed, and again where something has ended it."""
        if self._host is None or not self._host.alive:
            self._host = Host(self.function, self.settings.threads)
            weakref.finalize(self, self._host.close)
        return self._host

    def load_data(self) -> object:
        """Start the server, which imports the user's module."""
        return self.host

    def prepare(self) -> dict[str, Any]:
        """What is trained."""
        self.load_data()
        return {"dataset": {"name": "none"}, "model": "none", "notes": self._notes}

    def tried(self, names: Sequence[str]) -> list[Check]:
        """Prove by short trainings that the seed, these λ and all nuisance knobs have an effect."""
        wanted = [name for name, one in self.knobs.items() if name in names or not one.is_lambda]
        checks, notes = alive.check(self, wanted)
        self._notes += notes
        return [*(Check("(training)", True, "", note) for note in notes), *checks]

    def starts(self, member: Member, folder: Path, again: bool, epochs: int, asked: Sequence[Config]) -> MemberProcess:
        """Start the process of a member that trains for so many epochs. `again`: it goes on in its folder.

        `asked`: the configs at which the score of what it has trained is wanted too.
        """
        raise NotImplementedError

    def explain(self, member: Member) -> str:
        """Why a program may have reported nothing."""
        return ""

    def epoch_seconds(self, config: Config) -> float:
        """About how long an epoch takes here, with its part of what a process takes to start."""
        run, times, began = self.start([Member(0, config, 0)]), list[float](), time.monotonic()
        try:
            while len(times) < 2:
                (report,) = run.step()
                times.append(time.monotonic() - began)
                if report.state is not None:
                    break
        finally:
            run.close()
        epochs = self.settings.epochs
        return (times[0] + (epochs - 1) * (times[-1] - times[0])) / epochs

    def start(self, members: Sequence[Member]) -> ProcessRun:
        """Begin to train."""
        return self._run(members, self.settings.epochs, ())

    def short(self, member: Member, epochs: int, asked: Sequence[Config]) -> ProcessRun:
        """A training of so many epochs at most, which scores what it has trained at these configs too, if it can."""
        return self._run([member], min(epochs, self.settings.epochs), asked)

    def _run(self, members: Sequence[Member], epochs: int, asked: Sequence[Config]) -> ProcessRun:
        return ProcessRun(
            members,
            self.declared,
            epochs,
            lambda member, folder, again: self.starts(member, folder, again, epochs, asked),
            best_epoch=self.settings.score == "best_epoch",
            silence_s=self.settings.silence_s,
            explain=self.explain,
            how_to_end=self.how_to_end,
        )

    def read_test(self, config: Config, weights: Path) -> dict[str, float]:
        """What the training itself has measured on the test split.

        Raises:
            ObjectiveError: it has reported no such number.
        """
        numbers, wanted = numbers_of(weights), self.declared.test_score
        if (epochs := numbers.get(BEYOND_NUMBER)) is not None:
            raise ObjectiveError(f"{self.title} reports no {wanted}: {BEYOND.format(epochs=int(epochs))}.")
        if wanted not in numbers:
            raise ObjectiveError(f"{self.title} reports no {wanted}; {self.how_to_test(wanted)}")
        value = numbers[wanted]
        return {"score": value, **{name: one for name, one in numbers.items() if name.startswith("test_")}}

    def how_to_test(self, name: str) -> str:
        """How a training reports its score on the test split."""
        raise NotImplementedError


def made(base: type[ProgramObjective], declared: Declared, title: str, **more: Any) -> type[ProgramObjective]:
    """The objective class of a declaration."""
    knobs: Mapping[str, Knob] = declared.named
    metrics: Mapping[str, Metric] = declared.measured
    return type(
        base.__name__,
        (base,),
        {
            "declared": declared,
            "title": title,
            "knobs": knobs,
            "metrics": metrics,
            "score": declared.score,
            "default_epochs": declared.epochs,
            "default_search": tuple(knobs),
            **more,
        },
    )
