"""What a query finds, as flat rows whose columns have the names that the query language uses: `metrics.score`, `params.lr`, `tags.arm`."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import InfraError
from infra.storage import Home, HomeLike, replaced
from infra.tracking.query import FoundRun, find

if TYPE_CHECKING:
    import pandas

FIRST = ("run_name", "sweep", "member", "tags.phase", "tags.arm", "tags.state", "tags.seed", "metrics.score")
LAST = ("status", "start_time", "end_time", "run_id")
_HIDDEN = ("tags.lagrange.", "tags.provenance.", "tags.config_hash", "tags.sweep", "tags.member", "tags.reason", "tags.answer")
_NAMED = re.compile(r"\b(metrics|params|tags)\.(?:[`\"]([^`\"]+)[`\"]|([\w.-]+))")
Rows = list[dict[str, Any]]


def rows(query: str = "", *, sweep: str = "", home: HomeLike | None = None) -> Rows:
    """A row for each run that a query finds. All rows have the same columns: what a person looks for first, λ and knobs, the other metrics,
    the other tags, run and time. A column of numbers holds numbers, None where a run has none.

    Raises:
        InfraError: there is no store, it does not answer, or the query does not parse.
    """
    found = [_flat(run) for run in find(Home.open(home).tracking_uri, query, sweep)]
    names = list(dict.fromkeys(name for row in found for name in row))
    numeric = {name for name in names if all(_is_number(row[name]) for row in found if name in row)}
    ordered = sorted(names, key=lambda name: (_place(name), names.index(name)))
    return [{name: _value(row.get(name), name in numeric) for name in ordered} for row in found]


def query(text: str = "", *, sweep: str = "", home: HomeLike | None = None) -> pandas.DataFrame:
    """The runs that a query in MLflow's language finds, as a frame: `query("metrics.score < 23.6 and tags.arm = 'min'")`.

    Raises:
        InfraError: there is no store, it does not answer, or the query does not parse.
    """
    import pandas

    return pandas.DataFrame(rows(text, sweep=sweep, home=home)).convert_dtypes(convert_string=False, convert_boolean=False)


def not_there(text: str, *, sweep: str = "", home: HomeLike | None = None) -> list[str]:
    """What a query names that no run has, each with what is nearest to it, as sentences."""
    known = list(dict.fromkeys(name for row in rows("", sweep=sweep, home=home) for name in row))
    named = dict.fromkeys(f"{kind}.{quoted or plain}" for kind, quoted, plain in _NAMED.findall(text))
    found = {name: get_close_matches(name, known, 1, 0.5) for name in named if name not in known}
    return [f"No run has {name}.{f' Is {near[0]} meant?' if near else ''}" for name, near in found.items()]


def _flat(run: FoundRun) -> dict[str, Any]:
    return {
        "run_name": run.name,
        "sweep": run.sweep,
        "member": run.member,
        **{f"tags.{key}": value for key, value in run.tags.items()},
        **{f"metrics.{key}": value for key, value in run.metrics.items()},
        **{f"params.{key}": value for key, value in run.params.items()},
        "status": run.status,
        "start_time": _moment(run.started_ms),
        "end_time": _moment(run.ended_ms),
        "run_id": run.id,
    }


def _moment(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


def _place(name: str) -> int:
    """Where a column stands: the known ones, parameters and metrics of knobs, other metrics, tags, run and time."""
    if name in FIRST:
        return FIRST.index(name)
    if name in LAST:
        return 100 + LAST.index(name)
    return 20 if name.startswith("params.") else 30 if name.startswith("metrics.") else 50 if name.startswith(_HIDDEN) else 40


def _is_number(value: Any) -> bool:
    """Whether a value is a number, or a text of MLflow's that says one."""
    if value is None or isinstance(value, int | float):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True


def _value(value: Any, numeric: bool) -> Any:
    if value is None or not numeric or not isinstance(value, str):
        return value
    number = float(value)
    return int(value) if value.lstrip("-").isdigit() else number


def shown(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that a table on a screen shows: what comes first, and the parameters of which the runs have several values."""
    knobs = [name for name in found[0] if name.startswith("params.") and not name.startswith("params.log10_")] if found else []
    varied = [name for name in knobs if len({row[name] for row in found if row[name] is not None}) > 1]
    return [name for name in (*FIRST, *varied[:8]) if any(row.get(name) is not None for row in found)]


# --- files ------------------------------------------------------------------------------------------------------------------------------


def as_csv(found: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV; an empty field where a run has no value."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]) if found else list(FIRST), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return out.getvalue()


def as_json(found: Iterable[Mapping[str, Any]]) -> str:
    """The rows as a JSON list. JSON has no NaN: null stands for it."""
    return json.dumps([{key: _finite(value) for key, value in row.items()} for row in found], indent=1, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_parquet(found: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows as a Parquet file."""
    import pandas

    with replaced(path) as beside:
        pandas.DataFrame(list(found)).to_parquet(beside, index=False)


def write(found: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows as the file's ending says: .csv, .json or .parquet.

    Raises:
        InfraError: it has another ending, or cannot be written.
    """
    kind = path.suffix.lower()
    if kind == ".parquet":
        write_parquet(found, path)
    elif kind in (".csv", ".json"):
        with replaced(path) as beside:
            beside.write_text(as_csv(found) if kind == ".csv" else as_json(found), encoding="utf-8")
    else:
        raise InfraError(f"The file must end in .csv, .json or .parquet; got {path.name!r}. Choose one of these endings.")
