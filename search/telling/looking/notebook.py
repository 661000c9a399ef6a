"""What a notebook asks of sweeps by their names: frames, answers, figures and the report. Pandas and plotly are imported when asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.catalogue import Catalogue
from infra.errors import InfraError
from infra.storage import Home, HomeLike
from search.choosing.answer import Answer
from search.spec.several import better_of, own_sign
from search.telling import figures
from search.telling.files import exports, forms
from search.telling.files import report as page
from search.telling.promised import without_answer
from search.telling.view import View
from search.telling.view import read as view_in

if TYPE_CHECKING:
    import pandas

PICTURES = ("pdf", "png")
SCALE = 3  # pixels of a PNG for each of a figure


def view(name: str, *, home: HomeLike | None = None) -> View:
    """A sweep, as figures and reports see it.

    Raises:
        InfraError: no such sweep.
    """
    home = Home.open(home)
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        row, members = catalogue.seen(name), catalogue.members(name)
        config = ""
        if row.answer is not None:
            config = forms.written(exports.best_spec(name, row, Answer.from_dict(row.answer), members), row.spec.get("search") or {})
        return view_in(row, members, catalogue, home, config)


def answer(name: str, *, home: HomeLike | None = None) -> Answer:
    """The answer of a sweep.

    Raises:
        InfraError: no such sweep, or it has no answer yet.
    """
    home = Home.open(home)
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        row = catalogue.seen(name)
    if row.answer is None:
        raise InfraError(f"An answer must be there; {without_answer(row, home)}")
    return Answer.from_dict(row.answer)


def members(name: str, *, home: HomeLike | None = None) -> pandas.DataFrame:
    """One row for each member, by its number: phase, arm, seed, state, reason, score (in its own sign), epochs, seconds, one column for
    each knob, one for each final metric. Numbers are numbers: NaN where a member has none.

    Raises:
        InfraError: no such sweep.
    """
    import pandas

    with Catalogue(Home.open(home).catalogue_url, create=False) as catalogue:
        better = better_of(catalogue.sweep(name).spec)
        rows = own_sign(catalogue.members(name), better)
    own = ("number", "phase", "arm", "seed", "state", "reason", "score", "rung_score", "epochs", "seconds", "parent")
    found = [
        {key: getattr(row, key) for key in own} | {"state": row.state or "open"} | _flat(row.config) | _flat(row.metrics) for row in rows
    ]
    frame = pandas.DataFrame(found, columns=None if found else own).rename(columns={"number": "member"}).set_index("member")
    return _numeric(frame, [key for key in ("score", "rung_score", "parent") if key in frame])


def reports(name: str, *, home: HomeLike | None = None) -> pandas.DataFrame:
    """One row for each member and epoch: `rung_score` (in the score's own sign) and one column for each metric.

    Raises:
        InfraError: no such sweep.
    """
    import pandas

    with Catalogue(Home.open(home).catalogue_url, create=False) as catalogue:
        better = better_of(catalogue.sweep(name).spec)
        rows = own_sign(catalogue.reports(name), better)
    found = [{"member": row.number, "epoch": row.epoch, "rung_score": row.rung_score} | _flat(row.metrics) for row in rows]
    frame = pandas.DataFrame(found, columns=None if found else ("member", "epoch", "rung_score"))
    return _numeric(frame, ["rung_score"]).set_index(["member", "epoch"])


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values, so that a column is a column of numbers."""
    return {key: value for key, value in values.items() if isinstance(value, int | float | str | bool)}


def _numeric(frame: pandas.DataFrame, columns: Sequence[str]) -> pandas.DataFrame:
    """Columns that hold None where a number is missing, as floats."""
    return frame.astype(dict.fromkeys(columns, "float64"))


def report(
    name: str,
    path: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    price_per_hour: float | None = None,
    home: HomeLike | None = None,
) -> list[Path]:
    """Write the report of a sweep, and its figures one by one if a folder is given; returns the paths, the report first.

    Args:
        name: the sweep.
        path: the HTML file; None: `report.html` among the reports of the sweep in its home, where the end of a sweep writes it.
        figures: a folder for each figure as PDF and PNG. This needs the extra `figures` and a Chromium or Chrome.
        price_per_hour: what an hour of training costs; then the report says what the sweep cost.
        home: where the sweep is kept.

    Raises:
        InfraError: no such sweep, or figures were asked for and cannot be drawn here. Nothing is written then. Or the file takes nothing.
    """
    if price_per_hour is not None and not (math.isfinite(price_per_hour) and price_per_hour >= 0):
        raise InfraError(f"A price per hour is a number that is not negative; got {price_per_hour}.")
    home = Home.open(home)
    found = replace(view(name, home=home), per_hour=price_per_hour)
    pictures = written(found, Path(figures)) if figures is not None else []
    target = Path(path) if path is not None else home.reports(name) / "report.html"
    try:
        return [page.write(found, target), *pictures]
    except (OSError, InfraError) as error:
        reason = error if isinstance(error, OSError) else error.__cause__
        if target.is_dir() or not isinstance(reason, OSError):
            raise
        why = f"{target.parent} takes none ({reason.strerror})"
        raise InfraError(f"The report must be written to a folder that takes files; {why}. Name another file: -o FILE.") from error


def written(found: View, folder: Path) -> list[Path]:
    """Write every figure that can be drawn as PDF and PNG.

    Raises:
        InfraError: kaleido is not installed, or has no browser.
    """
    try:
        import kaleido
    except ImportError:
        raise InfraError(
            "Figures as PDF and PNG need kaleido, which is not installed. Install it: pip install 'lagrange-search[figures]'. "
            "The report itself needs neither."
        ) from None
    drawn = {name: figures.drawn(name, found) for name in figures.known() if not figures.module(name).why_not(found)}
    wanted = []
    for name, figure in drawn.items():
        for kind in PICTURES:
            options = {"format": kind, "width": 960, "height": figure.layout.height, "scale": SCALE if kind == "png" else 1}
            wanted.append({"fig": figure.to_dict(), "path": str(folder / f"{name}.{kind}"), "opts": options})
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".{os.getpid()}").touch()
        (folder / f".{os.getpid()}").unlink()
    except OSError as error:
        raise InfraError(f"Figures must be written to a folder of yours; {folder} is none: {error.strerror}. Name another one.") from None
    try:
        kaleido.write_fig_from_object_sync(wanted, kopts={"mathjax": False})  # else its page asks a server for MathJax
    except Exception as error:
        with suppress(OSError):  # it holds pictures already
            folder.rmdir() if new else None
        raise InfraError(
            f"Figures as PDF and PNG are drawn by Chromium or Chrome, and this failed: {_first_sentence(error)}. "
            "Install one (kaleido_get_chrome fetches it), or name it: BROWSER_PATH=/path/to/chromium. The report itself needs none."
        ) from error
    return [Path(str(one["path"])) for one in wanted]


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].partition('. ')[0].rstrip('.')[:200]}" if lines else type(error).__name__
