"""Many trials into Optuna's database at once.

`Study.add_trials` writes one trial after the other with a dozen statements each: 15 ms a trial. Here all are one transaction with a few
statements, over Optuna's own tables. They are no part of its public interface; where they are not as they were, `add_trials` does it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

TABLES = ("trial_values", "trial_params", "trial_user_attributes", "trial_system_attributes", "trial_intermediate_values")


def add(study: Any, storage: Any, trials: Sequence[Any]) -> None:
    """Add these finished trials to a study that has none."""
    try:
        _written(study._study_id, storage, trials)
    except Exception:  # whatever is not as it was: nothing is written then
        study.add_trials(trials)


def _written(study: int, storage: Any, trials: Sequence[Any]) -> None:
    from optuna.distributions import distribution_to_json
    from optuna.storages._rdb import models

    tables = models.BaseModel.metadata.tables
    value, step = models.TrialValueModel.value_to_stored_repr, models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    heads = [
        {
            "number": number,
            "study_id": study,
            "state": one.state,
            "datetime_start": _utc(one.datetime_start),
            "datetime_complete": _utc(one.datetime_complete),
        }
        for number, one in enumerate(trials)
    ]
    if not heads:
        return
    rows: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in ("trial_values", "trial_params", "trial_user_attributes", "trial_system_attributes", "trial_intermediate_values")
    }
    written: dict[int, str] = {}
    with storage.engine.begin() as connection:
        head = tables["trials"]
        ids = connection.scalars(head.insert().returning(head.c.trial_id, sort_by_parameter_order=True), heads).all()
        for trial_id, one in zip(ids, trials, strict=True):
            for objective, number in enumerate(one.values or ()):
                stored, kind = value(number)
                rows["trial_values"].append({"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind})
            for name, param in one.params.items():
                distribution = one.distributions[name]
                if id(distribution) not in written:  # trials share them
                    written[id(distribution)] = distribution_to_json(distribution)
                told = {"param_value": distribution.to_internal_repr(param), "distribution_json": written[id(distribution)]}
                rows["trial_params"].append({"trial_id": trial_id, "param_name": name, **told})
            for table, notes in (("trial_user_attributes", one.user_attrs), ("trial_system_attributes", one.system_attrs)):
                rows[table] += [{"trial_id": trial_id, "key": key, "value_json": json.dumps(note)} for key, note in notes.items()]
            for epoch, number in one.intermediate_values.items():
                stored, kind = step(number)
                rows["trial_intermediate_values"].append(
                    {"trial_id": trial_id, "step": epoch, "intermediate_value": stored, "intermediate_value_type": kind}
                )
        for name, mine in rows.items():
            if mine:
                connection.execute(tables[name].insert(), mine)


def _utc(moment: datetime | None) -> datetime | None:
    """A local moment without a zone as Optuna stores it: in UTC, without a zone."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
