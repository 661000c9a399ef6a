"""What MLflow holds beside runs and numbers: descriptions, tags of an experiment, and the data set that was trained on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

NOTE: Final = "mlflow.note.content"
"""The tag whose text MLflow shows as the description of a run or an experiment."""
OURS: Final = "mlflow.lagrange.note"
"""The tag that says which description we wrote, so that one which a person wrote is left alone. MLflow hides tags that begin like this."""
VIEW: Final = "mlflow.sharedViewState."
"""How the tags of an experiment begin that hold saved views of its runs page."""
MAX_TAG: Final = 5000
MAX_EXPERIMENT_TAG: Final = 20_000


def digest(text: str) -> str:
    """A short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def guarded(tags: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The tags to write where `known` are there. A description that a person has changed is left as it is."""
    if NOTE not in tags:
        return dict(tags)
    written = known.get(NOTE)
    if written and digest(written) != known.get(OURS):
        return {key: value for key, value in tags.items() if key != NOTE}
    return {**tags, OURS: digest(tags[NOTE])}


def tag_experiment(client: Any, experiment: str, tags: Mapping[str, str], known: dict[str, str]) -> None:
    """Set those tags of an experiment that differ from what is `known`, which is brought up to date. Raises what the client raises."""
    for key, value in guarded(tags, known).items():
        if known.get(key) != value and len(value) <= MAX_EXPERIMENT_TAG:
            client.set_experiment_tag(experiment, key, value)
            known[key] = value


def log_data(client: Any, run: str, data: Mapping[str, str]) -> None:
    """Say which data a run trains on: `name`, `digest` (at most 36 characters), `source` and `profile` (JSON).

    Raises what the client raises.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entity = Dataset(data["name"][:500], data["digest"][:36], "lagrange", data["source"], profile=data["profile"])
    client.log_inputs(run, datasets=[DatasetInput(dataset=entity, tags=[InputTag("mlflow.data.context", "training")])])


def view_key(sweep: str, what: str = "") -> str:
    """The key of a sweep's prepared view in an experiment, which several sweeps may share. `what`: another view of the same sweep."""
    return f"lagrange-{what}.{sweep}" if what else f"lagrange.{sweep}"


def forget_views(client: Any, experiment: Any, sweep: str) -> None:
    """Remove a sweep's views from an experiment. Raises what the client raises."""
    mine = re.compile(rf"{re.escape(VIEW)}lagrange(-\w+)?\.{re.escape(sweep)}")
    for key in filter(mine.fullmatch, list(experiment.tags)):
        client.delete_experiment_tag(experiment.experiment_id, key)
