"""The sweep's spec: frozen, validated, YAML on one side and Python on the other; every fault of a spec is reported at once.

`Spec.read` takes a file or a mapping and returns a *resolved* spec: what the objective decides (model, data set, what is searched and over
which range, epochs, likelihood) is written out, so that a stored spec means the same tomorrow. `expand` does so for a spec with a `matrix`.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, ValidationError, field_validator

from objectives import base, data, features, models
from objectives.base import Conflict, Intent, Knob, ObjectiveError, Precision, Settings, Value
from objectives.registry import load, names, unknown
from search import schedulers

Purpose = Literal["sweep", "train"]

# The off arm needs a config, and a curve over λ needs three more.
MIN_TRIALS = 4
# A log or integer range may leave the knob's own range by this factor; beyond it lies a typing error.
STRETCH = 1000.0
DEFAULT_EPOCHS = 20
PRESETS = Path(__file__).parent / "presets"


class SpecError(Exception):
    """A user's mistakes in a spec, all of them: each says what must hold, what was given and what to do."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


class _Part(BaseModel):
    """A block of the spec: frozen, and a key that nobody knows is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Range(_Part):
    """Where a knob is searched; what is left out is the knob's own."""

    low: float | None = None
    high: float | None = None
    log: bool | None = None


class DatasetSpec(_Part):
    """The data set; keys beyond these belong to the data set's own file."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str | None = None
    root: str | None = None
    train_size: int | None = Field(default=None, ge=1)


class Budget(_Part):
    """`trials` searched configs (off arm included) of `epochs` each; `wall_minutes` bounds search and confirmation together."""

    trials: int = 24
    epochs: int | None = Field(default=None, ge=1)
    wall_minutes: float | None = Field(default=None, gt=0)


class Confirm(_Part):
    """`configs` configs, the off arm among them, on `seeds` fresh seeds each. None: as many as the λs need; 0 of either: none."""

    configs: int | None = None
    seeds: int = 5


class Resources(_Part):
    """What one training occupies."""

    cpu: float = Field(default=1, gt=0)
    gpu: float = Field(default=0, ge=0)


class Limits(_Part):
    """When a training is ended for its neighbours' sake: no report for so many seconds, or more memory than this."""

    silence_seconds: float = Field(default=600, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)


def _scalar(given: Any) -> Any:
    """A knob's value: number, text or truth value, kept as it is (pydantic's union would report one error per member)."""
    if not isinstance(given, bool | int | float | str) or (isinstance(given, float) and not math.isfinite(given)):
        raise ValueError("must be a finite number or a word")
    return given


def _kind(given: Any) -> str | None:
    """Which of the two ways of saying where a knob is searched."""
    return "range" if isinstance(given, Mapping | Range) else "choices" if isinstance(given, list | tuple) else None


def _packed(given: Any) -> Any:
    if given is None or given == "auto":
        return "auto"
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ValueError("must be auto, or a whole number of at least 1 (1: every training by itself)")
    return given


Pack = Annotated[int | str, PlainValidator(_packed)]
Scalar = Annotated[bool | int | float | str, PlainValidator(_scalar)]
Searched = Annotated[
    Annotated[Range, Tag("range")] | Annotated[tuple[Scalar, ...], Tag("choices")],
    Discriminator(_kind, custom_error_type="searched", custom_error_message="must be a mapping with low and high, or a list of choices"),
]


class Spec(_Part):
    """A sweep, as its YAML says it. Build one with `Spec.read`, which resolves and checks it."""

    objective: str
    model: str | None = None
    dataset: DatasetSpec = DatasetSpec()
    likelihood: str | None = None
    search: dict[str, Searched] | None = None
    fixed: dict[str, Scalar] = {}
    points: tuple[dict[str, Scalar], ...] = ()
    sampler: str = "tpe"
    scheduler: str = "asha"
    budget: Budget = Budget()
    confirm: Confirm = Confirm()
    score: Literal["last", "best_epoch"] = "last"
    metric: str | None = None
    measure: tuple[str, ...] = ()
    features: dict[str, Any] | None = None
    latents: str | None = None
    margin: float = Field(default=0.01, ge=0)
    simplify: tuple[str, ...] = ()
    alone: bool | None = None
    resources: Resources = Resources()
    limits: Limits = Limits()
    check: bool = True
    pack: Pack = "auto"
    batch_size: int | None = Field(default=None, ge=1)
    precision: Precision = "float32"
    seed: int = Field(default=0, ge=0)
    provenance: dict[str, Any] | None = None
    promise: dict[str, Any] | None = None

    @field_validator("dataset", mode="before")
    @classmethod
    def _named_dataset(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else {} if given is None else given

    @field_validator("scheduler", mode="before")
    @classmethod
    def _null_is_none(cls, given: Any) -> Any:
        return "none" if given is None else given

    @field_validator("features", mode="before")
    @classmethod
    def _named_features(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("fixed", "points", "budget", "confirm", "resources", "limits", mode="before")
    @classmethod
    def _null_is_default(cls, given: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if given is None else given

    @field_validator("search", mode="before")
    @classmethod
    def _null_knob_is_own_range(cls, given: Any) -> Any:
        return {name: {} if value is None else value for name, value in given.items()} if isinstance(given, Mapping) else given

    @classmethod
    def read(
        cls, source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, purpose: Purpose = "sweep", remote: bool = False
    ) -> Spec:
        """The resolved spec of a YAML file or mapping, with `overrides` such as `search.beta.low=0.1`.

        `purpose="train"` accepts a spec without a searched λ. With `remote`, devices and data are not looked for on this machine.

        Raises:
            SpecError: with every fault of the spec.
        """
        mapping = source if isinstance(source, Mapping) else read_yaml(source)
        return _resolved(mapping, overrides, purpose, remote)

    def to_yaml(self) -> str:
        """The spec as YAML that `Spec.read` reads back to an equal spec."""
        plain = self.model_dump(exclude_none=True)
        return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)

    @property
    def own(self) -> bool:
        """Whether something of it is written `package.module:name`: a module of the user's, which a remote Ray must be sent."""
        return any(":" in part for part in (self.objective, self.model or "", self.dataset.name or ""))

    def settings(self, *, device: str = "cpu", threads: int = 1, cache: str | None = None) -> Settings:
        """What the objective is built from: everything about a training that is not a knob."""
        return Settings(
            dataset=self.dataset.model_dump(),
            epochs=self.budget.epochs or DEFAULT_EPOCHS,
            model=self.model,
            likelihood=self.likelihood,
            score=self.score,
            metric=self.metric,
            measure=self.measure,
            features=self.features,
            latents=self.latents,
            batch_size=self.batch_size,
            precision=self.precision,
            device=device,
            threads=threads,
            cache=cache,
        )


def resolve(spec: Spec, *, purpose: Purpose = "sweep", remote: bool = False) -> Spec:
    """A spec made in Python, with its objective's defaults written out; raises SpecError with every fault."""
    return Spec.read(spec.model_dump(exclude_none=True), purpose=purpose, remote=remote)


def expand(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, purpose: Purpose = "sweep", remote: bool = False
) -> list[Spec]:
    """One resolved spec per combination of `matrix` (lists of objective, model, dataset); a spec without one gives itself.

    Raises:
        SpecError: with the faults of every combination, impossible combinations among them.
    """
    mapping = source if isinstance(source, Mapping) else read_yaml(source)
    if "matrix" not in mapping:
        return [_resolved(mapping, overrides, purpose, remote)]
    base = {key: value for key, value in mapping.items() if key != "matrix"}
    faults = _matrix_faults(mapping["matrix"])
    if faults:
        raise SpecError(faults)
    found = []
    for combination in _combinations(base, mapping["matrix"]):
        try:
            found.append(_resolved(combination, overrides, purpose, remote))
        except SpecError as error:
            title = " × ".join(_title(combination[key]) for key in mapping["matrix"])
            faults += [f"{title}: {fault}" for fault in error.faults]
    if faults:
        raise SpecError(list(dict.fromkeys(faults)))
    return found


def warnings(spec: Spec) -> list[str]:
    """What the objective says against a resolved spec without refusing it; worth reading before training starts."""
    return [conflict.message for conflict in _conflicts(spec, load(spec.objective)) if conflict.level == "warning"]


# --- YAML ---------------------------------------------------------------------------------------------------------------------------------

_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-4 is a number (YAML 1.1 reads it as text), and a key given twice is a fault."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(f"a key may be given once; {', '.join(twice)} is given twice{node.start_mark}")
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would read as a number."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value out each time: anchors are hard to read."""
        return True


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def parse_yaml(text: str) -> Any:
    """The value of a YAML text; raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, or a SpecError that says what is wrong with the file."""
    try:
        found = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError([f"a spec must be a readable file; {path}: {error.strerror}. Presets: {', '.join(presets())}."]) from error
    except UnicodeDecodeError as error:
        raise SpecError([f"a spec must be UTF-8 text; {path} is not. Save it as text."]) from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SpecError([f"a spec must be valid YAML; {path}: {reason}. Correct that line."]) from error
    if not isinstance(found, dict):
        kind = "nothing" if found is None else f"a {type(found).__name__}"
        raise SpecError([f"a spec must be a mapping of keys to values; {path} holds {kind}. Begin with `objective: vae`."])
    return found


def presets() -> dict[str, Path]:
    """The specs that ship with Lagrange, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}


# --- reading ------------------------------------------------------------------------------------------------------------------------------


def _resolved(mapping: Mapping[str, Any], overrides: Sequence[str], purpose: Purpose, remote: bool) -> Spec:
    faults: list[str] = []
    raw = _deep_copy(mapping)
    for override in overrides:
        faults += _override(raw, override)
    spec, more = _parse(raw)
    faults += more
    if spec is None:
        raise SpecError(faults)
    try:
        objective = load(spec.objective)
    except ObjectiveError as error:
        named = [str(error)] if spec.objective else []
        raise SpecError(list(dict.fromkeys([*faults, *named, *_plain_faults(spec, remote)]))) from error
    faults += _knob_faults(spec, objective, purpose) + _name_faults(spec, objective, remote) + _plain_faults(spec, remote)
    faults += [conflict.message for conflict in _conflicts(spec, objective) if conflict.level == "error"]
    if faults:
        raise SpecError(list(dict.fromkeys(faults)))
    return _with_defaults(spec, objective)


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _deep_copy(item) for key, item in value.items()}
    return [_deep_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _override(raw: dict[str, Any], override: str) -> list[str]:
    """Apply `a.b.c=value` in place; the faults of the override."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        return [f"an override must be KEY=VALUE with a dotted key, such as search.beta.low=0.1; got {override!r}."]
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        return [f"the value of an override must be YAML; got {override!r}. Quote it, as in --set '{path}={{low: 0.1}}'."]
    if keys[0] == "search" and len(keys) > 1 and raw.get("search") is None:
        raw["search"] = {name: {} for name in _default_search(raw)}
    here = raw
    for key in keys[:-1]:
        below = here.get(key)
        if key == "dataset" and isinstance(below, str):
            below = here[key] = {"name": below}
        if below is None:
            below = here[key] = {}
        if not isinstance(below, dict):
            return [f"an override's key must lead through mappings; {key!r} in {override!r} is {below!r}. Set {key} as a whole."]
        here = below
    if value is None and keys[0] in ("search", "fixed") and len(keys) == 2:
        here.pop(keys[-1], None)
    else:
        here[keys[-1]] = value
    return []


def _default_search(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """What the objective searches by default, so that an override of one knob's range does not drop the others."""
    try:
        objective = load(str(raw.get("objective")))
    except ObjectiveError:
        return ()
    fixed = raw.get("fixed")
    return tuple(name for name in _defaults(objective) if not (isinstance(fixed, Mapping) and name in fixed))


def _defaults(objective: type) -> tuple[str, ...]:
    knobs: Mapping[str, Knob] = objective.knobs  # type: ignore[attr-defined]
    given = getattr(objective, "default_search", ())
    return tuple(given) or tuple(name for name, knob in knobs.items() if knob.is_lambda)


def _parse(raw: dict[str, Any]) -> tuple[Spec | None, list[str]]:
    """The spec and its faults of form. A faulty value is dropped and the rest parsed, so that one fault does not hide the others."""
    faults: list[str] = []
    for _ in range(100):
        try:
            return Spec.model_validate(raw), faults
        except ValidationError as error:
            before = len(faults)
            for fault in error.errors():
                message = _form_fault(fault)
                if message not in faults:
                    faults.append(message)
                _drop(raw, fault["loc"])
            # Without an objective the rest can still be checked, as far as it does not depend on one.
            raw.setdefault("objective", "")
            if len(faults) == before:
                break
    return None, faults


_RULES = {
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be a word",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
}


def _form_fault(fault: Any) -> str:
    """One pydantic error in our words: rule, value, remedy."""
    path = [str(part) for part in fault["loc"] if not _is_branch(part)]
    where, given = ".".join(path), fault["input"]
    if fault["type"] == "extra_forbidden":
        return unknown(f"a key of {'.'.join(path[:-1]) or 'the spec'}", path[-1], _keys(path[:-1]))
    if fault["type"] == "missing":
        return f"{where} must be given; it is missing. Write `{where}: NAME`, NAME one of {', '.join(names('objective'))}."
    rule = _RULES.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return f"{where or 'the spec'} {rule}; got {given!r}. Correct it, or leave it out for the default."


def _is_branch(part: Any) -> bool:
    """True for the tag by which pydantic names a branch of `Searched`, which is no key of the spec."""
    return part in ("range", "choices")


def _keys(path: Sequence[str]) -> list[str]:
    blocks: dict[str, type[BaseModel]] = {
        "": Spec,
        "dataset": DatasetSpec,
        "budget": Budget,
        "confirm": Confirm,
        "resources": Resources,
        "limits": Limits,
        "search": Range,
    }
    return [*blocks[path[0] if path else ""].model_fields, *([] if path else ["matrix"])]


def _drop(raw: Any, loc: Sequence[Any]) -> None:
    """Remove what a fault points at; pydantic's union branches in `loc` are no keys and are skipped."""
    steps = [part for part in loc if not (_is_branch(part))]
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        if isinstance(raw, dict) and step in raw:
            if last and depth == 1 and steps[0] == "search":
                raw[step] = {}  # the knob stays searched, else "no λ is searched" would follow from the fault
                return
            if last or not isinstance(raw[step], dict | list):
                del raw[step]
                return
            raw = raw[step]
        elif isinstance(raw, list) and isinstance(step, int) and step < len(raw):
            if last or not isinstance(raw[step], dict | list):
                raw[step] = {} if depth else None
                return
            raw = raw[step]
        else:
            return


# --- checks -------------------------------------------------------------------------------------------------------------------------------


def _knob_faults(spec: Spec, objective: type, purpose: Purpose) -> list[str]:
    """Faults of what is searched, fixed and tried first."""
    knobs: Mapping[str, Knob] = objective.knobs  # type: ignore[attr-defined]
    searched = _searched(spec, objective)
    faults = []
    for name, wanted in searched.items():
        faults += [_unknown_knob("search", spec, name, knobs)] if name not in knobs else _search_faults(knobs[name], wanted)
        if name in spec.fixed:
            faults.append(f"a knob must be either searched or fixed; {name!r} is both. Remove it from search or from fixed.")
    for name, value in spec.fixed.items():
        faults += [_unknown_knob("fixed", spec, name, knobs)] if name not in knobs else _value_faults(f"fixed.{name}", knobs[name], value)
    faults += _point_faults(spec, searched, knobs)
    lambdas = [name for name in searched if name in knobs and knobs[name].is_lambda]
    known = [name for name, knob in knobs.items() if knob.is_lambda]
    if purpose == "sweep" and not lambdas and all(name in knobs for name in searched):
        faults.append(
            f"a sweep must search at least one λ; it searches {', '.join(searched) or 'nothing'}. Add one of {', '.join(known)} to search."
        )
    if purpose == "sweep":
        faults += [unknown("simplify: a searched λ", name, lambdas) for name in spec.simplify if name not in lambdas]
        faults += _alone_faults(spec, objective)
    return faults


def _alone(spec: Spec, objective: type) -> list[str]:
    """The λ that are searched one at a time; empty where they are searched together. One λ is always alone."""
    knobs: Mapping[str, Knob] = objective.knobs  # type: ignore[attr-defined]
    lambdas = [name for name in _searched(spec, objective) if name in knobs and knobs[name].is_lambda]
    wanted = spec.alone if spec.alone is not None else getattr(objective, "default_alone", False)
    return lambdas if wanted and len(lambdas) > 1 else []


def _alone_faults(spec: Spec, objective: type) -> list[str]:
    """Too few members or confirmed configs for every λ to have some, and first points of more λ than one."""
    lambdas = _alone(spec, objective)
    if not lambdas:
        return []
    few, configs, faults = 2 * (len(lambdas) + 1), spec.confirm.configs, []
    if spec.budget.trials < few:
        faults.append(f"budget.trials must be at least {few} to search {len(lambdas)} λ each alone; got {spec.budget.trials}. Raise it.")
    if configs and configs <= len(lambdas):
        faults.append(
            f"confirm.configs must be at least {len(lambdas) + 1}, the off arm and one of each λ that is searched alone; got {configs}. "
            "Raise it, search fewer λ, or set alone: false."
        )
    for index, point in enumerate(spec.points):
        if len(set(point) & set(lambdas)) != 1:
            faults.append(f"points[{index}] must set one λ where each is searched alone; got {', '.join(point) or 'nothing'}. Keep one.")
    return faults


def _conflicts(spec: Spec, objective: type) -> list[Conflict]:
    """Knobs that do not go together, as far as the objective knows: its classmethod `conflicts(intent)`, which it need not have."""
    ask = getattr(objective, "conflicts", None)
    if not ask:
        return []
    intent, lambdas = _intent(spec, objective), _alone(spec, objective)
    if not lambdas:
        return list(ask(intent))
    found = []
    for name in lambdas:  # what is never on together is in no conflict
        others = set(lambdas) - {name}
        on = {other: values for other, values in intent.on.items() if other not in others}
        found += ask(replace(intent, on=on, searched=intent.searched - others))
    return list(dict.fromkeys(found))


def _intent(spec: Spec, objective: type) -> Intent:
    """What a spec, resolved or not, is about to do. What is unknown is left out: it is a fault of its own."""
    knobs: Mapping[str, Knob] = objective.knobs  # type: ignore[attr-defined]
    searched = _searched(spec, objective)
    values = {name: _possible(knob, searched.get(name), spec.fixed.get(name, knob.default)) for name, knob in knobs.items()}
    epochs: int = spec.budget.epochs or getattr(objective, "default_epochs", None) or DEFAULT_EPOCHS
    known = spec.scheduler in names("scheduler", "search.schedulers")
    milestones = schedulers.make(spec.scheduler, epochs).milestones if known else ()
    return Intent(
        model=spec.model or next(iter(getattr(objective, "models", ())), None),
        dataset=spec.dataset.name or _default_dataset(objective),
        likelihood=spec.likelihood or next(iter(getattr(objective, "likelihoods", ())), None),
        on={name: found for name, found in values.items() if not knobs[name].is_lambda or any(one != knobs[name].off for one in found)},
        searched=frozenset(searched) & frozenset(knobs),
        epochs=epochs,
        first_rung=next(iter(milestones), None),
        metric=spec.metric or objective.score,  # type: ignore[attr-defined]
        score=spec.score,
    )


def _possible(knob: Knob, wanted: Searched | None, value: Scalar) -> tuple[Value, ...]:
    """The values that a knob may take: the choices, or the ends of the range, or the one value where it is not searched."""
    if wanted is None:
        return (value,)
    if not isinstance(wanted, Range):
        return tuple(wanted)
    if knob.choices:
        return tuple(knob.choices)
    ends = (knob.low if wanted.low is None else wanted.low, knob.high if wanted.high is None else wanted.high)
    return tuple(end for end in ends if end is not None)


def _searched(spec: Spec, objective: type) -> dict[str, Searched]:
    if spec.search is not None:
        return dict(spec.search)
    return {name: Range() for name in _defaults(objective) if name not in spec.fixed}


def _unknown_knob(where: str, spec: Spec, name: str, knobs: Mapping[str, Knob]) -> str:
    return unknown(f"{where}: a knob of {spec.objective!r}", name, list(knobs))


def _search_faults(knob: Knob, wanted: Searched) -> list[str]:
    where = f"search.{knob.name}"
    if not isinstance(wanted, Range):
        faults = [fault for value in wanted for fault in _value_faults(where, knob, value)]
        if len(wanted) < 2 or len(set(wanted)) < len(wanted):
            faults.append(f"{where}: choices must be at least two and distinct; got {list(wanted)}. Put a single value under fixed.")
        return faults
    if knob.choices:
        if wanted == Range():
            return []
        return [f"{where} must be a list of choices out of {list(knob.choices)}; got a range. Write `{knob.name}: {list(knob.choices)}`."]
    if knob.low is None or knob.high is None:
        return [] if wanted.low is not None and wanted.high is not None else [f"{where} has no range of its own; give low and high."]
    return _range_faults(where, knob, wanted)


def _range_faults(where: str, knob: Knob, wanted: Range) -> list[str]:
    low, high, log = bounds(knob, wanted)
    given = f"low {low:g}, high {high:g}"
    faults = []
    if low >= high:
        faults.append(f"{where}: low must be below high; got {given}. The knob's own range is {knob.low:g} to {knob.high:g}.")
    if log and low <= 0:
        off = " (the off arm tries it at 0 in any case)" if knob.off == 0 else ""
        faults.append(f"{where}: a log range must have low > 0; got {given}. Raise low{off}, or set log: false.")
    if knob.integer and (low != int(low) or high != int(high)):
        faults.append(f"{where}: an integer knob must have whole bounds; got {given}. Round them.")
    least, most = _meaningful(knob)
    if (low < least and not (log and low <= 0)) or high > most:
        faults.append(
            f"{where}: the range must lie within {least:g} to {most:g}; got {given}. The knob's own range is {knob.low:g} to {knob.high:g}."
        )
    return faults


def bounds(knob: Knob, wanted: Range) -> tuple[float, float, bool]:
    """Low, high and log of a searched knob: the spec's where it says so, else the knob's own."""
    low = wanted.low if wanted.low is not None else knob.low
    high = wanted.high if wanted.high is not None else knob.high
    if low is None or high is None:
        raise SpecError([f"search.{knob.name} has no range of its own; give low and high."])
    return low, high, knob.log if wanted.log is None else wanted.log


def _meaningful(knob: Knob) -> tuple[float, float]:
    """The widest range that can mean something for this knob: a fraction stays below 1, what is positive stays so."""
    if knob.low is None or knob.high is None:
        return -math.inf, math.inf
    if knob.integer and (knob.low, knob.high) == (0, 1):
        return 0.0, 1.0
    if knob.low >= 0 and knob.high <= 1 and not knob.log and not knob.integer:
        return 0.0, max(0.99, knob.high)
    if knob.low > 0 and (knob.log or knob.integer):
        least = max(1.0, knob.low / STRETCH) if knob.integer else knob.low / STRETCH
        return least, knob.high * STRETCH
    return (0.0, math.inf) if knob.low >= 0 else (-math.inf, math.inf)


def _value_faults(where: str, knob: Knob, value: Scalar) -> list[str]:
    """Faults of one value of a knob: its kind, and whether it can mean anything. The off value and the default always do."""
    if knob.choices:
        return [] if value in knob.choices else [f"{where} must be one of {list(knob.choices)}; got {value!r}. Choose one of them."]
    if isinstance(value, bool | str):
        return [f"{where} must be a number; got {value!r}. Write a number such as {knob.default}."]
    if knob.integer and value != int(value):
        return [f"{where} must be a whole number; got {value!r}. Round it."]
    least, most = _meaningful(knob)
    if not least <= value <= most and value not in (knob.off, knob.default):
        return [f"{where} must lie within {least:g} to {most:g}; got {value!r}. The knob's own range is {knob.low:g} to {knob.high:g}."]
    return []


def _point_faults(spec: Spec, searched: Mapping[str, Searched], knobs: Mapping[str, Knob]) -> list[str]:
    faults = []
    for index, point in enumerate(spec.points):
        where = f"points[{index}]"
        for name, value in point.items():
            if name not in knobs:
                faults.append(_unknown_knob(where, spec, name, knobs))
            elif name not in searched:
                faults.append(
                    f"{where}: a point may only set knobs that are searched; got {name!r}. Add {name} to search, or put it under fixed."
                )
            else:
                faults += _in_range(f"{where}.{name}", knobs[name], searched[name], value)
    return faults


def _in_range(where: str, knob: Knob, wanted: Searched, value: Scalar) -> list[str]:
    kind = _value_faults(where, knob, value)
    if kind or (isinstance(wanted, Range) and knob.choices):
        return kind
    if not isinstance(wanted, Range):
        return (
            [] if value in wanted else [f"{where} must be one of the searched choices {list(wanted)}; got {value!r}. Choose one of them."]
        )
    low, high, _ = bounds(knob, wanted)
    if isinstance(value, str) or not low <= value <= high:
        return [f"{where} must lie within the searched range {low:g} to {high:g}; got {value!r}. Move the point, or widen the range."]
    return []


def _name_faults(spec: Spec, objective: type, remote: bool) -> list[str]:
    """Names of model, data set, likelihood and metric, and whether the data is there."""
    faults = []
    likelihoods = getattr(objective, "likelihoods", ())
    if spec.likelihood is not None and spec.likelihood not in likelihoods:
        faults.append(unknown(f"a likelihood of {spec.objective!r}", spec.likelihood, likelihoods))
    metrics = objective.metrics  # type: ignore[attr-defined]
    if spec.metric is not None and spec.metric not in metrics:
        faults.append(unknown(f"a metric of {spec.objective!r}", spec.metric, list(metrics)))
    elif spec.metric is not None and not metrics[spec.metric].decides:
        deciding = ", ".join(name for name, metric in metrics.items() if metric.decides)
        faults.append(f"metric must be one that can decide, lower being better; got {spec.metric!r}. Choose one of {deciding}.")
    precisions = getattr(objective, "precisions", ("float32",))
    if spec.precision not in precisions:
        faults.append(unknown(f"a precision of {spec.objective!r}", spec.precision, precisions))
    if spec.precision == "tf32" and not spec.resources.gpu:
        faults.append(
            "precision: tf32 must have a GPU to run on; resources.gpu is 0. Give resources.gpu: 1, or choose float32 or bfloat16."
        )
    faults += [] if remote else features.faults(spec.features)
    if spec.latents is not None and spec.latents not in names("latents"):
        faults.append(unknown("latents", spec.latents, names("latents")))
    faults += getattr(objective, "measure_faults", lambda _: [])(spec.measure)
    return faults + _data_faults(spec, objective, remote)


def _data_faults(spec: Spec, objective: type, remote: bool) -> list[str]:
    """Whether the data is there, and whether the model was made for such images."""
    known, kinds = tuple(getattr(objective, "datasets", ())), tuple(getattr(objective, "models", ()))
    name = spec.dataset.name or _default_dataset(objective)
    if known and name not in known and ":" not in name:
        return [unknown(f"a data set of {spec.objective!r}", name, known), *_model_faults(spec, objective, kinds, None)]
    if name not in names("dataset") and ":" not in name:
        return _model_faults(spec, objective, kinds, None)
    options = {**spec.dataset.model_dump(), "name": name}
    likelihoods = tuple(getattr(objective, "likelihoods", ()))
    likelihood = spec.likelihood or next(iter(likelihoods), "")
    known_one = likelihood if likelihood in ("", *likelihoods) else None  # what nobody knows is a fault of its own
    found = [] if remote else data.check(options, spec.batch_size, known_one)
    shape = None if found or remote else data.shape_of(options)
    return found + _model_faults(spec, objective, kinds, shape)


def _model_faults(spec: Spec, objective: type, known: tuple[str, ...], shape: base.Shape | None) -> list[str]:
    model = spec.model or next(iter(known), None)
    if model is None or not known:
        return []
    if model in known or ":" in model:
        family = getattr(objective, "name", spec.objective)
        return models.faults(model, family, shape) if model in names("model") or ":" in model else []
    return [unknown(f"a model of {spec.objective!r}", model, known)]


def _default_dataset(objective: type) -> str:
    """`digits` where the objective takes it, for it needs no download; `none` for an objective without data."""
    known = tuple(getattr(objective, "datasets", ()))
    return "digits" if "digits" in known else known[0] if known else "none"


def _plain_faults(spec: Spec, remote: bool) -> list[str]:
    """Faults that do not depend on the objective."""
    faults = []
    trials, confirm = spec.budget.trials, spec.confirm
    if trials < 1:
        faults.append(f"budget.trials must be at least 1; got {trials}. Give at least {MIN_TRIALS}; 24 is the default.")
    elif trials < MIN_TRIALS and not _is_export(spec):
        faults.append(
            f"budget.trials must be at least {MIN_TRIALS}, so that the off arm and a curve over λ have configs; got {trials}. Raise it."
        )
    elif len(spec.points) > trials:
        faults.append(f"points must be at most budget.trials; got {len(spec.points)} points for {trials} trials. Raise budget.trials.")
    if confirm.configs is not None and (confirm.configs < 0 or confirm.configs == 1):
        faults.append(
            f"confirm.configs must be 0 (no confirmation) or at least 2, the off arm being one; got {confirm.configs}. 5 is usual."
        )
    if confirm.seeds < 0 or confirm.seeds == 1:
        faults.append(f"confirm.seeds must be 0 (no confirmation) or at least 2, for an interval; got {confirm.seeds}. 5 is usual.")
    for kind in ("sampler", "scheduler"):
        given, known = getattr(spec, kind), names(kind, f"search.{kind}s")
        if given not in known:
            faults.append(unknown(kind, given, known))
    return faults + _resource_faults(spec.resources, remote)


def _is_export(spec: Spec) -> bool:
    return spec.search is not None and not spec.search


def _resource_faults(resources: Resources, remote: bool) -> list[str]:
    faults = []
    if resources.gpu > 1 and resources.gpu != int(resources.gpu):
        faults.append(f"resources.gpu must be a fraction up to 1 or a whole number; got {resources.gpu:g}. Round it.")
    if resources.gpu > 0 and not remote and not has_gpu():
        faults.append(
            f"resources.gpu must be 0 on a machine without a GPU; got {resources.gpu:g}. Set it to 0, or give --address of a cluster."
        )
    cores = os.cpu_count() or 1
    if resources.cpu > cores and not remote:
        faults.append(f"resources.cpu must be at most this machine's {cores} cores; got {resources.cpu:g}. Lower it, or give --address.")
    return faults


def has_gpu() -> bool:
    """True where this machine shows an accelerator; asked of the system, for importing torch costs seconds."""
    if any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists():
        return True
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=10, check=False).stdout.startswith(b"GPU")
    except (OSError, subprocess.TimeoutExpired):
        return False


def _with_defaults(spec: Spec, objective: type) -> Spec:
    """The spec with everything the objective decides written out."""
    knobs: Mapping[str, Knob] = objective.knobs  # type: ignore[attr-defined]
    search = {name: _written_out(knobs[name], wanted) for name, wanted in _searched(spec, objective).items()}
    kinds = getattr(objective, "models", ())
    model = spec.model or (kinds[0] if kinds else None)
    own = models.recipe(model, getattr(objective, "name", spec.objective)) if model in names("model") else {}
    epochs = spec.budget.epochs or getattr(objective, "default_epochs", DEFAULT_EPOCHS)
    likelihoods = getattr(objective, "likelihoods", ())
    return spec.model_copy(
        update={
            "model": model,
            "fixed": {**{name: value for name, value in own.items() if name not in search}, **spec.fixed},
            "dataset": spec.dataset.model_copy(
                update={"name": spec.dataset.name or _default_dataset(objective), **data.located(spec.dataset.model_dump())}
            ),
            "likelihood": spec.likelihood or (likelihoods[0] if likelihoods else None),
            "search": search,
            "budget": spec.budget.model_copy(update={"epochs": epochs}),
            "metric": spec.metric or objective.score,  # type: ignore[attr-defined]
            "alone": bool(_alone(spec, objective)),
            "simplify": spec.simplify + tuple(n for n in search if knobs[n].is_lambda and n not in spec.simplify),
        }
    )


def _written_out(knob: Knob, wanted: Searched) -> Searched:
    if not isinstance(wanted, Range):
        return wanted
    if knob.choices:
        return tuple(knob.choices)
    low, high, log = bounds(knob, wanted)
    return Range(low=low, high=high, log=log)


# --- matrix -------------------------------------------------------------------------------------------------------------------------------

_AXES = ("objective", "model", "dataset")


def _matrix_faults(matrix: Any) -> list[str]:
    if not isinstance(matrix, Mapping) or not matrix:
        return [f"matrix must be a mapping of {', '.join(_AXES)} to lists; got {matrix!r}. Write `matrix: {{dataset: [digits, mnist]}}`."]
    faults = [unknown("a key of matrix", str(key), _AXES) for key in matrix if key not in _AXES]
    for key, values in matrix.items():
        if key in _AXES and (not isinstance(values, list | tuple) or not values):
            faults.append(f"matrix.{key} must be a list of names; got {values!r}. Write `{key}: [{values}]`.")
    return faults


def _combinations(base: Mapping[str, Any], matrix: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*matrix.values()):
        chosen = dict(zip(matrix, values, strict=True))
        given = base.get("dataset")
        if "dataset" in chosen and isinstance(given, Mapping):
            named = chosen["dataset"]
            chosen["dataset"] = {**given, **(named if isinstance(named, Mapping) else {"name": named})}
        yield {**base, **chosen}


def _title(value: Value | Mapping[str, Any]) -> str:
    return str(value.get("name")) if isinstance(value, Mapping) else str(value)
