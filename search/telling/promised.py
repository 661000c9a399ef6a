"""What a promise is for: one training, as its spec says it. A file that was edited after its export makes another one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from infra.catalogue import SweepRow
from infra.storage import Home
from infra.storage.hints import command
from objectives.base import Phase, State, Value, lowered
from search.asking.seeds import derive
from search.facts import ADDRESS

# The keys of a spec that decide what a training scores, beside its config. Where the data lies is none of them; their content is compared.
_KEYS = (
    "objective",
    "command",
    "shell",
    "read",
    "model",
    "likelihood",
    "batch_size",
    "precision",
    "metric",
    "score",
    "features",
    "latents",
)
_PLACES = ("root", "path")


def training(spec: Mapping[str, Any], config: Mapping[str, Value], schedule: Mapping[str, Any]) -> str:
    """A digest of one training: the same for a spec as it is stored and for the file that was exported from it."""
    dataset = {key: value for key, value in (spec.get("dataset") or {}).items() if key not in _PLACES}
    parts = {key: spec.get(key) for key in _KEYS} | {"dataset": dataset, "epochs": (spec.get("budget") or {}).get("epochs")}
    text = json.dumps(_plain({**parts, "config": config, "schedule": schedule}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def measured_by(spec: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What decides the meaning of a score beside the model. Sweeps that differ in one of these cannot be compared by their scores."""
    dataset, known = spec.get("dataset") or {}, contents(facts)
    data = {f"dataset.{key}": value for key, value in dataset.items() if key not in _PLACES or not known}
    own = {name: spec.get(name) for name in ("likelihood", "features", "latents")}
    score = spec.get("score")  # of a command or function it says the metric, too, which has a name of its own in every answer
    kept = {
        "kept weights": score.get("of") if isinstance(score, Mapping) else score,
        "epochs": (spec.get("budget") or {}).get("epochs"),
        "data": known,
    }
    return {name: _plain(value) for name, value in {**own, **kept, **data}.items() if value is not None}


def _plain(value: Any) -> Any:
    """Numbers without their type (a file may say 1 where 1.0 was exported), and nothing that is None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def contents(facts: Mapping[str, Any] | None) -> Any:
    """The digests of the splits that a preparation found; None where it says none."""
    return ((facts or {}).get("dataset") or {}).get("sha256")


def without_answer(row: SweepRow, home: Home) -> str:
    """How a sweep without an answer stands, and what to do: a living one is watched, another one resumed."""
    living = row.status == "running"
    todo = command(f"{'watch' if living else 'resume'} {row.name}", home, address=None if living else row.facts.get(ADDRESS))
    remedy = f"{'See how far it is' if living else 'Go on with it'}: {todo}"
    return f"the sweep {row.name!r} is {row.status} and has none. {remedy}"


def final_seeds(seed: int, used: int, candidates: Collection[Mapping[str, Any]]) -> set[int]:
    """The seeds of the final round, of which a promise is made: of the sweep's seed, after those that earlier looks of the race used."""
    return {derive(seed, "confirm", used + index) for index in range(max((one.get("seeds", 0) for one in candidates), default=0))}


def confirmed(rows: Collection[Any], digest: str, seeds: Collection[int], better: str) -> list[dict[str, Any]]:
    """Seed and score, as the metric says it, of each training that the promise of a config (by its hash) is made of."""
    mine = [row for row in rows if row.phase == Phase.CONFIRM and row.config_hash == digest and row.state == State.COMPLETE]
    return [{"seed": row.seed, "score": None if row.score is None else lowered(row.score, better)} for row in mine if row.seed in seeds]
