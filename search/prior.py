"""Where a sweep may start from: answers in the catalogue, as they are stored with the sweep that uses them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from infra.catalogue import Catalogue, SweepRow
from infra.storage import Home
from infra.storage.hints import command
from search.asking.space import Space
from search.choosing import from_members
from search.choosing.answer import Answer
from search.choosing.trainings import trainings
from search.errors import SpecError
from search.spec.keys import AUTO, Spec

MOST = 5  # sources that `auto` takes, the latest ones
STORED = 80  # trainings that are stored of a source


def resolved(spec: Spec, home: Home) -> list[dict[str, Any]]:
    """The sources of a spec's `prior`: plain data for the catalogue. Empty where there is no prior, or `auto` finds none.

    Raises:
        SpecError: sweeps that were named cannot be used; with all faults.
        InfraError: the catalogue cannot be opened.
    """
    if not spec.prior:
        return []
    space = Space(spec, spec.trained)
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        if spec.prior == (AUTO,):
            rows = [row for row in catalogue.sweeps() if row.objective == spec.objective and not _faults(row, space)]
            rows = sorted(rows, key=lambda row: (row.created, row.name))[-MOST:]
        else:
            known = {row.name: row for row in catalogue.sweeps()}
            faults = [
                f"prior: {name!r} must be a sweep of this catalogue; there is none. {command('ls', home)} shows them."
                for name in spec.prior
                if name not in known
            ]
            rows = [known[name] for name in spec.prior if name in known]
            faults += [fault for row in rows for fault in _faults(row, space)]
            if faults:
                raise SpecError(faults)
        return [_stored(catalogue, row, space) for row in rows]


def _faults(row: SweepRow, space: Space) -> list[str]:
    """Why a sweep cannot be a source."""
    if row.status != "complete" or row.answer is None:
        return [f"prior: {row.name!r} must be a sweep with an answer; it is {row.status}. Resume it, or leave it out."]
    lambdas = {one.name: one for one in Answer.from_dict(row.answer).lambdas}
    shared = [knob for knob in space.lambdas if knob.name in lambdas]
    if not shared:
        wanted = ", ".join(knob.name for knob in space.lambdas)
        return [f"prior: {row.name!r} must have searched one of {wanted}; it searched {', '.join(lambdas)}. Leave it out."]
    faults = []
    for knob in shared:
        one = lambdas[knob.name]
        if (one.unit or knob.unit, float(one.off)) != (knob.unit, float(knob.off)):  # type: ignore[arg-type]
            faults.append(
                f"prior: {knob.name} of {row.name!r} must be in the unit {knob.unit!r} with off value {knob.off:g}; "
                f"it is in {one.unit!r} with off value {one.off:g}. Leave it out."
            )
        elif not math.isfinite(one.value) or one.value == one.off:
            faults.append(f"prior: {row.name!r} must have an answer with {knob.name} on; it kept {knob.name} off. Leave it out.")
        elif space.clip({knob.name: one.value})[knob.name] != one.value:
            faults.append(f"prior: {knob.name} = {one.value:g} of {row.name!r} must lie in the searched range. Widen it.")
    return faults


def _stored(catalogue: Catalogue, row: SweepRow, space: Space) -> dict[str, Any]:
    """What a sweep keeps of a source: name, data set, model, best values and trainings, in the knobs that both searched."""
    answer, members = Answer.from_dict(row.answer or {}), catalogue.members(row.name)
    lambdas = {one.name: one.value for one in answer.lambdas}
    names = [knob.name for knob in space.knobs if knob.name in lambdas or (not knob.is_lambda and knob.name in row.spec.get("search", {}))]
    curves: dict[int, dict[int, float]] = {}
    for report in catalogue.reports(row.name):
        if report.rung_score is not None and math.isfinite(report.rung_score):
            curves.setdefault(report.number, {})[report.epoch] = report.rung_score
    known = [one for one in trainings(from_members.table(members, curves, [])) if all(name in one.config for name in names)]
    known = known[:: math.ceil(len(known) / STORED) or 1]
    return {
        "name": row.name,
        "dataset": row.dataset,
        "model": row.model,
        "best": _only(answer.best | lambdas, names),
        "trainings": [[_only(one.config, names), one.seed, one.score, one.doubt] for one in known],
    }


def _only(config: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: config[name] for name in names}
