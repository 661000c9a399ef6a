"""What a benchmark says: one row for each promise, printed as JSON or, all together, as a table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One number beside its target: at most `target`, or at least where `at_least`. `parts` are what it was computed from."""

    what: str
    value: float | None
    unit: str
    target: float
    at_least: bool = False
    parts: Mapping[str, Any] = field(default_factory=dict)
    skipped: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def skip(what: str, unit: str, target: float, why: str) -> Row:
    """The row of what could not be measured here."""
    return Row(what, None, unit, target, skipped=why)


def table(rows: Sequence[Row]) -> str:
    """Rows for people."""
    lines = [("", "measured", "target", "")]
    for row in rows:
        measured = "–" if row.value is None else f"{row.value:.3g} {row.unit}".strip()
        target = f"{'≥' if row.at_least else '≤'} {row.target:g} {row.unit}".strip()
        lines.append((row.what, measured, target, {True: "met", False: "MISSED", None: f"skipped: {row.skipped}"}[row.met]))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def as_json(rows: Sequence[Row]) -> str:
    """Rows for programs."""
    return json.dumps([{**asdict(row), "met": row.met} for row in rows], indent=2, ensure_ascii=False)


def write(rows: Sequence[Row], out: Path | None) -> None:
    """JSON into the file, or onto the standard output if there is none."""
    if out is None:
        print(as_json(rows))
    else:
        out.write_text(as_json(rows) + "\n")


def main(doc: str | None, measure: Callable[..., list[Row]], **numbers: int | str) -> None:
    """A benchmark as a script: every number or word is an option (its default in `numbers`), `--out` takes the JSON."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"default: {default}")
    parser.add_argument("--out", type=Path, help="write JSON here instead of onto the standard output")
    given = vars(parser.parse_args())
    out = given.pop("out")
    write(measure(**given), out)
