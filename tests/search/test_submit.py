"""`lagrange submit`, `jobs`, `logs`, `stop` and `resume` of a submitted sweep: what goes to the cluster, with a fake of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.ray import jobs
from search.cli import app
from tests.infra.test_jobs import Cluster

SPEC = "objective: mine:Mine\ndataset: {name: none}\nsearch: {l2: {}}\nscheduler: none\nbudget: {trials: 8, epochs: 3}\n"
MINE = "import helper\nfrom objectives.families.toy import Toy\n\nclass Mine(Toy):\n    pass\n"
HERE = ("--address", "http://head:8265")


class Remembering(Cluster):
    """A cluster that keeps the files of each job, which are gone afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, dict[str, str]] = {}

    def submit_job(self, **given: Any) -> str:
        folder = given["runtime_env"].get("working_dir")
        paths = [path for path in Path(folder).rglob("*") if path.is_file()] if folder else []
        self.files[given["submission_id"]] = {path.relative_to(folder).as_posix(): path.read_text() for path in paths}
        return super().submit_job(**given)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remembering:
    """A fake cluster, and a current folder with a spec, a module, what it imports, and secrets."""
    for key in [key for key in os.environ if key.startswith(("LAGRANGE_", "RAY_"))]:
        monkeypatch.delenv(key)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in {"spec.yaml": SPEC, "mine.py": MINE, "helper.py": "", "other.py": "", ".env": "SECRET=1"}.items():
        (tmp_path / name).write_text(text)
    for name in ("mine", "helper"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    found = Remembering()
    monkeypatch.setattr(jobs, "_client", lambda address: found)
    return found


def lagrange(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def test_the_spec_goes_with_the_modules_that_it_names_and_nothing_else(cluster: Remembering) -> None:
    done = lagrange("submit", "spec.yaml", "--name", "s", "--trials", "6", "--home", "/data", "--environment-file", "/etc/l", *HERE)
    assert done.exit_code == 0, done.output
    assert cluster.files["s"] == {"spec.yaml": SPEC, "mine.py": MINE, "helper.py": ""}
    line = cluster.jobs["s"].entrypoint.partition("exec ")[2]
    expected = (
        "lagrange sweep spec.yaml --set budget.trials=6 --name s --resume --home /data --environment-file /etc/l --address auto --plain"
    )
    assert line == expected
    assert "lagrange logs s -f --address http://head:8265" in done.output


def test_a_job_submitted_twice_is_one_job(cluster: Remembering) -> None:
    assert lagrange("submit", "spec.yaml", "--name", "s", *HERE).exit_code == 0
    done = lagrange("submit", "spec.yaml", "--name", "s", *HERE)
    assert done.exit_code == 2 and "has one already, job s" in done.output and list(cluster.jobs) == ["s"]


def test_an_objective_of_ours_needs_no_file_and_a_spec_from_elsewhere_comes_along(cluster: Remembering, tmp_path: Path) -> None:
    assert lagrange("submit", "toy", "--dataset", "none", "--name", "t", *HERE).exit_code == 0
    assert "working_dir" not in cluster.jobs["t"].runtime_env and "lagrange sweep toy " in cluster.jobs["t"].entrypoint
    (tmp_path / "sub").mkdir()
    os.chdir(tmp_path / "sub")
    (tmp_path / "toy.yaml").write_text("objective: toy\ndataset: {name: none}\n")
    assert lagrange("submit", "../toy.yaml", "--name", "u", *HERE).exit_code == 0
    assert list(cluster.files["u"]) == ["toy.yaml"] and "lagrange sweep toy.yaml " in cluster.jobs["u"].entrypoint


def test_a_sweep_without_a_name_gets_one(cluster: Remembering) -> None:
    assert lagrange("submit", "toy", "--dataset", "none", *HERE).exit_code == 0
    (name,) = cluster.jobs
    assert name.startswith("toy-") and f"--name {name} --resume" in cluster.jobs[name].entrypoint


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["spec.yaml", "--set", "budget.trials=nothing"], "budget.trials"),
        (["nobody.yaml"], "readable file"),
        (["spec.yaml", "--name", "a/b"], "name starts with"),
        (["spec.yaml", "--include", ".env"], "cannot be shipped"),
        (["toy", "--dataset", "none", "--set", "dataset.root=postgresql://u:hunter2@h/d"], "must hold no password"),
    ],
)
def test_a_mistake_is_found_before_anything_is_sent(cluster: Remembering, args: list[str], words: str) -> None:
    done = lagrange("submit", *args, *HERE)
    assert done.exit_code == 2 and words in done.output and "hunter2" not in done.output and not cluster.jobs


def test_a_cluster_must_be_named(cluster: Remembering) -> None:
    for command in (["submit", "toy", "--dataset", "none"], ["jobs"], ["logs", "s"], ["stop", "s"]):
        done = lagrange(*command)
        assert done.exit_code == 2 and "--address http://HEAD:8265" in done.output


def test_resume_sends_the_modules_again_and_the_spec_is_in_the_catalogue(cluster: Remembering, tmp_path: Path) -> None:
    lagrange("submit", "spec.yaml", "--name", "s", "--home", "/data", "--environment-file", "/etc/l", *HERE)
    assert "has one already" in lagrange("resume", "s", *HERE).output
    assert "lagrange resume s --address http://head:8265" in lagrange("stop", "s", *HERE).output
    assert "has no driver: its job s is stopped" in lagrange("stop", "s", *HERE).output
    done = lagrange("resume", "s", "--trials", "+4", "--workers", "2", *HERE)
    assert done.exit_code == 0, done.output
    assert set(cluster.files["s~2"]) == {"mine.py", "helper.py", "spec.yaml"}
    line = cluster.jobs["s~2"].entrypoint.partition("exec ")[2]
    expected = "lagrange resume s --home /data --environment-file /etc/l --workers 2 --trials +4 --address auto --plain --begin spec.yaml"
    assert line == expected
    lagrange("stop", "s", *HERE)
    lagrange("resume", "s", *HERE)  # the workers stay, the trials were for once
    assert cluster.jobs["s~3"].entrypoint.endswith("--environment-file /etc/l --workers 2 --address auto --plain --begin spec.yaml")
    lagrange("stop", "s", *HERE)
    (tmp_path / "helper.py").unlink()
    done = lagrange("resume", "s", *HERE)
    assert done.exit_code == 2 and "helper.py is not here" in done.output


@pytest.mark.parametrize(("target", "settings"), [("spec.yaml", ("budget.trials=6", "seed=3")), ("toy", ("dataset.name=none",))])
def test_a_sweep_that_was_stopped_before_it_had_a_row_is_begun_by_resume(
    cluster: Remembering, tmp_path: Path, target: str, settings: tuple[str, ...]
) -> None:
    words = [word for one in settings for word in ("--set", one)]
    lagrange("submit", target, *words, "--name", "s", *HERE)
    lagrange("stop", "s", *HERE)
    (tmp_path / "spec.yaml").write_text("objective: nothing\n")  # what was submitted counts, wherever its file is now
    assert lagrange("resume", "s", *HERE).exit_code == 0
    assert cluster.files["s~2"].get("spec.yaml") == (SPEC if target == "spec.yaml" else None)
    line = cluster.jobs["s~2"].entrypoint.partition("exec ")[2].split()
    assert line == [
        "lagrange",
        "resume",
        "s",
        "--address",
        "auto",
        "--plain",
        *(w for one in (target, *settings) for w in ("--begin", one)),
    ]
    lagrange("stop", "s", *HERE)
    assert lagrange("resume", "s", *HERE).exit_code == 0, "and so it is the next time"
    assert cluster.files["s~3"] == cluster.files["s~2"] and cluster.jobs["s~3"].entrypoint == cluster.jobs["s~2"].entrypoint


def test_a_spec_that_is_too_large_or_holds_a_password_is_not_kept_with_the_job(cluster: Remembering, tmp_path: Path) -> None:
    for text in ("#" * 40_000, "# postgresql://u:hunter2@h/d"):
        (tmp_path / "spec.yaml").write_text(f"{SPEC}{text}\n")
        name = f"s{len(cluster.jobs)}"
        assert lagrange("submit", "spec.yaml", "--name", name, *HERE).exit_code == 0
        assert "lagrange.begin" not in cluster.jobs[name].metadata and "hunter2" not in str(cluster.jobs[name])


def test_the_driver_begins_what_has_no_row_and_goes_on_with_what_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAGRANGE_HOME", raising=False)
    start = ("toy", "budget.trials=4", "budget.epochs=2", "dataset.name=none")
    words = ("resume", "s", *(word for one in start for word in ("--begin", one)), "--address", "in-process", "--plain")
    said = lagrange(*words, "--trials", "+2")
    assert said.exit_code == 2 and "must have begun" in said.output and not list(tmp_path.glob("*/lagrange.db"))
    done = lagrange(*words)
    assert done.exit_code in (0, 5), done.output
    (row,) = json.loads(lagrange("ls", "--json").output)
    assert (row["name"], row["status"]) == ("s", "complete")
    assert lagrange(*words, "--begin", "seed=99").exit_code in (0, 5), "a sweep that is there goes on as it was begun"


def test_a_head_that_has_forgotten_its_jobs_says_how_the_sweep_goes_on(cluster: Remembering) -> None:
    for command in ("resume", "logs", "stop"):
        done = lagrange(command, "s", *HERE)
        assert done.exit_code == 2 and "lagrange submit SPEC --name s --address http://head:8265" in done.output


def test_a_matrix_goes_on_with_all_its_sweeps(cluster: Remembering, tmp_path: Path) -> None:
    (tmp_path / "many.yaml").write_text("dataset: {name: none}\nmatrix: {objective: [toy, 'mine:Mine']}\n")
    assert lagrange("submit", "many.yaml", "--name", "m", "--home", "/data", *HERE).exit_code == 0
    lagrange("stop", "m", *HERE)
    assert "several" in lagrange("resume", "m", "--trials", "+4", *HERE).output
    assert lagrange("resume", "m", *HERE).exit_code == 0
    assert cluster.files["m~2"] == cluster.files["m"] and set(cluster.files["m"]) == {"many.yaml", "mine.py", "helper.py"}
    assert cluster.jobs["m~2"].entrypoint == cluster.jobs["m"].entrypoint


def test_jobs_and_logs_say_what_became_of_a_sweep(cluster: Remembering) -> None:
    assert "no sweep was submitted" in lagrange("jobs", *HERE).output
    lagrange("submit", "toy", "--dataset", "none", "--name", "s", *HERE)
    cluster.logs["s"] = ["one\n", "two\n"]
    assert lagrange("logs", "s", *HERE).output == "one\ntwo\n"
    done = lagrange("logs", "s", "-f", *HERE)
    assert (done.output, done.exit_code) == ("one\ntwo\n", 0)
    cluster.tail_job_logs = silent  # type: ignore[method-assign]
    said = "1/8 searched\ns failed: no member is left\nSee every member: lagrange show s\n"
    killed = "lagrange resume s --address http://head:8265"
    for status, code, message, state, exit_code, reason in (
        ("SUCCEEDED", 0, said, "complete", 0, None),
        ("STOPPED", None, said, "stopped", 130, None),
        ("FAILED", 1, said, "failed", 1, "s failed: no member is left"),
        ("FAILED", 1, "OSError: odd\nThis is a fault of Lagrange\n", "failed", 1, "OSError: odd"),
        ("FAILED", 2, "s: toy × none\nit must be so\n", "refused", 2, "it must be so"),
        ("FAILED", 3, "s: toy\ns ended, for a store is gone: x\n", "interrupted", 3, "s ended, for a store is gone: x"),
        ("FAILED", 4, "s: toy\ns: another driver\n", "taken over", 4, "s: another driver"),
        ("FAILED", 5, "end\n", "unconfirmed", 5, "end"),
        ("FAILED", 130, "s was interrupted; nothing is lost\nbye\n", "interrupted", 130, "s was interrupted; nothing is lost"),
        ("FAILED", -9, "1/8 searched\n", "interrupted", 130, "ended by signal 9 (SIGKILL)"),
        ("FAILED", 247, "1/8 searched\n", "interrupted", 130, "ended by signal 9 (SIGKILL)"),
        ("FAILED", 137, "1/8 searched\n", "interrupted", 130, "ended by signal 9 (SIGKILL)"),
        ("FAILED", -6, "1/8 searched\n", "interrupted", 130, "ended by signal 6 (SIGABRT)"),
        ("FAILED", None, "The actor died.\n1/8 searched\n", "failed", 1, "Ray says: The actor died."),
    ):
        cluster.jobs["s"].status, cluster.jobs["s"].driver_exit_code, cluster.jobs["s"].message = status, code, message
        (row,) = json.loads(lagrange("jobs", "--json", *HERE).output)
        assert (row["sweep"], row["job"], row["status"]) == ("s", "s", state)
        by_itself = code is not None and 0 <= code <= 130
        assert row["why"] == reason if by_itself or reason is None else reason in row["why"] and killed in row["why"], row
        done = lagrange("logs", "s", "-f", *HERE)
        assert done.exit_code == exit_code
        assert (killed in done.output) == (not by_itself and reason is not None), done.output


def test_who_stops_following_is_told_that_the_driver_goes_on(cluster: Remembering, monkeypatch: pytest.MonkeyPatch) -> None:
    lagrange("submit", "toy", "--dataset", "none", "--name", "s", *HERE)

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs.Jobs, "follow", interrupted)
    done = lagrange("logs", "s", "-f", *HERE)
    assert done.exit_code == 130 and "the driver of s goes on. Again: lagrange logs s -f --address http://head:8265" in done.output
    assert "interrupted" not in done.output
    monkeypatch.setattr("search.watching.watch", interrupted)
    done = lagrange("watch", "s")
    assert done.exit_code == 130 and "the watching has ended" in done.output and "interrupted" not in done.output
    assert "s is asked to stop; waiting for it, up to 120 s" in lagrange("stop", "s", *HERE).output


async def silent(job: str) -> Any:
    for part in tuple[str, ...]():
        yield part


def test_a_job_without_a_home_is_refused_because_its_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAGRANGE_HOME", raising=False)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": {"working_dir": "gcs://a.zip"}}))
    done = lagrange("sweep", "toy", "--dataset", "none", "--name", "s", "--address", "in-process")
    assert done.exit_code == 2 and "outlives its job" in done.output and not list(tmp_path.iterdir())


def test_passwords_are_warned_of_and_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/rows.db?password=secret"
    done = lagrange("ls", "--catalogue-url", url)
    assert "ps" in done.output and "LAGRANGE_CATALOGUE_URL" in done.output and "secret" not in done.output
    (tmp_path / "env").write_text(f"LAGRANGE_HOME={tmp_path}/kept\n")
    (tmp_path / "env").chmod(0o600)
    monkeypatch.setenv("LAGRANGE_HOME", "before")
    monkeypatch.setenv("LAGRANGE_ENVIRONMENT_FILE", str(tmp_path / "env"))
    assert lagrange("ls").exit_code == 0 and os.environ["LAGRANGE_HOME"] == f"{tmp_path}/kept"
    done = lagrange("resume", "s", "--environment-file", "nothing")
    assert done.exit_code == 2 and "environment file must be readable" in done.output


def test_a_dry_run_prints_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("objective: toy\ndataset: {name: none, root: 'postgresql://u:secret@h/d'}\n")
    done = lagrange("sweep", "x.yaml", "--dry-run", "--address", "in-process")
    assert done.exit_code == 0 and "secret" not in done.output and "u:***@h/d" in done.output, done.output
