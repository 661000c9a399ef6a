"""Makes docs/example.ipynb: the cells below, executed, with their outputs.

    make notebook        (extras `notebook` and `figures`, and a Chromium or Chrome for the static pictures)

A text cell begins with `# %% [markdown]`, a program cell with `# %%`. The notebook is not edited by hand.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CELLS, OUT = HERE / "example_cells.py", HERE / "example.ipynb"


def cells() -> list[tuple[str, str]]:
    """Kind (markdown or code) and source of each cell."""
    parts = re.split(r"^# %%( \[markdown\])?\n", CELLS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = []
    for mark, source in zip(parts[::2], parts[1::2], strict=True):
        text = re.sub(r"^# ?", "", source, flags=re.MULTILINE) if mark else source
        found.append(("markdown" if mark else "code", text.strip()))
    return found


def executed() -> Any:
    """The notebook with its outputs. It runs in a folder of its own, so no path of this machine gets into them."""
    import nbformat
    from nbclient import NotebookClient

    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    kinds = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    made.cells = [kinds[kind](source, id=f"cell-{place:02d}") for place, (kind, source) in enumerate(cells())]
    with tempfile.TemporaryDirectory() as folder:
        # Beside the figure that a notebook draws there is a picture, for viewers that run no program.
        os.environ |= {"PLOTLY_RENDERER": "plotly_mimetype+png", "PYTHONWARNINGS": "ignore"}
        NotebookClient(made, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # when it ran is nobody's business
        cell.get("outputs", [])[:] = [one for one in cell.get("outputs", []) if one.get("name") != "stderr"]
    return made


if __name__ == "__main__":
    import nbformat

    nbformat.write(executed(), OUT)
    sys.stdout.write(f"wrote {OUT.name}\n")
