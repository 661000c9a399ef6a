"""The executed notebook of the docs is what its cells say, holds no fault and no place of a machine."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def notebook() -> Any:
    return json.loads((DOCS / "example.ipynb").read_text(encoding="utf-8"))


def maker() -> Any:
    spec = importlib.util.spec_from_file_location("made", DOCS / "notebook.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_its_cells_are_those_of_the_script_and_were_executed_in_order() -> None:
    made = notebook()["cells"]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in made] == maker().cells(), "make it again: make notebook"
    counts = [cell["execution_count"] for cell in made if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_its_outputs_hold_figures_and_no_fault_and_no_place_of_a_machine() -> None:
    outputs = [output for cell in notebook()["cells"] for output in cell.get("outputs", [])]
    assert all(output["output_type"] != "error" for output in outputs)
    figures = [output["data"] for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert len(figures) >= 3 and all("image/png" in data for data in figures), "for viewers that run no program"
    words = json.dumps([output for output in outputs if output.get("data") not in figures])
    assert not re.search(r"(/home/|/root/|/tmp/|/work/|/Users/|[A-Z]:\\\\)", words)
    assert (DOCS / "example.ipynb").stat().st_size < 1_000_000
