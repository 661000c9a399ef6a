"""What can be asked of a sweep: the keys of its spec, frozen and validated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    field_validator,
    model_validator,
)

from objectives.base import Objective, Precision, Settings
from objectives.registry import load, names
from search.spec import several
from search.spec.constraints import GRAMMAR, NAN_RATE, Constraint, constraint
from search.spec.goals import Goal, goal
from search.spec.resources import LONGEST, MOST, Resources
from search.spec.several import Asked
from search.spec.text import to_yaml

Purpose = Literal["sweep", "train"]

DEFAULT_EPOCHS = 20
LONGEST_NAME = 200  # as the columns of the catalogue
MOST_SEEDS = 10_000  # each arm gets a row for each of its seeds at once
COMMAND = "command"  # the objective that is a program
AUTO = "auto"  # all sweeps of the catalogue that can be a prior


class _Part(BaseModel):
    """A block of the spec. It is frozen, and an unknown key is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DatasetSpec(_Part):
    """The data set. Other keys than these belong to the data set's own file."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str | None = Field(default=None, max_length=LONGEST_NAME)
    root: str | None = None
    train_size: int | None = Field(default=None, ge=1)


class Budget(_Part):
    """`trials` searched configs (off arm included) of `epochs` each. All else limits search and confirmation together.

    Hours are those in which members held their resources. The cost is their hours times these prices, in any currency.
    """

    trials: int = 24
    epochs: int | None = Field(default=None, ge=1)
    wall_minutes: float | None = Field(default=None, gt=0, le=LONGEST)
    gpu_hours: float | None = Field(default=None, gt=0)
    cpu_hours: float | None = Field(default=None, gt=0)
    cost: float | None = Field(default=None, gt=0)
    price_per_gpu_hour: float | None = Field(default=None, ge=0)
    price_per_cpu_hour: float | None = Field(default=None, ge=0)


class Confirm(_Part):
    """The race on fresh seeds: `configs` configs, the off arm among them, on `screen` seeds each; then the finalists on `seeds` seeds each.

    `configs` None: as many as the λs need. 0 configs or 0 seeds: no race. `screen` 0: the finalists are chosen without a first round.
    `between`: so many configs at most are searched after the first round, on its seeds, with epochs that early stopping saved.
    """

    configs: int | None = None
    screen: int = Field(default=2, ge=0, le=MOST_SEEDS)
    between: int = Field(default=2, ge=0, le=MOST_SEEDS)
    seeds: int = Field(default=8, le=MOST_SEEDS)


class Limits(_Part):
    """When a training is ended to protect its neighbours: no report for so many seconds, more memory than this, or more minutes in all.

    A member whose worker is lost is tried again: `retries` times in a row without coming farther. `retries_total` is for the whole sweep;
    None: twice as many as members are planned, at least 100.
    """

    silence_seconds: float = Field(default=600, gt=0, le=LONGEST)
    memory_gb: float | None = Field(default=None, gt=0, le=MOST)
    member_minutes: float | None = Field(default=None, gt=0, le=LONGEST)
    retries: int = Field(default=3, ge=0)
    retries_total: int | None = Field(default=None, ge=0)


def _scalar(given: Any) -> Any:
    """A knob's value: number, text or truth value. It is kept as it is, because pydantic's union would report one error per member."""
    if not isinstance(given, bool | int | float | str) or (isinstance(given, float) and not math.isfinite(given)):
        raise ValueError("must be a finite number or a word")
    return given


Scalar = Annotated[bool | int | float | str, PlainValidator(_scalar)]


class Range(_Part):
    """Where a knob is searched: a range (a missing end is the knob's own) or `choices`. `when`: the values of other knobs that it needs."""

    low: float | None = None
    high: float | None = None
    log: bool | None = None
    choices: tuple[Scalar, ...] | None = None
    when: dict[str, tuple[Scalar, ...]] | None = None

    @field_validator("when", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        single = isinstance(given, Mapping)
        return {name: value if isinstance(value, list | tuple) else (value,) for name, value in given.items()} if single else given


def _kind(given: Any) -> str | None:
    """Which of the two forms is used to say where a knob is searched."""
    return "a range" if isinstance(given, Mapping | Range) else "a list" if isinstance(given, list | tuple) else None


def _named(given: Any) -> Any:
    """What is chosen by name: a word, or a mapping with options. A mapping without options is kept as the word."""
    if isinstance(given, Mapping) and all(isinstance(key, str) for key in given) and isinstance(given.get("name", ""), str):
        return given["name"] if set(given) == {"name"} else dict(given)
    if not isinstance(given, str):
        raise ValueError("must be a name, or a mapping with name and options")
    return given


def _bounds(given: Any) -> Any:
    """The bounds of one metric: a text or a list of texts. What they say is read later, so that the grammar is told once."""
    texts = (given,) if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"must be {GRAMMAR}, in quotes, or a list of these")
    return tuple(texts)


def _packed(given: Any) -> Any:
    if given is None or given == "auto":
        return "auto"
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ValueError("must be auto, or a whole number of at least 1 (1: every training by itself)")
    return given


def _workers(given: Any) -> Any:
    if given is None or given == "auto":
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ValueError("must be auto (as many as fit), or a whole number of at least 1")
    return given


def _ranges(given: Any) -> Any:
    if given is None or given in ("auto", "own"):
        return None if given == "own" else given
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise ValueError("must be auto (a pilot finds each range that is not given), own, or a list of searched λ")
    return tuple(given)


Ranges = Annotated[Any, PlainValidator(_ranges)]  # None, auto, or a tuple of names


def _margin(given: Any) -> Any:
    """A share of the off arm's score; or an amount in units of the score, with the score's name: `0.05 val_nll_nats`."""
    amount, _, unit = given.strip().partition(" ") if isinstance(given, str) else (given, "", "")
    try:
        size = math.nan if isinstance(amount, bool) else float(amount)
    except (TypeError, ValueError):
        size = math.nan
    if not 0 <= size < math.inf:
        raise ValueError(
            "must be a share of the off arm's score, such as 0.01, or an amount with the score's name, such as 0.05 val_nll_nats"
        )
    return f"{size:g} {unit.strip()}" if unit.strip() else size


Margin = Annotated[float | str, PlainValidator(_margin)]
Named = Annotated[str | dict[str, Any], PlainValidator(_named)]
Bounds = Annotated[tuple[str, ...], BeforeValidator(_bounds)]
Metrics = Annotated[several.Given, PlainValidator(several.given)]
Pack = Annotated[int | str, PlainValidator(_packed)]
Workers = Annotated[int | None, PlainValidator(_workers)]  # None: as many as fit
Searched = Annotated[
    Annotated[Range, Tag("a range")] | Annotated[tuple[Scalar, ...], Tag("a list")],
    Discriminator(_kind, custom_error_type="searched", custom_error_message="must be a mapping with low and high, or a list of choices"),
]


def plain(wanted: Searched) -> Searched:
    """Where a knob is searched, without its condition: a range, or a list of choices."""
    if not isinstance(wanted, Range):
        return wanted
    return wanted.choices if wanted.choices is not None else wanted.model_copy(update={"when": None})


def condition(wanted: Searched) -> dict[str, tuple[Scalar, ...]]:
    """The condition of a searched knob: the values of other knobs that it needs; empty where it has none."""
    return dict(wanted.when or {}) if isinstance(wanted, Range) else {}


class Score(_Part):
    """The metric that decides, of an objective that is a command: its name, which way is better, between which values it
    lies, and of which epoch it is taken."""

    name: str
    better: Literal["lower", "higher"] = "lower"
    between: tuple[float | None, float | None] | None = None
    of: Literal["last", "best_epoch"] = "last"


Scored = Annotated[
    Annotated[Score, Tag("a mapping")] | Annotated[Literal["last", "best_epoch"], Tag("a word")],
    Discriminator(lambda given: "a mapping" if isinstance(given, Mapping | Score) else "a word"),
]


class Spec(_Part):
    """A sweep, as its YAML says it. Build a spec with `Spec.read`, which resolves and checks it."""

    objective: str = Field(max_length=LONGEST_NAME)
    command: str | tuple[str, ...] | None = None
    shell: bool = False
    knobs: dict[str, dict[str, Any]] = {}
    read: dict[str, str] | None = None
    metrics: dict[str, Literal["lower", "higher"]] = {}
    model: str | None = Field(default=None, max_length=LONGEST_NAME)
    dataset: DatasetSpec = DatasetSpec()
    likelihood: str | None = None
    output: Literal["probabilities", "logits", "pixels"] | None = None
    search: dict[str, Searched] | None = None
    ranges: Ranges = None
    fixed: dict[str, Scalar] = {}
    points: tuple[dict[str, Scalar], ...] = ()
    baseline: dict[str, Scalar] = {}
    schedule: dict[str, tuple[tuple[int, float], ...]] = {}
    sampler: Named = "tpe"
    scheduler: Named = "asha"
    budget: Budget = Budget()
    confirm: Confirm = Confirm()
    score: Scored = "last"
    metric: Metrics = None
    measure: tuple[str, ...] = ()
    features: dict[str, Any] | None = None
    latents: str | None = None
    margin: Margin = 0.01
    prefer: Literal["best", "simpler"] = "best"
    until: tuple[str, ...] = ()
    prior: tuple[str, ...] = ()
    constraints: dict[str, Bounds] = {}
    simplify: tuple[str, ...] = ()
    alone: bool | None = None
    resources: Resources = Resources()
    workers: Workers = None
    limits: Limits = Limits()
    check: bool = True
    pack: Pack = "auto"
    batch_size: int | None = Field(default=None, ge=1)
    precision: Precision = "float32"
    seed: int = Field(default=0, ge=0)
    provenance: dict[str, Any] | None = None
    promise: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _scheduler_of_several_metrics(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not several.several(given.get("metric")):
            return given
        said = given.get("scheduler", {})
        if not isinstance(said, Mapping) or "name" in said:
            return given
        return {**given, "scheduler": {"name": several.SCHEDULER, **said} if said else several.SCHEDULER}

    @model_validator(mode="before")
    @classmethod
    def _a_command_is_an_objective(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not given.get("command"):
            return given
        score = given.get("score")
        named = {"score": {"name": score}} if isinstance(score, str) and score not in ("last", "best_epoch") else {}
        return {**given, "objective": given.get("objective") or COMMAND, **named}

    @field_validator("dataset", mode="before")
    @classmethod
    def _named_dataset(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else {} if given is None else given

    @field_validator("scheduler", mode="before")
    @classmethod
    def _null_is_none(cls, given: Any) -> Any:
        return "none" if given is None else given

    @field_validator("sampler", "scheduler")
    @classmethod
    def _options_of_the_default(cls, given: Any, info: Any) -> Any:
        default = cls.model_fields[info.field_name].default
        return given if isinstance(given, str) else {"name": default, **given} if given else default

    @field_validator("features", mode="before")
    @classmethod
    def _named_features(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("until", "prior", mode="before")
    @classmethod
    def _one_text(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else () if given is None else given

    @field_validator("prior")
    @classmethod
    def _sweeps(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(given)) < len(given) or (AUTO in given and len(given) > 1):
            raise ValueError("must be auto alone, or a list of different sweeps' names")
        return given

    @field_validator("fixed", "points", "baseline", "budget", "confirm", "constraints", "resources", "limits", mode="before")
    @classmethod
    def _null_is_default(cls, given: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if given is None else given

    @field_validator("search", mode="before")
    @classmethod
    def _null_knob_is_own_range(cls, given: Any) -> Any:
        return {name: {} if value is None else value for name, value in given.items()} if isinstance(given, Mapping) else given

    @property
    def program(self) -> dict[str, Any] | None:
        """What the spec says of a command, as plain data; None where the objective is none."""
        if self.objective != COMMAND:
            return None
        said = self.model_dump(mode="json", include={"command", "shell", "knobs", "read", "metrics"}, exclude_none=True)
        return {**said, "score": self.score.model_dump() if isinstance(self.score, Score) else None}

    @property
    def trained(self) -> type[Objective]:
        """The class of the objective. Raises ObjectiveError where there is none."""
        return load(self.objective, self.program)

    def to_yaml(self) -> str:
        """The spec as YAML. `reading.read` reads it back to an equal spec."""
        return to_yaml(self.plain())

    def plain(self) -> dict[str, Any]:
        """The spec as plain data, with the keys that are the spec's own."""
        of_a_command = set() if self.program else {"command", "shell", "knobs", "read", "metrics"}
        return self.model_dump(exclude_none=True, exclude=of_a_command)

    @property
    def asked(self) -> tuple[Asked, ...]:
        """The metrics that are asked for, the score first. Of a resolved spec there is at least one."""
        return several.asked(self.metric)

    @property
    def score_name(self) -> str:
        """The metric that decides; empty where the spec leaves it to the objective."""
        return self.asked[0].name if self.asked else ""

    @property
    def own(self) -> bool:
        """Whether a part of the spec is the user's own, as `package.module:name` is. The files that it names go to a remote Ray."""
        ours = names("objective")  # `pythae:BetaVAE` is one of these files' own
        named = (part.partition(":")[0] for part in self.own_parts if ":" in part or part.endswith(".py"))
        return self.objective == COMMAND or any(first not in ours for first in named)

    @property
    def own_parts(self) -> tuple[str, ...]:
        """The parts of the spec that may be the user's own."""
        return self.objective, self.model or "", self.dataset.name or ""

    @property
    def goals(self) -> tuple[Goal, ...]:
        """What the sweep is to find out before it ends."""
        return tuple(goal(text) for text in self.until)

    @property
    def demands(self) -> tuple[Constraint, ...]:
        """The constraints as they are read, in the order of the spec."""
        return tuple(constraint(metric, text) for metric, texts in self.constraints.items() for text in texts)

    @property
    def device(self) -> str:
        """Where a training runs, as `Settings` says it."""
        named = self.resources.device
        return named if named != "auto" else "accelerator" if self.resources.gpu else "cpu"

    @property
    def margin_unit(self) -> str:
        """The score whose unit the margin has; empty where it is a share of the off arm's score."""
        return self.margin.partition(" ")[2] if isinstance(self.margin, str) else ""

    def settings(self, *, cache: str | None = None) -> Settings:
        """What the objective is built from: everything about a training except the knobs."""
        return Settings(
            dataset=self.dataset.model_dump(),
            epochs=self.budget.epochs or DEFAULT_EPOCHS,
            model=self.model,
            likelihood=self.likelihood,
            output=self.output,
            score=self.score.of if isinstance(self.score, Score) else self.score,
            metric=self.score_name or None,
            measure=self.measure,
            beside=tuple(dict.fromkeys([*(one.name for one in self.asked[1:]), *(name for name in self.constraints if name != NAN_RATE)])),
            features=self.features,
            latents=self.latents,
            batch_size=self.batch_size,
            precision=self.precision,
            silence_s=self.limits.silence_seconds,
            device=self.device,
            threads=max(1, int(self.resources.cpu)),
            cache=cache,
        )
