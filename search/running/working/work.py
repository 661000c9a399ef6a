"""What goes to a worker, and what comes back. All of it is in this file, and is plain, frozen and validated.

The plan says what comes next (`plan.Job`). `Dispatch` turns it into what a worker needs: a kind of `Work`. A worker answers with the
`Result` that belongs to this kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from infra.storage.depot import NOWHERE, Depot
from objectives.base import Config, Member, Report, Settings

RANGES = "ranges"  # the fact that holds what a pilot found
CHECKED = ConfigDict(extra="forbid", revalidate_instances="always")


@dataclass(frozen=True, config=CHECKED)
class Setting:
    """What all work of one sweep shares. `folder` holds a user's own module; None where the module was shipped to the node.

    `program` is what a spec says of a command, `gpu` how many GPUs a worker has; a fraction is a part of one. `depot` keeps the files that
    work names.
    """

    objective: str
    settings: Settings
    memory_gb: float | None = None
    folder: Path | None = None
    program: dict[str, Any] | None = None
    gpu: float = 0.0
    depot: Depot = NOWHERE


@dataclass(frozen=True, config=CHECKED)
class Origin:
    """What another member has become, from which a member starts. `start`: the epoch from which the member counts on."""

    checkpoint: Path
    start: int = 0


@dataclass(frozen=True, config=CHECKED)
class Show:
    """After which epochs a member is drawn, into which folder, and what is written above it. Epoch 0 is before its training."""

    folder: Path
    epochs: tuple[int, ...]
    caption: str = ""

    def file(self, epoch: int) -> Path:
        """The sheet of an epoch."""
        return self.folder / f"{epoch:05d}.png"


@dataclass(frozen=True, config=CHECKED)
class Assigned:
    """A member to be trained, and where its files go. Weights and a picture are kept only of confirmed members.

    `origin` is what the member starts from; None: from scratch. `heirlooms` are where it leaves what others start from, by epoch.
    `shown` are the small sheets of pictures that it leaves by epoch.
    """

    member: Member
    checkpoint: Path
    weights: Path | None = None
    picture: Path | None = None
    origin: Origin | None = None
    heirlooms: Mapping[int, Path] = field(default_factory=dict)
    shown: Show | None = None


@dataclass(frozen=True, config=CHECKED)
class Reading:
    """Saved weights to be scored on the test split: their arm, and the seed and config of their training."""

    arm: str
    seed: int
    config: Config
    weights: Path


@dataclass(frozen=True, config=CHECKED)
class Prepare:
    """Load the data, prove that each λ in `check` is alive, and say how many members make a pack.

    `pack` is what the spec says. `widest` and `to_train` limit what is worth measuring: no pack will have more members than `widest`, and
    this worker will train `to_train` members in all. `ranges` are the λ whose ranges a pilot is to find, each with the config in which it
    is looked at.
    """

    setting: Setting
    check: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    pack: int | Literal["auto"] = 1
    widest: int = 1
    to_train: int = 1
    ranges: dict[str, Config] = field(default_factory=dict)


@dataclass(frozen=True, config=CHECKED)
class Warm:
    """Load the data and what the first pack needs, while another worker prepares."""

    setting: Setting
    packs: bool = False


@dataclass(frozen=True, config=CHECKED)
class Train:
    """Train these members, which may be one pack. `milestones` are the epochs at which the driver decides who goes on."""

    setting: Setting
    assigned: tuple[Assigned, ...]
    milestones: tuple[int, ...] = ()


@dataclass(frozen=True, config=CHECKED)
class ReadTest:
    """Score saved weights on the test split."""

    setting: Setting
    readings: tuple[Reading, ...]


Work = Prepare | Warm | Train | ReadTest


@dataclass(frozen=True, config=CHECKED)
class Fault:
    """What went wrong around a training, and not in it. `disk`: a disk takes no more, so that another try would end in the same way."""

    words: str
    traceback: str = ""
    disk: bool = False


@dataclass(frozen=True, config=CHECKED)
class Prepared:
    """Facts for the record, or the reason why the sweep cannot go on. `refused`: the objective names it as the user's mistake."""

    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""
    refused: bool = False
    fault: Fault | None = None
    seconds: float = 0.0  # for which a worker did it


@dataclass(frozen=True, config=CHECKED)
class Warmed:
    """The answer to `Warm`. It says nothing."""


@dataclass(frozen=True, config=CHECKED)
class Progress:
    """What a pack has reported since the last `Progress`. `seconds`: the time it took. `remark`: news of the pack, if there is any.

    With a `fault` it is done, and members may have no end: they go on from their checkpoints.
    """

    reports: tuple[Report, ...] = ()
    done: bool = False
    remark: str = ""
    seconds: float = 0.0
    worker: Mapping[str, str | int] = field(default_factory=dict)
    fault: Fault | None = None

    def by_member(self, numbers: tuple[int, ...]) -> dict[int, list[Report]]:
        """The reports of each of these members, in this order. A member that had ended before has none."""
        return {number: [report for report in self.reports if report.number == number] for number in numbers}


@dataclass(frozen=True, config=CHECKED)
class Scored:
    """One reading, with its scores by metric. The metric named in `score` decides."""

    reading: Reading
    scores: dict[str, float]


@dataclass(frozen=True, config=CHECKED)
class TestRead:
    """The scores on the test split, or why the split could not be read."""

    scored: tuple[Scored, ...] = ()
    error: str = ""
    traceback: str = ""
    fault: Fault | None = None
    seconds: float = 0.0  # for which a worker did it


Result = Prepared | Warmed | Progress | TestRead
