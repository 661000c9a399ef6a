"""Commands that are printed can be copied: they find the home that they are about. And what is said of a place without sweeps."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from infra.catalogue import Catalogue, SweepRow
from infra.storage import Home
from infra.storage.hints import TAKES, command, filled, looked_in
from search.cli import app
from search.spec.plain import plain_spec
from search.spec.reading import read

OPTIONS = {"catalogue_url": "--catalogue-url", "tracking_uri": "--tracking-uri", "kept_at": "--storage"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "CATALOGUE_URL", "TRACKING_URI", "STORAGE", "OPTUNA_URL"):
        monkeypatch.delenv(f"LAGRANGE_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kept(home: Home, name: str = "mine") -> Home:
    home.root.mkdir(parents=True, exist_ok=True)
    with Catalogue(home.catalogue_url) as catalogue:
        named: dict[str, Any] = {
            "objective": "toy",
            "model": "",
            "dataset": "none",
            "provenance": {},
            "spec": plain_spec(read({"objective": "toy"})),
        }
        catalogue.create_sweep(SweepRow(name=name, **named, status="interrupted"))
    return home


def said(*words: str) -> str:
    return " ".join(CliRunner().invoke(app, list(words), env={"COLUMNS": "300"}, input="").output.split())


def test_the_home_is_named_where_the_folder_and_the_environment_do_not_name_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("show s", Home.open()) == "lagrange show s"
    assert command("show s", None) == "lagrange show s"
    assert command("show s", Home.open(here / "other")) == f"lagrange show s --home {here / 'other'}"
    monkeypatch.setenv("LAGRANGE_HOME", str(here / "other"))
    assert command("show s", Home.open()) == "lagrange show s"
    assert command("show s", Home.open(here / "mlflow_runs")) == f"lagrange show s --home {here / 'mlflow_runs'}"


def test_a_command_names_the_stores_that_were_given_and_that_it_takes(here: Path) -> None:
    home = Home.open(catalogue_url="postgresql://host/db", tracking_uri="http://host:5000", storage=here / "kept")
    assert command("show s", home) == "lagrange show s --catalogue-url postgresql://host/db"
    assert command("ui s", home) == "lagrange ui s --tracking-uri http://host:5000"
    full = command("resume s", home, address="h:6379")
    assert shlex.split(full)[3:] == [
        *("--catalogue-url", "postgresql://host/db"),
        *("--tracking-uri", "http://host:5000"),
        *("--storage", str(here / "kept"), "--address", "h:6379"),
    ]
    secret = Home.open(catalogue_url="postgresql://me:secret@host/db")
    assert command("show s", secret) == "lagrange show s", "a password is not printed, and a masked one would not work"


def test_a_folder_with_a_space_can_be_copied(here: Path) -> None:
    assert shlex.split(command("ls", Home.open(here / "a b")))[2:] == ["--home", str(here / "a b")]


def test_each_command_takes_the_options_that_it_is_printed_with() -> None:
    group: Any = typer.main.get_command(app)
    for name, stores in TAKES.items():
        takes = {option for parameter in group.commands[name].params for option in parameter.opts}
        wanted = {"--home", *(OPTIONS[store] for store in stores)}
        assert takes & {"--home", *OPTIONS.values()} == wanted, name


def test_a_stored_text_gets_its_name_and_home_when_it_is_printed(here: Path) -> None:
    stored = "Mend their cause, then: lagrange resume NAME --retry-all-failed"
    assert filled(stored, "s", None) == stored.replace("NAME", "s")
    home = Home.open(here / "h")
    assert filled(stored, "s", home) == f"Mend their cause, then: lagrange resume s --home {home.root} --retry-all-failed"


def test_hints_of_the_commands_lead_back_to_the_home(here: Path) -> None:
    home = kept(Home.open(here / "kept at"))
    option = f"--home '{home.root}'"
    for words in ("export mine", "show mine", "watch mine"):
        assert f"lagrange resume mine {option}" in said(*words.split(), "--home", str(home.root)), words
    for words in ("best", "export --all folder", "watch", "export"):
        assert f"See them all: lagrange ls {option}" in said(*words.split(), "--home", str(home.root)), words
    assert f"lagrange rm mine {option}" in said("sweep", "toy", "--name", "mine", "--home", str(home.root))
    assert f"lagrange rm mine --yes {option}" in said("rm", "mine", "--home", str(home.root))


def test_a_job_of_a_cluster_prints_the_commands_of_whoever_submitted_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAGRANGE_DASHBOARD", "http://head:8265")
    home = Home.open(here / "data")
    assert command("resume s --trials +40", home, address="auto") == "lagrange resume s --trials +40 --address http://head:8265"
    for words in ("ui s", "show s", "export s", "ls"):
        assert command(words, home) == f"lagrange {words} --home {here / 'data'} (on the head node)"
    assert filled("Try: lagrange resume NAME", "s", home) == "Try: lagrange resume s --address http://head:8265"
    monkeypatch.delenv("LAGRANGE_DASHBOARD")
    assert command("resume s", home, address="auto") == f"lagrange resume s --home {here / 'data'} --address auto"


COMMANDS = (("ls",), ("best",), ("export", "--all", "d"), ("watch",), ("show", "s"), ("report", "s"), ("compare", "s", "t"), ("rm", "s"))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_where_no_sweep_is_it_is_said_what_was_looked_in(here: Path, words: tuple[str, ...]) -> None:
    assert f"The folder {here / 'none'} does not exist." in said(*words, "--home", "none")
    (here / "empty").mkdir()
    assert f"The folder {here / 'empty'} holds no sweeps: it has no lagrange.db." in said(*words, "--home", "empty")
    kept(Home.open(here / "project" / "mlflow_runs"))
    meant = f"The folder {here / 'project'} holds no sweeps, but {here / 'project' / 'mlflow_runs'} does: give --home "
    assert meant + str(here / "project" / "mlflow_runs") in said(*words, "--home", "project")
    assert not (here / "none").exists() and not list((here / "empty").iterdir()), "to look leaves nothing behind"


def test_a_catalogue_without_sweeps_is_named(here: Path) -> None:
    with Catalogue(Home.open(here).catalogue_url):
        pass
    assert looked_in(Home.open(here).catalogue_url) == f"{here / 'lagrange.db'} holds no sweep yet."
    assert looked_in("postgresql://me:secret@host/db") == "postgresql://me:***@host/db holds no sweep yet."


def test_a_question_that_nobody_answers_is_a_mistake_that_says_what_to_give(here: Path) -> None:
    home = kept(Home.open(here / "mlflow_runs"))
    for words, remedy in (
        (("init",), "lagrange init --kind function --score"),
        (("init", "--kind", "command"), "Give --kind, --score and --knob"),
        (("rm", "mine"), "Remove it without a question: lagrange rm mine --yes"),
    ):
        done = CliRunner().invoke(app, list(words), input="")
        assert done.exit_code == 2 and remedy in done.output and "Aborted" not in done.output, done.output
    done = CliRunner().invoke(app, ["rm", "mine"], input="n\n")
    assert done.exit_code == 1 and "nothing was removed" in done.output
    with Catalogue(home.catalogue_url) as catalogue:
        assert catalogue.has_sweep("mine")
    assert not (here / "mine.py").exists()
