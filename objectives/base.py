"""The interface between what is trained and what searches.

This file holds all that `search` may ask of an objective, with defaults. Nothing here needs torch: the driver of a sweep reads knobs,
metrics and names, and never trains.

A *knob* is a hyperparameter with a range, a unit and a direction. A *member* is one training: a config and a random seed, in a phase.
An *objective* starts a *run* of several members. The run gives one *report* per living member and epoch. How a member ended is its *state*.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

Value = float | int | str | bool
Config = Mapping[str, Value]
Shape = tuple[int, int, int]  # of an image: channels, height, width


class ObjectiveError(Exception):
    """A user's mistake about what is trained. The message says what must hold, what was given and what to do."""


class SpoiledError(ObjectiveError):
    """What was trained so far is wrong and must be thrown away."""


class Phase(StrEnum):
    """Why a member is trained."""

    SEARCH = "search"
    CONFIRM = "confirm"
    RETRAIN = "retrain"


class State(StrEnum):
    """How a member ended. It is written by what ended the member, and never inferred afterwards."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    COLLAPSED = "collapsed"
    FAILED = "failed"
    PREEMPTED = "preempted"


@dataclass(frozen=True)
class Knob:
    """A hyperparameter: its range, its unit, and which end regularizes more.

    `off` is the value at which a λ does not regularize (0 for penalties, noise and dropout, 1 for β, one of the choices). None marks a
    nuisance knob: it is searched too, but it is not the question. `default` is used where a spec neither searches nor fixes the knob.
    `more` names the end of the range that is *more regularized*; nuisance knobs have none. A knob with `choices` is categorical and has no
    range. `structural` knobs change tensor shapes or the code that runs, so members that differ in one cannot be stacked. `when` is a
    sweep's condition: the knob acts only where each named knob has one of these values; elsewhere it is off, or at its default.
    """

    name: str
    summary: str
    formula: str
    unit: str
    default: Value
    low: float | None = None
    high: float | None = None
    log: bool = False
    off: Value | None = None
    more: Literal["high", "low"] | None = None
    integer: bool = False
    choices: tuple[Value, ...] = ()
    structural: bool = False
    likelihood: str = ""  # the only likelihood with which the knob works, if there is one
    where: str = "any"
    cost: str = "0"
    source: str = ""
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    @property
    def is_lambda(self) -> bool:
        """True for a knob that regularizes by degrees. A choice between kinds (of normalization) has an off value, but no strength."""
        return self.off is not None and not isinstance(self.off, str)


Better = Literal["lower", "higher"]


def lowered(value: float, better: str) -> float:
    """A value as all of search compares it: lower is better. Applied again it gives the value back. No other line changes a sign."""
    return -value if better == "higher" else value


@dataclass(frozen=True)
class Metric:
    """A number that a run reports. Where nothing is said, lower is better for a metric that can decide (`decides`).

    `better` says which way is better. None, for a metric that cannot decide: it has no direction of its own, and a spec that asks for it
    says one. `ends` are the least and the greatest value of its formula: nothing beyond them is ever promised.
    """

    name: str
    summary: str
    formula: str
    unit: str
    decides: bool = False
    costly: bool = False
    source: str = ""
    label: str = ""  # the full name, with {features}, {n} and {k} to fill in: without these, two numbers cannot be compared
    better: Better | None = None
    ends: tuple[float, float] = (float("-inf"), float("inf"))

    @property
    def direction(self) -> Better | None:
        """Which way is better; None where the metric does not say."""
        return self.better or ("lower" if self.decides else None)


@dataclass(frozen=True)
class Member:
    """One training: a config (a value for every knob) and a random seed, in a phase. `number` is unique within a sweep.

    `schedule` holds the knobs that move in training: {"beta": [(0, 0.2), (10, 0.5)]} is β = 0.2 for the first ten epochs, then 0.5.
    `folder` is the member's own: what it keeps there survives a kill (None: a training outside of a sweep has none).
    `environment` is added to the surroundings of a member that is a process.
    """

    number: int
    config: Config
    seed: int
    phase: Phase = Phase.SEARCH
    schedule: Mapping[str, Sequence[tuple[int, Value]]] = field(default_factory=dict)
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def config_after(self, epochs: int) -> Config:
        """The config with which the member goes on after so many epochs."""
        moved = {name: [value for start, value in steps if start <= epochs] for name, steps in self.schedule.items()}
        return {**self.config, **{name: values[-1] for name, values in moved.items() if values}}

    @property
    def moves(self) -> frozenset[int]:
        """After how many epochs a knob moves."""
        return frozenset(start for steps in self.schedule.values() for start, _ in steps if start > 0)


@dataclass(frozen=True)
class Report:
    """What one member says after one epoch.

    `rung_score` is the cheap, λ-free score that schedulers compare (NaN only together with a state). `metrics` holds every number that
    deserves a curve. The last report of a member has its `state`, the `reason` in words, and, if COMPLETE, the final `score`. Of
    `rung_score` and `score` lower is better, always: a metric of which more is better is `lowered` there. `lost` says of a FAILED member
    that its process was lost for a reason that may not be its own (`died`: somebody else ended it; `silent`): a search tries it again.
    """

    number: int
    epoch: int
    rung_score: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: State | None = None
    reason: str = ""
    score: float | None = None
    traceback: str = ""
    lost: str = ""


OUT_OF_MEMORY = "out of memory"  # how the reason begins if memory was too short: the place of the training is the cause, not λ
SPOILED = "trained wrongly"  # how the reason begins if earlier epochs are wrong too, so that nothing of the member may go on


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was too short, on the processor or on a device."""
    signs = ("out of memory", "can't allocate memory", "Cannot allocate memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)


Precision = Literal["float32", "tf32", "bfloat16"]  # of the products in a training; see `training/precision.py`


@dataclass(frozen=True)
class Settings:
    """Everything about a training that is not a knob. It is plain data, so that it can be sent to any worker.

    `dataset` has at least the key `name`. `root` is a folder or None, `train_size` an int or None; further keys belong to the data set.
    `score` is `last` or `best_epoch`. `metric` names the deciding metric (None: the objective's own). `cache` is a folder for results that
    are computed once per data set (classifier features). `measure` names metrics beside the objective's own; they are measured when a
    confirmed or retrained member is complete. `beside` names the metrics that are asked for beside the deciding one, or that a constraint
    is about: they are measured of every complete member, and where that is cheap after every epoch. `features` names the features in
    which generated images are compared (`name`, and its options; None: the data set's own). `latents` names the density from which codes
    are drawn where the model has none (None: the family's own). `precision` is the precision of the products in a training: float32, tf32
    or bfloat16 (`objectives/training/precision.py`). `silence_s`: a training in a process of its own is ended where it reports nothing for
    so long. `device` is torch's name of a device, or `accelerator`: the accelerator that torch
    finds where the training runs. `output` says what the decoder or generator of a user's model gives: `probabilities`, `logits` or
    `pixels` (None: found out).
    """

    dataset: Mapping[str, Any]
    epochs: int
    model: str | None = None
    likelihood: str | None = None
    score: Literal["last", "best_epoch"] = "last"
    metric: str | None = None
    batch_size: int | None = None
    device: str = "cpu"
    threads: int = 1
    cache: str | None = None
    measure: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    features: Mapping[str, Any] | None = None
    latents: str | None = None
    precision: Precision = "float32"
    silence_s: float | None = None
    output: str | None = None


@dataclass(frozen=True)
class Intent:
    """What a sweep is about to do, as far as an objective may object before anything is trained.

    `on` holds the values that a knob may take, for every nuisance knob and for every λ that may differ from its off value. The values are
    the choices, the fixed value or the default, or the two ends of a searched range. `searched` names the searched knobs. `first_rung` is
    the first epoch after which the scheduler may stop a member (None: it never stops one).
    """

    model: str | None
    dataset: str | None
    likelihood: str | None
    on: Mapping[str, tuple[Value, ...]]
    searched: frozenset[str]
    epochs: int
    first_rung: int | None = None
    metric: str | None = None
    score: Literal["last", "best_epoch"] = "last"


@dataclass(frozen=True)
class Conflict:
    """Knobs that do not go together. An error refuses the sweep; a warning is printed before the sweep starts. `rule` names the rule."""

    level: Literal["error", "warning"]
    rule: str
    message: str


@runtime_checkable
class Run(Protocol):
    """Members in training. Not thread-safe; one run per worker process at a time."""

    def step(self) -> list[Report]:
        """Train every living member for one epoch. Returns one report for each; an empty list when no member lives."""
        ...

    def stop(self, number: int) -> None:
        """Take a member out of the run. The caller records why."""
        ...

    def save(self, path: Path) -> None:
        """Write a checkpoint. `restore` goes on from it to the same numbers. Atomic: `path` never holds a torn file."""
        ...

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote for the same members and settings."""
        ...

    def save_weights(self, number: int, path: Path) -> None:
        """Write a member's scored weights in a format that loads without executing code (safetensors)."""
        ...

    def save_picture(self, number: int, path: Path) -> bool:
        """Write a PNG of samples or reconstructions. Returns False where the objective has no picture."""
        ...


@runtime_checkable
class PackedRun(Run, Protocol):
    """A run whose members can be trained as one program and regrouped. A checkpoint belongs to one member, whatever run wrote it."""

    def save_each(self, paths: Mapping[int, Path]) -> None:
        """Write a checkpoint for each of these living members, by number: the same file that the member alone would have written."""
        ...

    def restore_each(self, paths: Mapping[int, Path]) -> None:
        """Continue every member of the run from its own checkpoint. All checkpoints must be of one epoch."""
        ...


@runtime_checkable
class HeirRun(PackedRun, Protocol):
    """A run whose members can start from what other members have become: weights, their averages, optimizers, memories of regularizers."""

    def bequeath(self, paths: Mapping[int, Path]) -> None:
        """Write a checkpoint of each of these members, by number, in the epoch in which it is complete. Others may `inherit` from it."""
        ...

    def inherit(self, path: Path, start: int) -> None:
        """Let the run's only member begin with what is in another member's checkpoint. Seed and config stay its own.

        `start` 0: its epochs are counted from 0. Else the checkpoint must be of epoch `start`, and the member goes on from there.

        Raises:
            ObjectiveError: the checkpoint does not fit the member.
        """
        ...


@runtime_checkable
class ClosingRun(Run, Protocol):
    """A run that trains outside of this process."""

    def close(self) -> object:
        """End what still trains. What members have kept stays, so that another run can go on with it."""
        ...


class Objective:
    """What is trained and how it is scored: all that `search` may ask of it, with defaults.

    A user's own class need not inherit from this class: `registry.load` adds what it lacks. It must have `knobs`, `metrics`, `score`,
    `start` and `read_test`. The class attributes must be readable without torch.
    """

    name: ClassVar[str] = ""  # the family whose models and regularizers it has; empty: none
    knobs: ClassVar[Mapping[str, Knob]] = {}
    metrics: ClassVar[Mapping[str, Metric]] = {}
    score: ClassVar[str] = ""  # the metric that decides where a spec names none
    default_search: ClassVar[tuple[str, ...]] = ()  # the knobs that are searched where a spec names none; empty: every λ
    default_epochs: ClassVar[int] = 20
    needs_lambda: ClassVar[bool] = True  # whether a sweep without a λ and without a baseline is refused
    default_alone: ClassVar[bool] = False  # whether each λ is searched with the others off where a spec does not say
    models: ClassVar[tuple[str, ...]] = ()
    datasets: ClassVar[tuple[str, ...]] = ()
    likelihoods: ClassVar[tuple[str, ...]] = ()
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    # Whether a member can start from what another one has become (`HeirRun`), and its knobs can move in training (`Member.schedule`).
    hands_on: ClassVar[bool] = False
    trade: ClassVar[tuple[str, str, str] | None] = None  # the metrics of quality, of cost, and of the cost that is allowed
    imports: ClassVar[tuple[str, ...]] = ()  # modules that every worker needs: it imports them while the driver still gets ready

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    # Before a sweep: of the class, without torch ----------------------------------------------------------------------------------------

    @classmethod
    def conflicts(cls, intent: Intent) -> list[Conflict]:
        """Knobs that do not go together in a sweep: errors first, then warnings."""
        return []

    @classmethod
    def dataset_faults(cls, options: Mapping[str, Any]) -> list[str]:
        """What is wrong with the options of a data set that the objective makes by itself, and that is no file of `data/`."""
        return []

    @classmethod
    def measure_faults(cls, wanted: Sequence[str]) -> list[str]:
        """Names in `measure` that are no metrics, or that cannot be measured on this objective."""
        return []

    @classmethod
    def bundle(cls, config: Config) -> Hashable:
        """Members with the same bundle may be trained as one program (`PackedRun`). None: every member is trained by itself."""
        return None

    # On a worker ------------------------------------------------------------------------------------------------------------------------

    def prepare(self) -> dict[str, Any]:
        """Load and hash the data, train what is cached. Returns plain facts for the record. Raises ObjectiveError on a user's mistake."""
        return {}

    def load_data(self) -> object:
        """Load what members need before they need it. Does nothing where there is nothing to load."""
        return None

    def rehearse(self) -> None:
        """Do what a process does only once, before the first pack needs it."""

    def calibrate(self, searched: Sequence[str], widest: int, members: int) -> dict[str, Any]:
        """How many members train fastest as one program.

        Args:
            searched: the knobs that the sweep searches.
            widest: no pack will have more members than this.
            members: how many members this worker will train in all.

        Returns:
            `members`, and `why` in words. If rates were measured, `rates`: member-epochs per second by width.
        """
        return {"members": 1, "why": "the objective trains one member at a time"}

    def epoch_seconds(self, config: Config) -> float:
        """About how long an epoch of one member takes here. The second epoch is timed, because the first one warms up."""
        run = self.start([Member(0, config, 0)])
        run.step()
        started = time.monotonic()
        run.step()
        return time.monotonic() - started

    def probes(self, config: Config) -> Mapping[str, Probe]:
        """One fixed batch per player, for the check that every λ is alive. Empty where nothing can be proven."""
        return {}

    def tried(self, names: Sequence[str]) -> list[Check] | None:
        """What short trainings say of these λ, for an objective that nobody can look into; None: `probes` prove more."""
        return None

    def start(self, members: Sequence[Member]) -> Run:
        """Begin to train `members`. They have the same value of every structural knob."""
        raise NotImplementedError

    def read_test(self, config: Config, weights: Path) -> dict[str, float]:
        """Score saved weights on the test split. The key `score` is the deciding metric; called once per sweep and chosen member."""
        raise NotImplementedError


@runtime_checkable
class Probe(Protocol):
    """One fixed batch of a player's training: the same images and the same random draws at every call (torch, double precision).

    An objective with `probes(config)`, one per player, can be checked for λ that are alive. A probe may also have six more methods.
    `frozen()`: tensors by name that are not trained. `optimizer(config)`: the torch optimizer that would train it. `absent(config)`: the
    loss without the terms that `config` has off. `moved(off, on)`: whether a few steps with one config end elsewhere than with the other.
    `faults()`: names and messages of what makes every answer about this model worthless.
    `trained(config, epochs)`: the probes of all players after a short training; none where the training was lost.
    """

    def parameters(self) -> Mapping[str, Any]:
        """The trained leaf tensors by name. The check moves them in place, and moves them back."""
        ...

    def loss(self, config: Config) -> Any:
        """The 0-dim tensor that training descends, at the current parameters. A knob that `config` leaves out is at its default."""
        ...

    def score(self, config: Config) -> float:
        """The score at the current parameters."""
        ...


@dataclass(frozen=True)
class Check:
    """The check of one λ: `fault` names the bug, `message` is the evidence. `proven` is False where nothing could be tried."""

    knob: str
    passed: bool
    fault: str
    message: str
    proven: bool = True
    free: bool = True  # whether the score was proven to contain no λ
