"""What a script of published numbers says: one gate for each number, as a table for people and JSON for programs."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Gate:
    """A published number, ours, and how far apart they may be. `unfinished` says why a number that is here is not yet the one to compare.

    `published` is None where nobody has published a number and the gate asks for at least `tolerance`.
    """

    what: str
    unit: str
    published: float | None
    ours: float
    tolerance: float
    source: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    unfinished: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `unfinished`."""
        if self.unfinished:
            return "unfinished"
        met = self.ours >= self.tolerance if self.published is None else abs(self.ours - self.published) <= self.tolerance
        return "met" if met else "missed"


def table(gates: Sequence[Gate]) -> str:
    """Gates as a Markdown table."""
    lines = [("", "published", "ours", "tolerance", "verdict", "source"), ("---",) * 6]
    for gate in gates:
        published = "–" if gate.published is None else f"{gate.published:g}"
        tolerance = f"≥ {gate.tolerance:g}" if gate.published is None else f"± {gate.tolerance:g}"
        verdict = f"{gate.verdict}: {gate.unfinished}" if gate.unfinished else gate.verdict
        lines.append((f"{gate.what}, {gate.unit}", published, f"{gate.ours:.2f}", tolerance, verdict, gate.source))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(gates: Sequence[Gate]) -> str:
    """Gates for programs."""
    return json.dumps([{**asdict(gate), "verdict": gate.verdict} for gate in gates], indent=2, ensure_ascii=False)


def write(gates: Sequence[Gate], out: Path | None) -> None:
    """The table onto the standard output, and JSON into the file if one is named."""
    print(table(gates), flush=True)
    if out is not None:
        out.write_text(as_json(gates) + "\n", encoding="utf-8")


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that all scripts have: where MNIST is, and where JSON goes."""
    found = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    found.add_argument("--data", default=os.environ.get("LAGRANGE_DATA"), help="folder with MNIST/raw (default: $LAGRANGE_DATA)")
    found.add_argument("--out", type=Path, help="write the gates to this file as JSON too")
    return found


def main(found: argparse.ArgumentParser, measure: Callable[..., list[Gate]]) -> None:
    """Run one script: `measure` takes every option but `--out`."""
    given = vars(found.parse_args())
    out = given.pop("out")
    require_data(found, given["data"])
    write(measure(**given), out)


def require_data(found: argparse.ArgumentParser, data: str | None) -> None:
    """Refuse to begin without a folder of images."""
    if not data:
        found.error("--data must name the folder that holds MNIST/raw; it is not given, and $LAGRANGE_DATA is not set")
