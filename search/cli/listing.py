"""What exists: knobs, models, data sets, metrics, features, latents, samplers and schedulers, read from the files that define them.

Imports no torch.

A family's entry is plain data, so that `--json` and the tables of the command line show the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, is_dataclass
from types import ModuleType
from typing import Any

from objectives.base import Knob, ObjectiveError
from objectives.conventions import table
from objectives.metrics import declared
from objectives.registry import PACKAGES, load, names, objectives, unknown
from search import schedulers
from search.asking import samplers

Entry = dict[str, Any]
Served = Sequence[tuple[str, Any]]  # objectives and their classes

# The columns that the table of a family shows. An entry has more (`lagrange knobs NAME`).
COLUMNS: dict[str, tuple[str, ...]] = {
    "knobs": ("name", "off", "range", "formula", "unit", "objectives"),
    "models": ("name", "summary", "objectives"),
    "datasets": ("name", "summary", "shape", "sizes", "objectives"),
    "samplers": ("name", "summary", "adaptive", "source"),
    "schedulers": ("name", "summary", "formula", "source"),
    "metrics": ("name", "measure", "summary", "formula", "unit", "decides", "objectives"),
    "features": ("name", "summary"),
    "latents": ("name", "summary", "source"),
}
WHOLE = ("name", "off", "range")  # columns that stay on one line
LONG = ("conventions", "about", "options")  # facts of an entry that `long` prints as paragraphs


def entries(family: str, objective: str | None = None) -> list[Entry]:
    """All entries of a family (a key of COLUMNS), by name. With `objective`, the entries that serve this objective.

    Raises:
        ObjectiveError: the objective does not exist.
    """
    served = _objectives() if objective is None else [(objective, load(objective))]
    found = sorted(_READERS[family](served), key=lambda entry: str(entry["name"]))
    return [one for one in found if objective is None or one.get("objectives", True)]


def entry(family: str, name: str) -> Entry:
    """One entry of a family. A name that `measure` takes may stand for several metrics.

    Raises:
        ObjectiveError: the name does not exist. The message says what exists and which name is nearest.
    """
    found = {str(one["name"]): one for one in entries(family)}
    if family == "metrics" and name not in found and (measured := {key: one["summary"] for key, one in found.items() if one["measure"] == name}):
        return {"measure": name, **measured}
    if family == "knobs" and (players := [one for one in (f"{name}_g", f"{name}_d") if one in found]) and name not in found:
        # A λ of a GAN that is searched for each player separately, and is no knob itself.
        return {**found[players[0]], "name": name, "knobs": players, "where": "for each player by itself", **_background(players[0])}
    if family == "samplers" and ":" in name:
        return {"name": name, "summary": "not one of ours: any class with Optuna's interface", **_options(samplers, name)}
    if name not in found:
        raise ObjectiveError(unknown(family.removesuffix("s"), name, list(found)))
    return found[name] | (_background(name) if family == "knobs" else _about(name, family) if family in _WITH_TEXT else {})


def how(family: str) -> str:
    """How what a family lists is written in a spec, where that is more than its name."""
    return _HOW.get(family, "")


def long(entry: Entry) -> list[str]:
    """The paragraphs below an entry's facts: the names of a knob in other projects, and what its file says about it."""
    foreign = [f"  {one['convention']:14}  {one['name']:18}  {one['equation']}" for one in entry.get("conventions", ())]
    named = ["\n".join(["In other projects (w: the value there; lagrange convert):", *foreign])] if foreign else []
    options = [f"  {name:22}  {line}" for name, line in entry.get("options", {}).items()]
    listed = ["\n".join(["Options:", *options])] if options else []
    return [*named, *listed, *([entry["about"]] if entry.get("about") else [])]


def _objectives() -> Served:
    """Our objectives. First those with the most knobs; the others are special cases of these."""
    return sorted(objectives().items(), key=lambda pair: -len(pair[1].knobs))


def _files(family: str, package: str | None = None) -> Iterator[tuple[str, ModuleType]]:
    for name in names(family, package):
        yield name, importlib.import_module(f"{package or PACKAGES[family]}.{name}")


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


def _merged(served: Served, attribute: str, make: Callable[[Any], Entry]) -> list[Entry]:
    """Entries of what the objectives use.

    An objective may redefine a knob (another range, another default). Its differences from the first entry are kept under `differs`.
    """
    found: dict[str, Entry] = {}
    first: dict[str, Any] = {}
    for objective, cls in served:
        for name, one in getattr(cls, attribute).items():
            entry = found.setdefault(name, make(one))
            entry["objectives"].append(objective)
            if first.setdefault(name, one) != one:
                mine, base = make(one), make(first[name])
                entry.setdefault("differs", {})[objective] = {
                    key: mine[key] for key in mine if mine[key] != base[key] and key != "objectives"
                }
    return list(found.values())


def _knobs(served: Served) -> list[Entry]:
    return _merged(served, "knobs", _knob_entry)


def _background(name: str) -> Entry:
    """What the file of a knob says about it, and its parameters in other projects."""
    stem = name.removesuffix("_g").removesuffix("_d")
    about = next(
        (
            (module.__doc__ or "").strip()
            for _, module in _files("regularizer")
            if {name, stem} & {knob.name for knob in (module.KNOB, *getattr(module, "COMPANIONS", ()))}
        ),
        "",
    )
    foreign = [
        {"convention": convention.name, "name": one.name, "equation": one.equation, "when": dict(one.when), "source": one.source}
        for convention in table().values()
        for one in convention.parameters
        if one.knob == name and one.result is not None
    ]
    return {"conventions": foreign, "about": about}


# Families whose files say more than an entry holds, and where these files are.
_WITH_TEXT = {"datasets": None, "samplers": samplers.__name__, "schedulers": schedulers.__name__}


def _about(name: str, family: str) -> Entry:
    """What the file of a data set, a sampler or a scheduler says."""
    return {"about": (dict(_files(family.removesuffix("s"), _WITH_TEXT[family]))[name].__doc__ or "").strip()}


def _metrics(served: Served) -> list[Entry]:
    """Every metric, and the name with which a spec's `measure` asks for it, if there is one.

    Standard errors are left out; they are reported beside a metric as NAME_se.
    """
    askable = {metric.name: name for name, module in _files("metric") if hasattr(module, "NEEDS") for metric in declared(name)}
    found = _merged(served, "metrics", lambda metric: _plain(metric) | {"measure": askable.get(metric.name, ""), "objectives": []})
    known = {entry["name"] for entry in found}
    return [entry for entry in found if not (entry["name"].endswith("_se") and entry["name"].removesuffix("_se") in known)]


def _models(served: Served) -> list[Entry]:
    families: dict[str, list[str]] = {}  # one of our classes may be a family that is asked another question
    for name, cls in served:
        families.setdefault(cls.name or name, []).append(name)
    return [
        {
            "name": name,
            "summary": _summary(module),
            "objectives": [name for one in getattr(module, "BUILD", {}) for name in families.get(one, ())],
            "fits": getattr(module, "FITS", "images of any size"),
            **{key.lower(): found for key in ("RECIPE", "PUBLISHED") if (found := _by_objective(module, key))},
        }
        for name, module in _files("model")
    ]


def _by_objective(module: ModuleType, attribute: str) -> dict[str, str]:
    """What a model file says for each objective, in words: its published knobs or its published sizes."""
    found: dict[str, str] = {}
    for objective, said in getattr(module, attribute, {}).items():
        if attribute == "RECIPE":
            found[objective] = ", ".join(f"{knob}={value}" for knob, value in said.items())
        else:
            (channels, height, width), latent_dim, counts = said
            sizes = ", ".join(f"{part} {count:,}" for part, count in counts.items())
            found[objective] = f"{sizes} parameters at {height}×{width}×{channels}, latent {latent_dim}"
    return found


def _said(family: str) -> list[Entry]:
    return [
        {"name": name, "summary": module.SUMMARY, "source": getattr(module, "SOURCE", ""), "about": (module.__doc__ or "").strip()}
        for name, module in _files(family)
    ]


def _datasets(served: Served) -> list[Entry]:
    found = []
    for name, module in _files("dataset"):
        facts = getattr(module, "DATASET", None)
        used = [objective for objective, cls in served if name in cls.datasets]
        entry = {"name": name, "summary": _summary(module), **({} if facts is None else _plain(facts)), "objectives": used}
        found.append({key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()})
    return found


def _infos(package: ModuleType, family: str) -> list[Entry]:
    found = []
    for name, module in _files(family, package.__name__):
        info = getattr(module, family.upper(), None)
        found.append({"name": name, "summary": _summary(module)} if info is None else _plain(info) | _options(package, name))
    return found


def _options(package: ModuleType, name: str) -> Entry:
    """The options of a sampler or scheduler, each in one line."""
    return {"options": {option: one.line() for option, one in package.accepted(name).items()}}


_HOW = {
    "samplers": """With options (`lagrange samplers NAME` lists them): sampler: {name: tpe, n_startup_trials: 4}
Any other of Optuna's, or your own:            sampler: "optuna.samplers:GPSampler"
                                               sampler: {name: "optuna.samplers:GPSampler", deterministic_objective: true}""",
    "schedulers": """With options (`lagrange schedulers NAME` lists them): scheduler: {name: asha, reduction: 2, grace_share: 0.1}
One around another, so that both may stop a member:  scheduler: {name: patience, patience: 8, wraps: asha}""",
}


def _summary(module: ModuleType) -> str:
    """The first paragraph of what a file says about itself, on one line: its sentences may be longer than a line of the file."""
    return " ".join((module.__doc__ or "").strip().partition("\n\n")[0].split())


_READERS: dict[str, Callable[[Served], list[Entry]]] = {
    "knobs": _knobs,
    "models": _models,
    "datasets": _datasets,
    "samplers": lambda _: _infos(samplers, "sampler"),
    "schedulers": lambda _: _infos(schedulers, "scheduler"),
    "metrics": _metrics,
    "features": lambda _: _said("features"),
    "latents": lambda _: _said("latents"),
}
