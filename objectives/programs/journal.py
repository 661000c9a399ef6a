"""The reports of a member that is a process, in a file of its folder, so that a kill loses none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from objectives._files import replaced

REPORTS = "reports.jsonl"


def told(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """The reports so far, each with its epoch. A line that a kill has torn is removed."""
    path = folder / REPORTS
    if not path.exists():
        return []
    found, whole = [], []
    for line in path.read_text().splitlines():
        try:
            fields = json.loads(line)
            found.append((int(fields["epoch"]), {name: float(value) for name, value in fields["metrics"].items()}))
        except (ValueError, KeyError, TypeError):
            break
        whole.append(line)
    text = "".join(f"{line}\n" for line in whole)
    if text != path.read_text():
        with replaced(path) as beside:
            beside.write_text(text)
    return found


def tell(folder: Path, epoch: int, metrics: Mapping[str, float]) -> None:
    """Write down a report."""
    with (folder / REPORTS).open("a") as file:
        file.write(json.dumps({"epoch": epoch, "metrics": dict(metrics)}) + "\n")
