"""The report, the notebook's doors, queries and comparisons, of sweeps that are in a catalogue."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from scipy.stats import ttest_ind
from typer.testing import CliRunner

import search
from infra.catalogue import Catalogue, ReportRow
from infra.errors import InfraError
from infra.storage import Home
from infra.tracking import MlflowTracker
from search.cli import app
from search.errors import SpecError
from search.telling import figures
from search.telling.figures import curve, optimism
from search.telling.files import exports
from search.telling.looking import compare, notebook, queried
from tests.search.views import kept, view

pytestmark = pytest.mark.turns(3)
SWEEPS = {"a": "helps", "b": "helps", "started": "one member", "dead": "only diverged"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with two answered sweeps, one that began, and one of which every member diverged."""
    found = Home.open(tmp_path_factory.mktemp("home"))
    with Catalogue(found.catalogue_url) as catalogue:
        for name, kind in SWEEPS.items():
            kept(view(kind), catalogue, name)
        catalogue.add_reports("a", [ReportRow(0, epoch, 10.0 / epoch, {"val_kl_nats": 2.0 * epoch}) for epoch in (1, 2)])
    return found


@pytest.fixture(scope="module")
def tracked(home: Home) -> Home:
    """The members of sweep `a` in MLflow, as a sweep tells them."""
    tracker = MlflowTracker(home.tracking_uri, home.artifacts, home.spool, "a", interval_s=0.05)
    tracker.start_sweep("a", {"objective": "vae", "dataset": "digits"}, {})
    with Catalogue(home.catalogue_url) as catalogue:
        for row in catalogue.members("a"):
            tracker.start_member(row.number, {"beta": row.config["beta"], "model": "mlp400"}, {"arm": row.arm, "phase": row.phase})
            tracker.end_member(row.number, str(row.state), {"score": float(row.score or 0.0)}, {"state": str(row.state)})
    assert not tracker.close(60)
    return home


def lagrange(*args: str) -> Any:
    return CliRunner().invoke(app, list(args))


# --- the doors of a notebook ------------------------------------------------------------------------------------------------------------


def test_members_are_a_frame_of_flat_numeric_columns(home: Home) -> None:
    frame = search.members("a", home=home)
    seen = view("helps")
    assert list(frame.index) == [row.number for row in seen.rows] and frame.index.name == "member"
    assert frame["score"].tolist() == [row.score for row in seen.rows]
    assert all(frame[name].dtype.kind in "fi" for name in ("score", "rung_score", "seed", "epochs", "seconds", "beta", "lr", "parent"))
    assert not any(isinstance(value, dict | list) for value in frame.to_numpy().ravel())
    best = frame[(frame.phase == "confirm") & (frame.arm == search.answer("a", home=home).arm)]
    assert len(best) >= 3
    assert search.members("dead", home=home)["score"].isna().all()


def test_reports_have_a_row_for_each_member_and_epoch(home: Home) -> None:
    frame = search.reports("a", home=home)
    assert frame.loc[(0, 2), "rung_score"] == 5.0 and frame.loc[(0, 2), "val_kl_nats"] == 4.0
    assert list(frame.index.names) == ["member", "epoch"]
    empty = search.reports("started", home=home)
    assert isinstance(empty, pandas.DataFrame) and empty.empty and "rung_score" in empty


def test_scores_have_their_own_sign(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    with Catalogue(home.catalogue_url) as catalogue:
        kept(view("higher"), catalogue, "up")
        catalogue.add_reports("up", [ReportRow(0, 1, -3.0, {})])
    assert (search.members("up", home=home)["score"] < 0).all(), "they were made by turning positive ones"
    assert search.reports("up", home=home).loc[(0, 1), "rung_score"] == 3.0


def test_what_is_public_is_listed_and_costs_nothing_to_list() -> None:
    code = (
        "import sys, search\n"
        "assert dir(search) == sorted(search.__all__), dir(search)\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'plotly', 'pandas', 'matplotlib', 'numpy', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert dir(search.plot) == sorted(figures.known())
    assert {"members", "reports", "answer", "plot", "query", "compare", "report"} <= set(dir(search))


def test_a_figure_by_its_name_or_in_words_why_not(home: Home) -> None:
    found = search.plot.curve("a", home=home)
    assert found.data and found.layout.height
    assert "curve" in str(search.plot.curve.__doc__)
    with pytest.raises(SpecError, match="has no answer yet"):
        search.plot.importance("started", home=home)
    with pytest.raises(InfraError, match="nobody"):
        search.plot.curve("nobody", home=home)
    with pytest.raises(AttributeError, match="it has curve"):
        _ = search.plot.curves


def test_an_answer_or_how_to_get_one(home: Home) -> None:
    assert search.answer("a", home=home) == view("helps").answer
    with pytest.raises(InfraError, match="lagrange resume dead"):
        search.answer("dead", home=home)


def test_a_figure_of_many_members_draws_so_many_of_each_state_and_says_so() -> None:
    few = view("helps")
    one = few.searched[0]
    states = {"complete": 1000, "stopped": 29_000, "diverged": 30}
    rows = [replace(one, number=k, state=state, score=1.0 + k) for state, count in states.items() for k in range(count)]
    many = replace(few, rows=[*rows, *few.confirmed])
    drawn = {trace["name"]: len(trace["x"]) for trace in curve.figure(many)["data"] if str(trace.get("name")).startswith("search: ")}
    assert drawn == {f"search: {state}": math.ceil(count * 20_000 / 30_030) for state, count in states.items()}
    assert "Of 30,030 members of the search about 20,000 are drawn" in curve.about(many) and "are drawn" not in curve.about(few)
    lucky = optimism.figure(many)["data"]
    assert max(len(trace["x"]) for trace in lucky) <= 3000 and "every trained" in optimism.about(many)


# --- the report -------------------------------------------------------------------------------------------------------------------------


def test_report_is_one_file_and_says_what_is_exported(home: Home, tmp_path: Path) -> None:
    done = lagrange("report", "a", "-o", str(tmp_path / "a.html"), "--price-per-hour", "2", "--home", str(home.root))
    assert done.exit_code == 0 and "MB" in done.output, done.output
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert text.count("<script>draw(") >= 6 and "in money" in text and "lagrange export a -o best.yaml" in text
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_a_report_of_nobody_is_a_mistake_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    done = lagrange("report", "nobody", "-o", str(tmp_path / "x.html"), "--home", str(home.root))
    assert done.exit_code == 2 and "nobody" in done.output and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("missing", "words"), [("kaleido", "pip install"), ("browser", "BROWSER_PATH")])
def test_figures_without_what_draws_them_are_one_sentence_and_leave_nothing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, words: str
) -> None:
    class Broken:
        @staticmethod
        def write_fig_from_object_sync(*_: Any, **__: Any) -> None:
            raise RuntimeError("no browser was found\nand more lines")

    monkeypatch.setitem(sys.modules, "kaleido", None if missing == "kaleido" else Broken)
    done = lagrange("report", "a", "-o", str(tmp_path / "a.html"), "--figures", str(tmp_path / "f"), "--home", str(home.root))
    assert done.exit_code == 2 and words in done.output and len(done.output.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir()), "no report, and no empty folder"


def test_a_sweep_leaves_its_report(tmp_path: Path) -> None:
    """Beside the exported config, and as a file that MLflow gets with the others."""
    seen, home = view("helps"), Home.open(tmp_path)
    assert seen.answer is not None
    with Catalogue(home.catalogue_url) as catalogue:
        kept(seen, catalogue, "a")
        from search.spec.reading import read

        paths = exports.write_reports("a", read(seen.sweep.spec), seen.answer, seen.rows, catalogue, home, "complete")
    assert "report.html" in [path.name for path in paths] and all(path.is_file() for path in paths)
    (strip := home.reports("a") / "strip.png").write_bytes((home.reports("a") / "curve.png").read_bytes())
    shown = notebook.view("a", home=home)
    assert shown.strip == strip and figures.drawn("strip", shown).layout.images[0].source.startswith("data:image/")


# --- queries ----------------------------------------------------------------------------------------------------------------------------


def test_a_query_finds_what_the_catalogue_holds(tracked: Home) -> None:
    members = [row for row in view("helps").rows if row.score is not None and row.score < 101 and row.phase == "search"]
    found = queried.rows("metrics.score < 101 and tags.phase = 'search'", home=tracked)
    assert [row["member"] for row in found] == [row.number for row in members] and 0 < len(found) < len(view("helps").rows)
    assert [row["params.beta"] for row in found] == [row.config["beta"] for row in members], "a column of numbers holds numbers"
    assert all(row["params.model"] == "mlp400" for row in found)
    assert list(found[0])[:3] == ["run_name", "sweep", "member"] and list(found[0])[-1] == "run_id"
    frame = search.query("tags.arm = 'off'", home=tracked)
    assert set(frame["tags.arm"]) == {"off"} and frame["metrics.score"].dtype.kind == "f"


def test_a_query_is_printed_and_written_in_every_form(tracked: Home, tmp_path: Path) -> None:
    wanted = ("query", "tags.phase = 'confirm'", "--sweep", "a", "--home", str(tracked.root))
    printed = lagrange(*wanted)
    assert printed.exit_code == 0 and "metrics.score" in printed.output.splitlines()[0]
    files = {kind: tmp_path / f"q.{kind}" for kind in ("csv", "json", "parquet")}
    done = lagrange(*wanted, *(part for kind, path in files.items() for part in (f"--{kind}", str(path))))
    assert done.exit_code == 0, done.output
    lines = list(csv.DictReader(io.StringIO(files["csv"].read_text())))
    plain, frame = json.loads(files["json"].read_text()), pandas.read_parquet(files["parquet"])
    confirmed = [row.score for row in view("helps").confirmed]
    assert [float(line["metrics.score"]) for line in lines] == [one["metrics.score"] for one in plain] == confirmed
    assert frame["metrics.score"].tolist() == confirmed
    assert lagrange(*wanted, "--csv", "-").stdout == files["csv"].read_text()


@pytest.mark.parametrize(
    "text", ["metrics.score <", "score < 3", "metrics.score < 3 or tags.arm = 'min'", "metrics.score < 'low'", "tags.arm = min"]
)
def test_a_query_that_does_not_parse_says_what_parses(tracked: Home, text: str) -> None:
    done = lagrange("query", text, "--home", str(tracked.root))
    assert (
        done.exit_code == 2 and "For example: metrics.score < 23.6 and tags.arm = 'min'" in done.output and "Traceback" not in done.output
    )


def test_a_query_for_what_no_run_has_names_what_is_meant(tracked: Home) -> None:
    done = lagrange("query", "metrics.scor < 1 and params.nobody = '1'", "--home", str(tracked.root))
    assert done.exit_code == 0
    assert "No run has metrics.scor. Is metrics.score meant?" in done.stderr and "No run has params.nobody." in done.stderr


def test_queries_of_nothing(tracked: Home, tmp_path: Path) -> None:
    none = lagrange("query", "metrics.score < -1", "--home", str(tracked.root))
    assert none.exit_code == 0 and "No run is found" in none.output
    assert lagrange("query", "metrics.score < -1", "--csv", "-", "--home", str(tracked.root)).stdout.startswith("run_name,")
    lost = lagrange("query", "--home", str(tmp_path / "new"))
    assert lost.exit_code == 2 and "Run a sweep first" in lost.output and not (tmp_path / "new").exists()
    twice = lagrange("query", "--csv", "-", "--json", "-", "--home", str(tracked.root))
    assert twice.exit_code == 2 and "Give one of them a file" in twice.output


# --- comparisons ------------------------------------------------------------------------------------------------------------------------


def test_two_equal_sweeps_differ_in_nothing(home: Home) -> None:
    found = search.compare("a", "b", home=home)
    assert not found.spec and not found.apart and found.gain is not None
    assert found.gain.mean == 0 and "cannot be told from" in found.sentence()
    done = lagrange("compare", "a", "b", "--home", str(home.root))
    assert done.exit_code == 0 and "what differs in the spec: nothing" in done.output and "promise" in done.output


def test_the_gain_is_welchs(home: Home) -> None:
    """Against SciPy's own two-sample t, and with its sign turned where the two change places."""
    one, other = view("helps"), view("diverging")
    found = compare.gain(one, other)
    assert found is not None
    scores = [list(seen.scores(seen.exported_arm).values()) for seen in (one, other)]
    test = ttest_ind(*scores, equal_var=False)
    assert found.mean == pytest.approx(np.mean(scores[0]) - np.mean(scores[1]))
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    turned = compare.gain(other, one)
    assert turned is not None and (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "val_neg_elbo_nats"}, "the score (val_nll_nats and val_neg_elbo_nats)"),
        ({"likelihood": "gaussian"}, "the likelihood (bernoulli and gaussian)"),
        ({"budget": {"trials": 10, "epochs": 5}}, "the epochs of a training (2 and 5)"),
        ({"dataset": {"name": "digits", "train_size": 100}}, "the size of the training split (– and 100)"),
        ({"dataset": {"name": "mnist"}}, "the data set (digits and mnist)"),
        ({"score": "best_epoch"}, "the epoch whose weights are scored (last and best_epoch)"),
    ],
)
def test_what_cannot_be_compared_is_named(changes: dict[str, Any], words: str) -> None:
    one = view("helps")
    other = replace(one, sweep=replace(one.sweep, spec=one.sweep.spec | changes))
    assert words in compare.not_comparable(one, other)
    assert not compare.not_comparable(one, replace(one, sweep=replace(one.sweep, spec=one.sweep.spec | {"batch_size": 7, "seed": 5})))


def test_a_sweep_without_an_answer_is_compared_in_words(home: Home) -> None:
    found = search.compare("a", "started", home=home)
    assert found.gain is None and "the answer of started, which is not there yet" in found.sentence()
    plain = json.loads(lagrange("compare", "a", "dead", "--json", "--home", str(home.root)).stdout)
    assert plain["gain"] is None and plain["sentence"].startswith("The scores of a and dead cannot be compared")


def test_users_own_scores_are_compared_only_with_themselves() -> None:
    one = view("helps")
    mine = replace(one, sweep=replace(one.sweep, objective="mine.py"))
    assert any("your own" in reason for reason in compare.not_comparable(one, mine))
    assert not compare.not_comparable(mine, mine)


def test_differences_of_nested_specs_have_dots() -> None:
    found = compare.differences({"a": {"b": 1, "c": 2}, "same": [1]}, {"a": {"b": 1, "c": 3}, "same": [1], "new": ["x", "y"]})
    assert [(one.what, one.first, one.second) for one in found] == [("a.c", "2", "3"), ("new", "–", "x, y")]
