"""What exists: knobs, models, data sets, samplers, schedulers and metrics, read from the files that define them. Imports no torch.

A family's entry is plain data, so that `--json` and the tables of the command line show the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, is_dataclass
from types import ModuleType
from typing import Any

from objectives.base import FAMILIES, Knob, Metric, ObjectiveError, load, names, unknown

Entry = dict[str, Any]

# What the table of a family shows; an entry has more (`lagrange knobs NAME`).
COLUMNS: dict[str, tuple[str, ...]] = {
    "knobs": ("name", "kind", "formula", "unit", "off", "default", "range", "objectives"),
    "models": ("name", "summary", "objectives"),
    "datasets": ("name", "summary", "shape", "sizes", "objectives"),
    "samplers": ("name", "summary", "adaptive", "source"),
    "schedulers": ("name", "summary", "formula", "source"),
    "metrics": ("name", "summary", "formula", "unit", "decides", "objectives"),
}


def entries(family: str) -> list[Entry]:
    """Every member of a family (a key of COLUMNS), by name."""
    return sorted(_READERS[family](), key=lambda entry: str(entry["name"]))


def entry(family: str, name: str) -> Entry:
    """One member of a family.

    Raises:
        ObjectiveError: nobody knows the name; says what exists and the nearest.
    """
    found = {str(one["name"]): one for one in entries(family)}
    if name not in found:
        raise ObjectiveError(unknown(family.removesuffix("s"), name, list(found)))
    return found[name]


def _objectives() -> Iterator[tuple[str, Any]]:
    for name in names("objective"):
        if hasattr(importlib.import_module(f"objectives.{name}"), "OBJECTIVE"):
            yield name, load(name)


def _files(family: str, package: str | None = None) -> Iterator[tuple[str, ModuleType]]:
    for name in names(family, package):
        yield name, importlib.import_module(f"{package or FAMILIES[family]}.{name}")


def _constants(module: ModuleType, singular: str) -> list[Any]:
    one, several = getattr(module, singular, None), getattr(module, f"{singular}S", ())
    return [*([] if one is None else [one]), *(several.values() if isinstance(several, dict) else several)]


def _plain(value: Any) -> Entry:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)


def _knob_entry(knob: Knob) -> Entry:
    found = _plain(knob) | {"kind": "λ" if knob.is_lambda else "nuisance", "range": _range(knob), "objectives": []}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def _range(knob: Knob) -> str:
    if knob.choices:
        return " | ".join(str(choice) for choice in knob.choices)
    if knob.low is None or knob.high is None:
        return "–"
    return f"{knob.low:g} … {knob.high:g}{' log' if knob.log else ''}{' integer' if knob.integer else ''}"


def _merged(attribute: str, own: list[Any], make: Callable[[Any], Entry]) -> list[Entry]:
    """Entries of what the objectives use, and of what lies in a file and no objective uses yet.

    An objective may redefine a knob (another range, another default): what differs from the first is kept under `differs`.
    """
    found: dict[str, Entry] = {}
    first: dict[str, Any] = {}
    for objective, cls in _objectives():
        for name, one in getattr(cls, attribute).items():
            entry = found.setdefault(name, make(one))
            entry["objectives"].append(objective)
            if first.setdefault(name, one) != one:
                mine, base = make(one), make(first[name])
                entry.setdefault("differs", {})[objective] = {
                    key: mine[key] for key in mine if mine[key] != base[key] and key != "objectives"
                }
    for one in own:
        found.setdefault(one.name, make(one))
    return list(found.values())


def _knobs() -> list[Entry]:
    own = [knob for _, module in _files("regularizer") for knob in _constants(module, "KNOB")]
    return _merged("knobs", [knob for knob in own if isinstance(knob, Knob)], _knob_entry)


def _metrics() -> list[Entry]:
    own = [metric for _, module in _files("metric") for metric in _constants(module, "METRIC")]
    return _merged("metrics", [one for one in own if isinstance(one, Metric)], lambda metric: _plain(metric) | {"objectives": []})


def _models() -> list[Entry]:
    return [
        {"name": name, "summary": _first_line(module), "objectives": sorted(getattr(module, "BUILD", {}))}
        for name, module in _files("model")
    ]


def _datasets() -> list[Entry]:
    found = []
    for name, module in _files("dataset"):
        facts = getattr(module, "DATASET", None)
        used = [objective for objective, cls in _objectives() if name in getattr(cls, "datasets", ())]
        entry = {"name": name, "summary": _first_line(module), **({} if facts is None else _plain(facts)), "objectives": used}
        found.append({key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()})
    return found


def _infos(family: str) -> list[Entry]:
    found = []
    for name, module in _files(family, f"search.{family}s"):
        info = getattr(module, family.upper(), None)
        found.append({"name": name, "summary": _first_line(module)} if info is None else _plain(info))
    return found


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().partition("\n")[0]


_READERS: dict[str, Callable[[], list[Entry]]] = {
    "knobs": _knobs,
    "models": _models,
    "datasets": _datasets,
    "samplers": lambda: _infos("sampler"),
    "schedulers": lambda: _infos("scheduler"),
    "metrics": _metrics,
}
