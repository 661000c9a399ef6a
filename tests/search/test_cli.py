"""The command line: parsing, printing, exit codes; what it calls is faked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import search.cli
import search.cli.listing
import search.retrain
import search.sweep
import search.telling.files.exports
from infra.catalogue import Catalogue, MemberRow, ReportRow, SweepRow
from infra.errors import InfraError
from infra.storage import Home
from infra.tracking import Place
from objectives.registry import load
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.verdict import answer as select
from search.cli import app
from search.retrain import Retrained
from search.spec.keys import Spec
from search.spec.reading import read
from search.spec.text import presets
from search.sweep import Outcome

pytestmark = pytest.mark.turns(3)

HEAVY = ("torch", "ray", "mlflow", "optuna", "sqlalchemy", "sklearn", "scipy", "matplotlib")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder, and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    for key in [key for key in os.environ if key.startswith("LAGRANGE_")]:
        monkeypatch.delenv(key)


def lagrange(*args: str, **options: Any) -> Result:
    return CliRunner().invoke(app, list(args), **options)


def an_answer(shift: float = 0.0) -> Answer:
    knob = load("vae").knobs["beta"]
    arms = {"off": 1.0, "min": 0.3, "edge": 2.0, "low": 0.1, "high": 6.0}
    cands = [Candidate(arm, {"beta": beta, "lr": 1e-3}, "") for arm, beta in arms.items()]
    rows = [
        Row(10 * seed + place, "confirm", one.arm, one.config, seed, "complete", 100 + shift + abs(place - 1) + 0.1 * seed * place)
        for seed in range(5)
        for place, one in enumerate(cands)
    ]
    return select(rows, [knob], cands, score_name="val_neg_elbo_nats")


class Sweeps(list[dict[str, Any]]):
    """A fake `run` that remembers how it was called."""

    status, error, answer, place = "complete", None, True, Place()

    def __call__(self, spec: Spec, **options: Any) -> Outcome:
        self.append({"spec": spec, **options})
        if self.error is not None:
            raise self.error
        found = an_answer() if self.answer and self.status == "complete" else None
        return Outcome(options.get("name") or "vae-digits-1", self.status, found, "every member failed", 3.0, ("a note",), self.place)


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> Sweeps:
    fake = Sweeps()
    monkeypatch.setattr(search.sweep, "run", fake)
    return fake


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Home]:
    """A catalogue with an answered sweep `good` and a killed one `dead`."""
    home = Home.open()
    with Catalogue(home.catalogue_url) as catalogue:
        spec = read({"objective": "vae", "seed": 3}).model_dump(mode="json", exclude_none=True)
        for name, status in (("good", "complete"), ("dead", "running")):
            catalogue.create_sweep(SweepRow(name, spec, "vae", "mlp400", "digits", status))
            catalogue.add_members(
                name, [MemberRow(0, {"beta": 0.5, "lr": 1e-3}, 11, arm="search"), MemberRow(1, {"beta": 1.5, "lr": 1e-3}, 12)]
            )
        reports = [ReportRow(1, epoch, 10.0 / epoch, {"val_kl_nats": 2.0}) for epoch in (1, 2)]
        catalogue.end_member("good", 0, state="complete", score=99.5, epochs=2, seconds=1.0)
        catalogue.end_member("good", 1, state="failed", reason="boom", traceback="Traceback:\n  boom", epochs=2, reports=reports)
        catalogue.update_sweep("good", answer=an_answer().to_dict())
    yield home


# --- light to start ---


def fresh(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_help_loads_nothing_heavy() -> None:
    loaded = fresh(
        "import sys\n"
        "from search.cli import main\n"
        "for argv in ['--help'], ['sweep', '--help'], ['train', '--help']:\n"
        "    sys.argv = ['lagrange', *argv]\n"
        "    try: main()\n"
        f"    except SystemExit as end: print('LOADED', *argv, end.code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    told = [line for line in loaded.splitlines() if line.startswith("LOADED")]
    assert told == ["LOADED --help 0 []", "LOADED sweep --help 0 []", "LOADED train --help 0 []"]


def test_listings_load_nothing_heavy() -> None:
    loaded = fresh(
        "import sys; from search.cli import listing\n"
        "for family in listing.COLUMNS:\n"
        f"    print(family, len(listing.entries(family)) > 0, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert loaded.splitlines() == [f"{family} True []" for family in search.cli.listing.COLUMNS]


def test_reading_a_spec_loads_nothing_heavy() -> None:
    loaded = fresh(
        f"import sys; from search.spec.reading import read; read({{'objective': 'gan'}}); print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    assert loaded.strip() == "[]"


# --- what exists ---


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that define what exists are read once, not for each name that is asked for."""
    monkeypatch.setattr(search.cli.listing, "entries", cache(search.cli.listing.entries))


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize("family", list(search.cli.listing.COLUMNS))
def test_listings_print_json_and_every_entry_in_detail(family: str) -> None:
    entries = json.loads(lagrange(family, "--json").stdout)
    table = lagrange(family).stdout
    for entry in entries:
        assert entry["name"] in table and entry["summary"]
        assert search.cli.listing.entry(family, entry["name"])["name"] == entry["name"]
    for entry in entries[:: max(1, len(entries) // 4)]:
        detail = json.loads(lagrange(family, entry["name"], "--json").stdout)
        assert {key: detail[key] for key in entry} == entry
    assert entries[0]["summary"][:40] in lagrange(family, entries[0]["name"]).stdout


def test_a_summary_that_is_longer_than_a_line_of_its_file_is_told_whole() -> None:
    assert "is all the latent space there is." in lagrange("models", "shallow").stdout
    assert "is all the latent space there is." in lagrange("models").stdout


def test_a_knob_shows_formula_unit_off_value_range_and_source() -> None:
    beta = json.loads(lagrange("knobs", "beta", "--json").stdout)
    knob = load("vae").knobs["beta"]
    assert (beta["formula"], beta["unit"], beta["off"], beta["low"], beta["high"]) == (knob.formula, knob.unit, 1.0, knob.low, knob.high)
    assert beta["kind"] == "λ" and beta["objectives"] == ["vae"] and beta["source"]
    assert json.loads(lagrange("knobs", "lr", "--json").stdout)["kind"] == "nuisance"


def test_a_knob_that_differs_between_objectives_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    plain = load("autoencoder")
    monkeypatch.setattr(plain, "knobs", {**plain.knobs, "l2": replace(plain.knobs["l2"], high=123.0)})
    assert json.loads(lagrange("knobs", "l2", "--json").stdout)["differs"]["autoencoder"]["high"] == 123.0


def test_the_knobs_of_one_objective_are_as_it_has_them() -> None:
    found = json.loads(lagrange("knobs", "--objective", "dirac", "--json").stdout)
    assert {one["name"]: one["range"] for one in found}["r1"] == "0.01 … 10 log"
    assert {tuple(one["objectives"]) for one in found} == {("dirac",)}
    served = {
        name: [one["name"] for one in json.loads(lagrange("models", "--objective", name, "--json").stdout)] for name in ("gan", "vae")
    }
    assert {"mlp", "mlp_small"} <= set(served["gan"]) and "mlp400" in served["vae"] and "mlp400" not in served["gan"]
    assert "Did you mean 'gan'?" in lagrange("knobs", "--objective", "gaan").stderr


@pytest.mark.usefixtures("read_once")
def test_a_knob_is_shown_with_what_its_file_says_and_its_names_elsewhere() -> None:
    shown = lagrange("knobs", "l2_d").stdout
    assert "s1              lambda_d" in shown and "½λ Σ" in shown and "#kernels" in shown
    for one in search.cli.listing.entries("knobs", "vae"):
        assert one["kind"] != "λ" or search.cli.listing.entry("knobs", one["name"])["about"], one["name"]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    result = lagrange("knobs", "bta")
    assert result.exit_code == 2
    assert "that exist; got 'bta'. Did you mean 'beta'?" in result.stderr and result.stdout == ""
    assert "lr_ratio" in lagrange("knobs", "qqqq").stderr, "where none is near, all are named"


# --- sweeping ---


def test_a_sweep_without_words_is_the_quickstart(sweeps: Sweeps) -> None:
    result = lagrange("sweep")
    assert result.exit_code == 0, result.stderr
    assert sweeps[0]["spec"] == read(presets()["quickstart"])
    for words in ("best beta", "verdict", "promise", "note: a note", "lagrange ui", "took "):
        assert words in result.stdout


def test_options_reach_the_spec_and_the_run(sweeps: Sweeps, tmp_path: Path) -> None:
    options = "--dataset digits --data-root /data/x: --model mlp400 --trials 60 --epochs 7 --seed 5 --name n --workers 2"
    options += " --set search.beta.low=0.1"
    assert lagrange("sweep", "vae", *options.split(), "--home", "h", "--address", "auto", "--gpu", "0.5").exit_code == 0
    call = sweeps[0]
    spec: Spec = call["spec"]
    assert (spec.dataset.name, spec.dataset.root, spec.model) == ("digits", "/data/x:", "mlp400")
    assert (spec.budget.trials, spec.budget.epochs, spec.seed, spec.resources.gpu) == (60, 7, 5, 0.5)
    assert spec.search is not None and spec.search["beta"].low == 0.1  # type: ignore[union-attr]
    assert (call["name"], call["workers"], call["address"], call["home"].root) == ("n", 2, "auto", tmp_path / "h")


def test_stores_are_options(sweeps: Sweeps, tmp_path: Path) -> None:
    lagrange("sweep", "toy", "--storage", "/s", "--tracking-uri", "http://t:5000", "--catalogue-url", "postgresql://u:p@h/d")
    home: Home = sweeps[0]["home"]
    assert (str(home.storage), home.tracking_uri, home.catalogue_url) == ("/s", "http://t:5000", "postgresql://u:p@h/d")


def test_a_yaml_file_is_a_target(sweeps: Sweeps) -> None:
    Path("my.yaml").write_text("objective: toy\nseed: 9\n")
    assert lagrange("sweep", "my.yaml", "--seed", "10").exit_code == 0
    assert (sweeps[0]["spec"].objective, sweeps[0]["spec"].seed) == ("toy", 10)


def test_a_matrix_is_one_sweep_each_on_one_ray(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    from infra.ray import cluster

    started: list[Any] = []

    @contextmanager
    def connect(*args: Any, **options: Any) -> Iterator[None]:
        started.append(len(sweeps))
        yield
        started.append(len(sweeps))

    monkeypatch.setattr(cluster, "connect", connect)
    Path("m.yaml").write_text("matrix: {objective: [vae, autoencoder]}\n")
    assert lagrange("sweep", "m.yaml", "--name", "m").exit_code == 0
    assert [call["spec"].objective for call in sweeps] == ["vae", "autoencoder"]
    assert [call["name"] for call in sweeps] == ["m-vae-mlp400", "m-autoencoder-mlp"]
    assert started == [0, 2]


def test_a_sweep_of_a_matrix_that_is_refused_does_not_stop_the_others(sweeps: Sweeps) -> None:
    sweeps.status = "refused"
    Path("m.yaml").write_text("matrix: {objective: [vae, autoencoder]}\n")
    assert lagrange("sweep", "m.yaml", "--address", "in-process").exit_code == 2 and len(sweeps) == 2


def test_a_taken_name_in_a_matrix_stops_it_before_the_first_sweep(sweeps: Sweeps) -> None:
    with Catalogue(Home.open().catalogue_url) as catalogue:
        catalogue.create_sweep(SweepRow("m-autoencoder-mlp", {}))
    Path("m.yaml").write_text("matrix: {objective: [vae, autoencoder]}\n")
    result = lagrange("sweep", "m.yaml", "--name", "m")
    assert result.exit_code == 2 and "m-autoencoder-mlp" in result.stderr and not sweeps


@pytest.mark.parametrize(("status", "code"), [("complete", 0), ("failed", 1), ("refused", 2), ("interrupted", 130)])
def test_exit_codes(sweeps: Sweeps, status: str, code: int) -> None:
    sweeps.status = status
    result = lagrange("sweep", "toy", "--name", "n")
    assert result.exit_code == code
    assert ("every member failed" in result.stderr) == (status in ("failed", "refused"))
    assert ("lagrange show n" in result.stderr) == (status == "failed"), "of a refused sweep there is nothing to be shown"
    assert ("lagrange resume n" in result.stderr) == (status == "interrupted")


def test_the_command_to_go_on_names_the_home(sweeps: Sweeps) -> None:
    sweeps.status = "interrupted"
    assert f"lagrange resume n --home {Path.cwd() / 'h'}" in lagrange("sweep", "toy", "--name", "n", "--home", "h").stderr


def test_a_users_mistake_is_short_and_debug_shows_where(sweeps: Sweeps) -> None:
    sweeps.error = InfraError("A sweep's name is used once; 'x' exists.")  # type: ignore[assignment]
    short, debug = lagrange("sweep", "toy"), lagrange("sweep", "toy", "--debug")
    assert (short.exit_code, debug.exit_code) == (2, 2)
    assert short.stderr.strip() == "A sweep's name is used once; 'x' exists."
    assert "Traceback" in debug.stderr


def test_a_fault_of_ours_is_no_mistake_of_the_user(sweeps: Sweeps) -> None:
    sweeps.error = RuntimeError("boom")  # type: ignore[assignment]
    result = lagrange("sweep", "toy")
    assert result.exit_code == 1
    assert "RuntimeError: boom" in result.stderr and "--debug" in result.stderr and "Traceback" not in result.stderr


def test_an_interrupt_before_the_sweep_begins_is_130(sweeps: Sweeps) -> None:
    sweeps.error = KeyboardInterrupt()  # type: ignore[assignment]
    assert lagrange("sweep", "toy").exit_code == 130


def test_passwords_are_not_printed(sweeps: Sweeps) -> None:
    sweeps.error = InfraError("cannot open postgresql://u:hunter2@h/d")  # type: ignore[assignment]
    result = lagrange("sweep", "toy")
    assert "hunter2" not in result.output and "postgresql://u:***@h/d" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["vea"],
        ["none.yaml"],
        ["list.yaml"],
        ["five.yaml"],
        ["vae", "--dataset", "mnist", "--data-root", "nowhere"],
        ["vae", "--trials", "0"],
        ["vae", "--set", "search.bta={}"],
        ["vae", "--set", "nonsense"],
        ["no.such.module:Class"],
        ["vae", "--home", "what?"],
        ["vae", "--workers", "0"],
    ],
    ids=" ".join,
)
def test_a_bad_spec_starts_nothing_and_leaves_nothing_behind(sweeps: Sweeps, args: list[str], tmp_path: Path) -> None:
    Path("list.yaml").write_text("- vae")
    Path("five.yaml").write_text("{objective: vae, modle: x, sampler: y, scheduler: z, metric: w, budget: {trials: 0}}")
    before = sorted(tmp_path.rglob("*"))
    result = lagrange("sweep", *args)
    assert result.exit_code == 2
    assert result.stderr and "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) == 5 or "five.yaml" not in args
    assert not sweeps and sorted(tmp_path.rglob("*")) == before


def test_dry_run_prints_a_plan_that_is_a_spec(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from search.spec.text import parse_yaml

    result = lagrange("sweep", "toy", "--trials", "12", "--dry-run")
    assert result.exit_code == 0, result.stderr
    spec = read(parse_yaml(result.stdout))
    assert spec == read({"objective": "toy", "budget": {"trials": 12}})
    # Five candidates on two seeds, two more between the rounds, then two finalists on eight.
    assert "search 12 members" in result.stdout and "confirm 30 members" in result.stdout and "# about " in result.stdout
    assert not sweeps and list(tmp_path.iterdir()) == []


# --- going on ---


@pytest.mark.parametrize(("given", "more"), [(None, None), ("+40", 40), ("40", 16)])
def test_resume_takes_more_trials_or_a_new_total(
    filled: Home, monkeypatch: pytest.MonkeyPatch, given: str | None, more: int | None
) -> None:
    calls: list[dict[str, Any]] = []

    def resume(name: str, **options: Any) -> Outcome:
        calls.append({"name": name, **options})
        return Outcome(name, "complete", an_answer())

    monkeypatch.setattr(search.sweep, "resume", resume)
    assert lagrange("resume", "good", *(["--trials", given] if given else [])).exit_code == 0
    assert (calls[0]["name"], calls[0]["trials"], calls[0]["home"]) == ("good", more, filled)


@pytest.mark.parametrize("given", ["many", "+0", "24", "3", "-1"])
def test_resume_refuses_what_is_no_number_of_trials(filled: Home, given: str) -> None:
    result = lagrange("resume", "good", f"--trials={given}")
    assert result.exit_code == 2 and given in result.stderr and "--trials +" in result.stderr


# --- looking ---


def test_ls_tells_a_killed_sweep_from_a_running_one(filled: Home) -> None:
    entries = {entry["name"]: entry for entry in json.loads(lagrange("ls", "--json").stdout)}
    assert (entries["good"]["status"], entries["dead"]["status"]) == ("complete", "interrupted")
    table = lagrange("ls").stdout
    assert "good" in table and str(an_answer().verdict) in table
    with Catalogue(filled.catalogue_url) as catalogue, catalogue.lock("dead"):
        assert {entry["name"]: entry["status"] for entry in json.loads(lagrange("ls", "--json").stdout)}["dead"] == "running"


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    assert lagrange("ls").exit_code == 0
    assert json.loads(lagrange("best", "--json").stdout) == []
    assert lagrange("show", "x").exit_code == 2
    assert lagrange("ui").exit_code == 2
    assert lagrange("export", "--all", "out").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_show_lists_members_and_the_answer(filled: Home) -> None:
    text = lagrange("show", "good").stdout
    assert "beta=0.5" in text and "failed" in text and "boom" in text and "best beta" in text
    assert "lr=" not in text.partition("best beta")[0], "what no member varies is not repeated"
    whole = json.loads(lagrange("show", "good", "--json").stdout)
    assert [one["state"] for one in whole["members"]] == ["complete", "failed"] and whole["spec"]["seed"] == 3


def test_show_member_has_config_state_reason_traceback_and_curve(filled: Home) -> None:
    text = lagrange("show", "good", "--member", "1").stdout
    for words in ("beta=1.5", "lr=0.001", "failed", "boom", "Traceback:", "10 █▁ 5"):
        assert words in text
    assert [point["rung_score"] for point in json.loads(lagrange("show", "good", "--member", "1", "--json").stdout)["curve"]] == [10.0, 5.0]
    missing = lagrange("show", "good", "--member", "99")
    assert missing.exit_code == 2 and "99" in missing.stderr


def test_best_is_a_row_per_combination(filled: Home) -> None:
    (row,) = json.loads(lagrange("best", "--json").stdout)
    assert (row["objective"], row["model"], row["dataset"], row["sweep"]) == ("vae", "mlp400", "digits", "good")
    assert "beta = " in lagrange("best", "--objective", "vae").stdout
    assert "lagrange ls" in lagrange("best", "--objective", "gan").stdout


def test_rm_asks_and_removes_rows_and_files(filled: Home) -> None:
    folder = filled.member("good", 0)
    folder.mkdir(parents=True)
    assert lagrange("rm", "good", input="n\n").exit_code != 0
    assert folder.exists()
    assert lagrange("rm", "good", input="y\n").exit_code == 0
    assert not folder.exists()
    with Catalogue(filled.catalogue_url) as catalogue:
        assert not catalogue.has_sweep("good") and catalogue.has_sweep("dead")


def test_rm_does_not_remove_a_running_sweep(filled: Home) -> None:
    with Catalogue(filled.catalogue_url) as catalogue, catalogue.lock("dead"):
        result = lagrange("rm", "dead", "--yes")
        assert result.exit_code == 2 and "running" in result.stderr
        assert catalogue.has_sweep("dead")
    assert lagrange("rm", "dead", "--yes").exit_code == 0


def test_ui_runs_mlflow_on_loopback_and_hides_the_store(filled: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run is a stand-in for MLflow, which writes down how it was started."""
    stand_in, told = tmp_path / "stand_in", tmp_path / "told.json"
    stand_in.mkdir()
    (stand_in / "mlflow.py").write_text(
        "import json, os, pathlib, sys\n"
        f"pathlib.Path({str(told)!r}).write_text(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
        "sys.exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(stand_in))
    port, secret = free_port(), "postgresql://u:hunter2@h/d"
    monkeypatch.setattr("infra.tracking.ui.find", lambda home, sweep: Place("7", "r8", sweep or "latest", f"lagrange.{sweep or 'latest'}"))
    shown = lagrange("ui", "--port", str(port), "--tracking-uri", secret)
    assert shown.exit_code == 3  # what the server ends with is told
    view = f"http://127.0.0.1:{port}/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=lagrange.latest"
    answer = f"http://127.0.0.1:{port}/#/experiments/7/runs/r8?workflowType=machine_learning"
    assert view in shown.stdout and answer in shown.stdout and "hunter2" not in shown.output
    command, env = json.loads(told.read_text())
    assert command[:7] == ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    assert command[7:] in ([], ["--app-name", "lagrange"])
    assert env["MLFLOW_BACKEND_STORE_URI"] == secret and env["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == filled.artifacts.as_uri()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_stopped_takes_its_children_along() -> None:
    """The server starts a child, as MLflow does, and both are gone once the command was told to stop."""
    child = "import time; time.sleep(60)"
    server = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid, flush=True); p.wait()"
    code = f"import os, sys; from search.cli.look import _serve; sys.exit(_serve([sys.executable, '-c', {server!r}], os.environ))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.terminate()
    assert process.wait(timeout=30) == 0
    process.stdout.close()
    wait_until_gone(pid)


def wait_until_gone(pid: int) -> None:
    import psutil

    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} is still there")


def mlflow_store() -> None:
    """A store of MLflow's without a run, in the home here."""
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{Path('mlflow_runs/mlflow.db').resolve()}").search_experiments()


def test_ui_on_a_port_in_use_takes_the_next(filled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    mlflow_store()
    served: list[list[str]] = []

    def serve(command: list[str], env: dict[str, str]) -> int:
        served.append(command)
        return 0

    monkeypatch.setattr("search.cli.look._serve", serve)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = lagrange("ui", "--port", str(port))
    assert result.exit_code == 0 and f"Port {port} is taken" in result.stdout
    assert int(served[0][served[0].index("--port") + 1]) > port
    assert "/#/experiments?workflowType=machine_learning" in result.stdout, "a store without a sweep opens its list of experiments"


@pytest.mark.parametrize(("words", "said"), [(["--port", "6000"], "refuse 6000"), (["gone"], "must hold the sweep 'gone'")])
def test_ui_that_no_browser_would_open(filled: Home, words: list[str], said: str) -> None:
    mlflow_store()
    result = lagrange("ui", *words)
    assert result.exit_code == 2 and said in result.stderr


def test_ui_of_a_server_is_a_link(filled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.tracking.ui.find", lambda home, sweep: Place("7", "r8", "latest", "lagrange.latest"))
    result = lagrange("ui", "--tracking-uri", "https://ann:hunter2@mlflow.example/path/")
    assert result.exit_code == 0 and "https://***@mlflow.example/path/#/experiments/7/runs?" in result.stdout


def test_a_sweep_ends_with_the_way_to_its_members(sweeps: Sweeps) -> None:
    sweeps.place = Place("7", "r8", "one", "lagrange.one")
    said = lagrange("sweep", "--home", "here").stdout
    assert "lagrange ui" in said and "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=" in said


# --- exporting ---


def test_export_prints_or_writes(filled: Home) -> None:
    printed = lagrange("export", "good")
    assert printed.exit_code == 0, printed.stderr
    assert lagrange("export", "good", "-o", "best.yaml").exit_code == 0
    spec = read("best.yaml", purpose="train")
    assert spec.search == {} and spec.promise is not None and spec.promise["metric"] == "val_neg_elbo_nats"
    assert printed.stdout.strip() == Path("best.yaml").read_text().strip()
    assert lagrange("export", "--all", "out").stdout.strip() == "out/vae-mlp400-digits.yaml"


def test_an_export_is_not_swept(filled: Home, sweeps: Sweeps) -> None:
    lagrange("export", "good", "-o", "best.yaml")
    result = lagrange("sweep", "best.yaml")
    assert result.exit_code == 2 and "at least one λ" in result.stderr


@pytest.mark.parametrize("args", [[], ["good", "--all", "x"], ["dead"], ["nobody"]])
def test_export_mistakes(filled: Home, args: list[str]) -> None:
    result = lagrange("export", *args)
    assert result.exit_code == 2 and result.stderr


def retrained(**changes: Any) -> Callable[..., Retrained]:
    given: dict[str, Any] = {
        "score": 101.0,
        "score_name": "val_neg_elbo_nats",
        "seed": 4,
        "state": "complete",
        "reason": "",
        "inside": True,
        "promise": {"low": 99.0, "high": 103.0},
        "reproduces": None,
        "folder": Path("f"),
        "seconds": 3.0,
    }
    return lambda target, **options: Retrained(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({}, 0, "inside the 95 % prediction interval 99.0 to 103.0"),
        ({"inside": False, "score": 110.0}, 0, "outside the 95 % prediction interval"),
        ({"reproduces": 101.0}, 0, "exactly"),
        ({"reproduces": 101.5}, 0, "not exactly: it was 101.5"),
        ({"promise": None, "inside": None}, 0, "val_neg_elbo_nats 101"),
        ({"state": "diverged", "reason": "loss is NaN", "score": float("nan")}, 1, "the training ended diverged: loss is NaN"),
    ],
)
def test_train_holds_the_config_to_its_promise(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], code: int, words: str) -> None:
    monkeypatch.setattr(search.retrain, "train", retrained(**changes))
    result = lagrange("train", "best.yaml")
    assert result.exit_code == code and words in result.output


def test_train_without_such_a_file(tmp_path: Path) -> None:
    result = lagrange("train", "none.yaml")
    assert result.exit_code == 2 and "none.yaml" in result.stderr
    assert list(tmp_path.iterdir()) == []


# --- as a program ---


def program(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'lagrange'; from search.cli import main; main()"
    return subprocess.run([sys.executable, "-P", "-c", code, *args], capture_output=True, text=True, timeout=60, check=False, **options)


def test_a_users_class_in_the_current_folder_is_found_by_the_console_script() -> None:
    """Run with -P, as console scripts are: the current folder is not on the path by itself."""
    Path("mine.py").write_text("from objectives.toy import OBJECTIVE\nclass Mine(OBJECTIVE):\n    pass\n")
    result = program("sweep", "mine:Mine", "--trials", "0")
    assert result.returncode == 2
    assert result.stderr.startswith("budget.trials must be at least 1"), result.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "from search.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, "metrics"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1, -signal.SIGPIPE)


def test_a_terminal_that_knows_no_greek_is_written_to() -> None:
    """Batch systems, pipes and consoles with an older encoding: every command said λ somewhere, and ended as a fault of Lagrange."""
    result = program("sweep", "toy", "--dry-run", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0 and "objective: toy" in result.stdout, result.stderr


def test_version() -> None:
    assert lagrange("--version").stdout.startswith("lagrange ")


def names_in(page: str, begins: str, ends: str) -> list[str]:
    part = page[page.index(begins) :]
    return re.findall(r"`(\w+)`", part[: part.index(ends)])


@pytest.mark.usefixtures("read_once")
def test_every_name_of_the_pages_is_answered() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = "".join((docs / name).read_text(encoding="utf-8") for name in ("units.md", "available.md"))
    tables = {
        "knobs": names_in(page, "| where | knobs |", "Three promises"),
        "models": names_in(page, "| models |", "| data |"),
        "datasets": [name for name in names_in(page, "| data |", "| for all of them") if name != "image_folder"],
        "features": names_in(page, "| features |", "A member whose posterior"),
    }
    assert all(len(names) > 4 for names in tables.values())
    for family, names in tables.items():
        for name in names:
            assert search.cli.listing.entry(family, name)["name"] == name
