"""Sweeps whose checkpoints, weights and pictures lie behind a URL: the members and the answer are those of a sweep in a folder.

`memory://` is a store in this process: what two workers or drivers share of it they must have put there. The tests with a real server speak
to moto's, in a thread of the test.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.catalogue import Catalogue
from infra.errors import InfraError, StorageError
from infra.storage import STORAGE, Home, silence
from infra.storage.depot import Depot
from search.cli import app
from search.exit_codes import MISTAKE, STORE_GONE, UNREACHABLE
from search.loaded import load
from search.running.where import IN_PROCESS
from search.running.working import copies
from search.sweep import Outcome, resume, run
from search.telling.files.exports import export
from tests import s3
from tests.search.kept import in_parts, kept, said

USERS = "tests.objectives.programs.users"
TOY: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}, "lr": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 9, "epochs": 9},
    "confirm": {"configs": 2, "seeds": 2},
}
PBT: dict[str, Any] = {
    "objective": "autoencoder",
    "dataset": {"name": "digits", "train_size": 64},
    "search": {"l2": {}},
    "fixed": {"latent_dim": 4},
    "budget": {"trials": 6, "epochs": 6},
    "confirm": {"configs": 2, "seeds": 2},
    "scheduler": {"name": "pbt", "interval_share": 0.34},
    "check": False,
    "pack": 1,
}
VAE: dict[str, Any] = {
    "objective": "vae",
    "model": "mlp400",
    "dataset": {"name": "digits", "train_size": 64},
    "search": {"beta": {}},
    "budget": {"trials": 4, "epochs": 2},
    "confirm": {"configs": 2, "seeds": 2},
    "check": False,
}


@pytest.fixture
def own_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers have their copies, to see that none stays."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def behind(tmp_path: Path, name: str) -> Home:
    return Home.open(tmp_path / name, storage=f"memory://{tmp_path.name}/{name}")


def forgotten(home: Home) -> None:
    """As on another machine: nothing is here but the catalogue, which would be in PostgreSQL."""
    shutil.rmtree(home.storage, ignore_errors=True)


@pytest.fixture(scope="module")
def toy_in_a_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Outcome]:
    """The sweep with which those behind a URL are compared; nobody writes to it."""
    home = Home.open(tmp_path_factory.mktemp("folder"))
    return home, run(TOY, name="s", home=home, address=IN_PROCESS, tracking=False)


@pytest.mark.parametrize("spec", [pytest.param(TOY, id="asha"), pytest.param(PBT, id="pbt", marks=pytest.mark.trains)])
def test_whatever_interrupts_it_the_sweep_is_that_of_a_folder(
    spec: dict[str, Any],
    tmp_path: Path,
    own_temporary: Path,
    toy_in_a_folder: tuple[Home, Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, whole = toy_in_a_folder
    if spec is PBT:
        folder = Home.open(tmp_path / "folder")
        whole = run(PBT, name="s", home=folder, address=IN_PROCESS, tracking=False)
    home = behind(tmp_path, "url")
    fetched: list[str] = []
    plain = Depot.fetch

    def noted(self: Depot, path: Path, *more: Path) -> Path:
        forgotten(home)  # each time as if on another machine
        found = plain(self, path, *more)
        fetched.extend(one.name for one in (path, *more) if one.is_file())
        return found

    monkeypatch.setattr(Depot, "fetch", noted)
    outcome, lives = in_parts(spec, home, 9, monkeypatch)
    assert lives > 3 and "checkpoint.pt" in fetched
    if spec is PBT:
        assert any(name.startswith("after-") for name in fetched), "a member started from another one"
    assert said(outcome) == said(whole)
    assert kept(home, "s") == kept(folder, "s")
    left = {path.name for path in home.depot.tree(home.files("s"))}
    there = {path.name for path in folder.files("s").rglob("*") if path.is_file()}
    assert left == there and "weights.safetensors" in left
    assert list(own_temporary.glob("lagrange-files-*")) == [], "no worker leaves its copies"


@pytest.mark.trains
@pytest.mark.turns(3)
def test_a_model_its_pictures_and_its_report_are_found_from_another_machine(tmp_path: Path, own_temporary: Path) -> None:
    home = behind(tmp_path, "url")
    assert run(VAE, name="s", home=home, address=IN_PROCESS, tracking=False).status == "complete"
    forgotten(home)
    home = Home.open(home.root)  # the sweep knows where its files are
    assert tuple(load("s", home=home).sample(2).shape) == (2, 1, 8, 8)
    options = ["--home", str(home.root)]
    assert CliRunner().invoke(app, ["export", "s", "--weights", "-o", str(tmp_path / "out"), *options]).exit_code == 0
    assert tuple(load(tmp_path / "out").sample(2).shape) == (2, 1, 8, 8)
    assert (home.reports("s") / "strip.png").exists()
    CliRunner().invoke(app, ["rm", "s", "--yes", *options], catch_exceptions=False)
    home = behind(tmp_path, "url")
    assert home.depot.tree(home.storage) == []


@pytest.mark.turns(3)
def test_what_a_function_keeps_by_itself_goes_along(tmp_path: Path, own_temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"objective": f"{USERS}:train", "budget": {"trials": 4, "epochs": 3}, "confirm": {"configs": 2, "seeds": 2}, "seed": 7}
    whole = run(spec, name="s", home=Home.open(tmp_path / "folder"), address=IN_PROCESS, tracking=False)
    home = behind(tmp_path, "url")
    outcome, lives = in_parts(spec, home, 13, monkeypatch)
    assert lives > 2 and said(outcome) == said(whole)
    forgotten(home)
    with Catalogue(home.catalogue_url) as catalogue:
        rows = catalogue.members("s")
    for row in rows:
        names = {path.relative_to(home.own("s", row.number)).parts[0] for path in home.depot.tree(home.own("s", row.number))}
        assert "log.txt" in names or row.state == "stopped"  # whose worker may have died with its driver, before it kept the last words
        assert row.phase == "confirm" or names <= {"log.txt", "log.txt.end"}
    log = CliRunner().invoke(app, ["show", "s", "--member", "0", "--log", "--home", str(home.root)])
    assert "did epoch 0" in log.output


@pytest.mark.parametrize(("door", "calls"), [("_put", 9), ("_fetch", 12)])
def test_a_store_that_goes_away_ends_the_sweep_with_a_sentence_and_resume_goes_on(
    door: str,
    calls: int,
    tmp_path: Path,
    own_temporary: Path,
    toy_in_a_folder: tuple[Home, Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, whole = toy_in_a_folder
    home, real, left = behind(tmp_path, "url"), getattr(Depot, door), [calls]

    def failing(self: Depot, *given: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionError("the line is dead")
        real(self, *given)

    monkeypatch.setattr(Depot, door, failing)
    outcome = run(TOY, name="s", home=home, address=IN_PROCESS, tracking=False)
    assert (outcome.status, outcome.problem) == (UNREACHABLE, f"The storage {home.kept_at} must be reachable: the line is dead.")
    assert all(row.state not in ("failed", "preempted") for row in kept(home, "s")[0]), "it is no fault of a member"
    assert resume("s", home=home, address=IN_PROCESS, tracking=False).status == UNREACHABLE
    monkeypatch.setattr(Depot, door, real)
    assert said(resume("s", home=home, address=IN_PROCESS, tracking=False)) == said(whole)
    assert kept(home, "s") == kept(folder, "s")


def test_a_sweep_knows_where_its_files_are_and_another_place_is_refused(tmp_path: Path) -> None:
    home, brief = behind(tmp_path, "url"), {**TOY, "budget": {"trials": 4, "epochs": 2}}
    run(brief, name="s", home=home, address=IN_PROCESS, tracking=False)
    plain, other = Home.open(home.root), Home.open(home.root, storage="memory://other")
    before = len(home.depot.tree(home.storage))
    assert resume("s", home=plain, trials=3, address=IN_PROCESS, tracking=False).status == "complete"
    assert len(home.depot.tree(home.storage)) > before and not plain.storage.exists()
    with pytest.raises(InfraError, match=rf"whose files are {home.kept_at}; got memory://other\. Leave --storage"):
        resume("s", home=other, trials=3, address=IN_PROCESS, tracking=False)
    run(brief, name="t", home=plain, address=IN_PROCESS, tracking=False)
    with pytest.raises(InfraError, match="whose files are in a folder; got memory://other"):
        resume("t", home=other, trials=3, address=IN_PROCESS, tracking=False)
    assert home.kept_at not in export("s", home=plain), "an exported file names no place"


def test_a_storage_that_cannot_be_used_is_refused_before_there_is_a_sweep(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "h", storage="nosuch://bucket")
    with pytest.raises(InfraError, match="protocol that fsspec knows"):
        run(TOY, name="s", home=home, address=IN_PROCESS, tracking=False)
    assert not home.root.exists()


def test_folders_of_dead_workers_are_removed_and_those_of_living_ones_stay(own_temporary: Path) -> None:
    first = copies.scratch()
    dead = first.with_name(first.name.replace(f"-{os.getpid()}-", "-999999999-"))
    dead.mkdir()
    copies.scratch()
    assert first.exists() and not dead.exists()


@pytest.mark.trains
def test_commands_end_with_a_sentence_where_a_store_takes_the_connection_and_is_silent(
    tmp_path: Path, own_temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.open(tmp_path / "home")
    assert run(VAE, name="s", home=home, address=IN_PROCESS, tracking=False).status == "complete"
    url = f"s3://{s3.BUCKET}/sweeps"
    with Catalogue(home.catalogue_url) as catalogue:  # as if its files had been there
        catalogue.update_sweep("s", facts=catalogue.sweep("s").facts | {STORAGE: url})
    for limit in ("SILENT_S", "ANSWER_S"):
        monkeypatch.setattr(silence, limit, 0.3)
    (tmp_path / "spec.json").write_text(json.dumps(TOY))

    def given(*words: str) -> Any:
        return CliRunner().invoke(app, [*words, "--home", str(home.root)])

    with s3.silent(monkeypatch):
        for words in (
            ["resume", "s", "--trials", "+1", "--address", IN_PROCESS],
            ["export", "s", "--weights", "-o", str(tmp_path / "out")],
            ["show", "s", "--member", "0", "--log"],
            ["sweep", str(tmp_path / "spec.json"), "--name", "t", "--address", IN_PROCESS, "--storage", url],
        ):
            done = given(*words)
            told = " ".join(done.stderr.split())
            assert done.exit_code == STORE_GONE, (words, done.output)
            assert f"The storage {url} must " in told and "0.3 s" in told and "Traceback" not in done.output
            assert s3.SECRET not in done.output
        with pytest.raises(StorageError, match=r"nothing for 0\.3 s while looking for s/00\d+/weights\.safetensors"):
            load("s", home=home)
        done = given("rm", "s", "--yes")
        assert done.exit_code == 0 and "removed s" in done.output
        assert f"files of its members stay under {url}/s: The storage {url} must be reachable: it said nothing" in done.stderr
    with Catalogue(home.catalogue_url) as catalogue:
        assert not catalogue.has_sweep("s") and not catalogue.has_sweep("t")


@pytest.mark.parametrize(("door", "calls"), [("_put", 9), ("_fetch", 12)])
def test_a_store_that_falls_silent_ends_the_sweep_and_no_member_fails(
    door: str, calls: int, tmp_path: Path, own_temporary: Path, toy_in_a_folder: tuple[Home, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = toy_in_a_folder
    home, real, left = behind(tmp_path, "url"), getattr(Depot, door), [calls]
    never = threading.Event()

    def hanging(self: Depot, *given: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            never.wait(20)
        real(self, *given)

    monkeypatch.setattr(Depot, door, hanging)
    monkeypatch.setattr(silence, "SILENT_S", 0.5)
    outcome = run(TOY, name="s", home=home, address=IN_PROCESS, tracking=False)
    never.set()
    assert outcome.status == UNREACHABLE
    assert outcome.problem.startswith(f"The storage {home.kept_at} must be reachable: it said nothing for 0.5 s while ")
    assert all(row.state not in ("failed", "preempted") for row in kept(home, "s")[0]), "it is no fault of a member"
    monkeypatch.setattr(Depot, door, real)
    assert said(resume("s", home=home, address=IN_PROCESS, tracking=False)) == said(whole)
    assert kept(home, "s") == kept(folder, "s")


# A server that speaks S3 -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3.served(monkeypatch) as address:
        yield address


@pytest.mark.cluster
def test_a_sweep_on_ray_keeps_its_files_in_a_bucket(server: str, tmp_path: Path) -> None:
    words = ["sweep", "spec.yaml", "--name", "s", "--workers", "2", "--plain", "--storage", f"s3://{s3.BUCKET}/sweeps"]
    (tmp_path / "spec.yaml").write_text(json.dumps(VAE))
    words[1] = str(tmp_path / "spec.yaml")
    done = CliRunner().invoke(app, [*words, "--home", str(tmp_path / "home")])
    assert done.exit_code == 0, done.output
    home = Home.open(tmp_path / "home", storage=f"s3://{s3.BUCKET}/sweeps")
    forgotten(home)
    assert tuple(load("s", home=home).sample(2).shape) == (2, 1, 8, 8)
    names = [path.name for path in home.depot.tree(home.storage)]
    assert names.count("weights.safetensors") >= 4 and "checkpoint.pt" not in names
    everything = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
    assert s3.SECRET.encode() not in everything + done.output.encode()


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("bucket", "must exist; it does not"),
        ("credentials", "needs credentials"),
        ("away", "must be reachable"),
        ("forbidden", "it refuses"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_a_sentence(
    fault: str, words: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{'nobody' if fault == 'bucket' else s3.BUCKET}/x"
    if fault == "credentials":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    if fault == "away":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    if fault == "forbidden":
        from s3fs import S3FileSystem

        def refused(*given: Any, **more: Any) -> None:
            raise PermissionError("Access Denied")

        monkeypatch.setattr(S3FileSystem, "pipe_file", refused)
    s3.forget()
    done = CliRunner().invoke(app, ["sweep", "toy", "--dataset", "none", "--storage", url, "--home", str(tmp_path / "home"), "--plain"])
    assert done.exit_code == (STORE_GONE if fault == "away" else MISTAKE), done.output
    assert words in " ".join(done.stderr.split()) and url in done.stderr and s3.SECRET not in done.stderr
    assert not (tmp_path / "home" / "lagrange.db").exists()
