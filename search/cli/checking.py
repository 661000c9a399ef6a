"""`lagrange check`: whether models are sound and λs alive, as rows. `objectives/checks/alive.py` holds the proofs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.storage import there
from objectives.base import Check, Settings
from objectives.checks.alive import IGNORED, WHOLE, check
from objectives.registry import load, objectives
from search.cli.sweep import source
from search.spec.reading import expand
from search.spec.text import presets

DATA = "(data)"
EPOCHS = 10  # schedules (a warm-up) are checked half-way through this many epochs


def rows(
    objective: str | None,
    knobs: Sequence[str] | None = None,
    *,
    dataset: str | None = None,
    root: str | None = None,
    model: str | None = None,
    likelihood: str | None = None,
) -> list[dict[str, Any]]:
    """One row for each λ, with `verdict` passed, failed or unproven. If no objective is named, the rows of every objective; else the notes
    on the data beside them.

    A λ that needs a certain likelihood is checked with that likelihood, unless the user asked for another. What does not apply to a user's
    model is one row, and no failure, unless `knobs` names it.

    Raises:
        ObjectiveError: the objective or a λ does not exist.
    """
    found: list[dict[str, Any]] = []
    for name, kind in ({objective: load(objective)} if objective else objectives()).items():
        own = {"name": dataset or next(iter(kind.datasets), "none")} | ({"root": root} if root else {})
        wanted = list(knobs or [knob for knob, facts in kind.knobs.items() if facts.off is not None])
        for one, said in _by_likelihood(kind, wanted, likelihood):
            made = kind(Settings(own, EPOCHS, model, said))
            checked = check(made, one)
            absent = [row for row in checked if row.fault == IGNORED] if knobs is None else []  # nobody has asked for them
            found += [_row(name, row) for row in [*(row for row in checked if row not in absent), *_not_applicable(absent)]]
            found += [row for row in _data_rows(name, made) if row not in found] if objective else []
    return sorted(found, key=lambda row: (row["objective"], _order(row)))


def _not_applicable(absent: Sequence[Check]) -> list[Check]:
    """One row for all λ that a user's model does not let act for the same reason."""
    reasons: dict[str, list[str]] = {}
    for row in absent:
        reasons.setdefault(row.message.replace(row.knob, "it"), []).append(row.knob)
    return [Check(", ".join(names), True, "", f"does not apply: {why}", proven=False) for why, names in reasons.items()]


def is_spec(target: str) -> bool:
    """Whether TARGET is a preset or a file, and no objective."""
    return (
        ":" not in target
        and target not in objectives()
        and (target in presets() or target.endswith((".yaml", ".yml")) or (there(target) and Path(target).is_file()))
    )


def rows_of_spec(target: str, settings: Sequence[str] = (), knobs: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The rows of what a spec would train: its model on its data, and each λ that it searches (or those in `knobs`).

    Raises:
        SpecError: the spec is wrong.
        ObjectiveError: a λ does not exist, or the objective cannot be made.
    """
    found: list[dict[str, Any]] = []
    for spec in expand(source(target), list(settings)):
        objective = spec.trained(spec.settings())
        searched = [name for name in spec.search or {} if objective.knobs[name].off is not None]
        checked = check(objective, list(knobs) if knobs else searched)
        if not any(one.knob == WHOLE for one in checked) and objective.probes({}):
            checked = [Check(WHOLE, True, "", SOUND), *checked]
        found += [_row(spec.objective, one) for one in checked]
        found += [row for row in _data_rows(spec.objective, objective) if row not in found]
    return sorted(found, key=lambda row: (row["objective"], _order(row)))


SOUND = "its loss is finite, its score is the same at every call, and its parts are trained, see their input and keep to their range"


def _data_rows(name: str, objective: Any) -> list[dict[str, Any]]:
    """What a sweep would say of the data. Only our families look into it."""
    if not hasattr(objective, "data_notes"):
        return []
    notes = objective.data_notes(objective.load_data())
    return [{"objective": name, "knob": DATA, "verdict": "note", "fault": "", "message": note} for note in notes]


def _order(row: dict[str, Any]) -> tuple[bool, str]:
    """Faults first, then by name."""
    return row["verdict"] != "failed", str(row["knob"])


def _by_likelihood(kind: Any, wanted: list[str], asked: str | None) -> list[tuple[list[str], str | None]]:
    """The λs, grouped by the likelihood with which they are checked."""
    needs: dict[str | None, list[str]] = {}
    for name in wanted:
        own = kind.knobs[name].likelihood if name in kind.knobs else ""
        needs.setdefault(asked or own or None, []).append(name)
    return [(group, likelihood) for likelihood, group in needs.items()]


def _row(objective: str, one: Check) -> dict[str, Any]:
    verdict = "failed" if not one.passed else "passed" if one.proven else "unproven"
    return {"objective": objective, "knob": one.knob, "verdict": verdict, "fault": one.fault, "message": one.message}
