"""From a YAML file or a mapping to a resolved spec. All its faults are reported at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from infra.storage import whole
from objectives.base import ObjectiveError, Value
from objectives.registry import load, names, shortened, unknown
from search import schedulers
from search.errors import SpecError
from search.spec.defaults import default_knobs, with_defaults
from search.spec.faults import conflicts, knob_faults, name_faults, plain_faults
from search.spec.handing_on import stopping
from search.spec.keys import Budget, Confirm, DatasetSpec, Limits, Purpose, Range, Score, Spec
from search.spec.resources import Resources
from search.spec.text import parse_yaml, read_yaml

MOST = 2**53  # of whole numbers; up to here each is a float, too
MOST_SEED = 2**128 - 1


def read(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, purpose: Purpose = "sweep", remote: bool = False
) -> Spec:
    """The resolved spec of a YAML file or mapping, with `overrides` such as `search.beta.low=0.1`.

    `purpose="train"` accepts a spec without a searched λ. With `remote`, this machine is not searched for devices and data.

    Raises:
        SpecError: with every fault of the spec.
    """
    faults: list[str] = []
    raw = _deep_copy(source if isinstance(source, Mapping) else read_yaml(source))
    for override in overrides:
        faults += _override(raw, override)
    faults += _unkept(raw)
    spec, more = _parse(raw)
    faults += more
    if spec is None:
        raise SpecError(faults)
    try:
        objective = spec.trained
    except ObjectiveError as error:
        named = str(error).splitlines() if spec.objective or not more else []  # else `more` says that it is missing
        raise SpecError(list(dict.fromkeys([*faults, *named, *plain_faults(spec, remote)]))) from error
    faults += knob_faults(spec, objective, purpose) + name_faults(spec, objective, remote) + plain_faults(spec, remote)
    faults += [conflict.message for conflict in conflicts(spec, objective) if conflict.level == "error"]
    if faults:
        raise SpecError(list(dict.fromkeys(faults)))
    return with_defaults(spec, objective).model_copy(update={"scheduler": stopping(spec)})


def resolve(spec: Spec, *, purpose: Purpose = "sweep", remote: bool = False) -> Spec:
    """A spec made in Python, with its objective's defaults written out; raises SpecError with every fault."""
    return read(spec.model_dump(exclude_none=True), purpose=purpose, remote=remote)


def kept(row: Mapping[str, Any]) -> Spec:
    """The spec of a stored row, which was resolved before it was stored. No module that it names is imported. Raises SpecError."""
    try:
        return Spec.model_validate(row)
    except ValidationError as error:
        raise SpecError([_form_fault(fault) for fault in error.errors()]) from error


def expand(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, purpose: Purpose = "sweep", remote: bool = False
) -> list[Spec]:
    """One resolved spec for each combination of `matrix` (lists of objective, model, dataset). A spec without `matrix` gives itself.

    Raises:
        SpecError: with the faults of every combination, impossible combinations among them.
    """
    mapping = source if isinstance(source, Mapping) else read_yaml(source)
    if "matrix" not in mapping:
        return [read(mapping, overrides, purpose=purpose, remote=remote)]
    base = {key: value for key, value in mapping.items() if key != "matrix"}
    faults = _matrix_faults(mapping["matrix"])
    if faults:
        raise SpecError(faults)
    found = []
    for combination in _combinations(base, mapping["matrix"]):
        try:
            found.append(read(combination, overrides, purpose=purpose, remote=remote))
        except SpecError as error:
            title = " × ".join(_title(combination[key]) for key in mapping["matrix"])
            faults += [f"{title}: {fault}" for fault in error.faults]
    if faults:
        raise SpecError(list(dict.fromkeys(faults)))
    return found


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _deep_copy(item) for key, item in value.items()}
    return [_deep_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _unkept(value: Any, where: tuple[str, ...] = ()) -> Iterator[str]:
    """Each value that no store keeps as it is: a whole number that no float holds, a text that is no UTF-8."""
    if not isinstance(value, dict | list):
        return
    for key, below in list(value.items() if isinstance(value, dict) else enumerate(value)):
        here = (*where, str(key))
        most = MOST_SEED if here == ("seed",) else MOST
        if isinstance(below, int) and abs(below) > most:
            given = below if abs(below) < 10**40 else f"a number of {int(below.bit_length() * math.log10(2)) + 1} digits"
            if isinstance(value, dict):
                del value[key]  # so that it has no second fault
            else:
                value[key] = 1
            yield f"{'.'.join(here)} must be a number up to {most:,}; got {given}. Correct it."
        elif isinstance(below, str) and below != whole(below):
            yield f"{'.'.join(here)} must be text in UTF-8 without NUL; got {shortened(below)}. Rename it."
        yield from _unkept(below, here)


def _override(raw: dict[str, Any], override: str) -> list[str]:
    """Apply `a.b.c=value` in place. Returns the faults of the override."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        return [f"an override must be KEY=VALUE with a dotted key, such as search.beta.low=0.1; got {override!r}."]
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        value = text.strip()  # `>= 5` without quotes begins a block of text in YAML
        if keys[0] != "constraints":
            return [f"the value of an override must be YAML; got {shortened(override)}. Quote it, as in --set '{keys[0]}={{low: 0.1}}'."]
    if keys[0] == "search" and len(keys) > 1 and raw.get("search") is None:
        raw["search"] = {name: {} for name in _default_search(raw)}
    here = raw
    for key in keys[:-1]:
        below = here.get(key)
        if key in _NAMED and isinstance(below, str):
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


# Keys whose value may be a name alone, or a mapping with the name and more.
_NAMED = ("dataset", "sampler", "scheduler", schedulers.WRAPS)


def _default_search(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The knobs that the objective searches by default, so that an override of one knob's range does not drop the others."""
    try:
        objective = load(str(raw.get("objective")), raw)
    except ObjectiveError:
        return ()
    fixed = raw.get("fixed")
    return tuple(name for name in default_knobs(objective) if not (isinstance(fixed, Mapping) and name in fixed))


def _parse(raw: dict[str, Any]) -> tuple[Spec | None, list[str]]:
    """The spec and its faults of form. A faulty value is dropped and the rest is parsed, so that one fault does not hide the others."""
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
            # Without an objective the rest can still be checked, as far as it does not depend on an objective.
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
        one_of = f", NAME one of {', '.join(names('objective'))}" if where == "objective" else ""
        return f"{where} must be given; it is missing. Write `{where}: {'NAME' if path[-1] in ('objective', 'name') else 'VALUE'}`{one_of}."
    rule = _RULES.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return f"{where or 'the spec'} {rule}; got {given!r}. Correct it, or leave it out for the default."


def _is_branch(part: Any) -> bool:
    """True for the tag with which pydantic names a branch of `Searched` or `Scored`. The tag is no key of the spec."""
    return part in ("a range", "a list", "a mapping", "a word")


def _keys(path: Sequence[str]) -> list[str]:
    blocks: dict[str, type[BaseModel]] = {
        "": Spec,
        "dataset": DatasetSpec,
        "budget": Budget,
        "confirm": Confirm,
        "resources": Resources,
        "limits": Limits,
        "search": Range,
        "score": Score,
    }
    return [*blocks[path[0] if path else ""].model_fields, *([] if path else ["matrix"])]


def _drop(raw: Any, loc: Sequence[Any]) -> None:
    """Remove the value that a fault points at. Pydantic's union branches in `loc` are no keys and are skipped."""
    steps = [part for part in loc if not (_is_branch(part))]
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        if isinstance(raw, dict) and step in raw:
            if last and depth == 1 and steps[0] == "search":
                raw[step] = {}  # the knob stays searched; else the fault would cause a second one, "no λ is searched"
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
