"""Paths, URLs, and passwords that are kept nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import InfraError
from infra.storage import Home, hidden_in, ready, replaced, sqlite_path, sqlite_url, strip_address, strip_password, strip_passwords

SECRET = "s3cr3t"
VARIABLES = ("LAGRANGE_HOME", "LAGRANGE_CATALOGUE_URL", "LAGRANGE_TRACKING_URI", "LAGRANGE_OPTUNA_URL", "LAGRANGE_STORAGE")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"postgresql+psycopg://ann:{SECRET}@db/lagrange", "postgresql+psycopg://ann:***@db/lagrange"),
        (f"postgresql://ann:{SECRET}/with@signs?#@db/x", "postgresql://ann:***@db/x"),
        (f"postgresql://ann:a b {SECRET}@db/x", "postgresql://ann:***@db/x"),
        (f"redis://:{SECRET}@cache", "redis://:***@cache"),
        (f"https://ann:{SECRET}@mlflow:5000/a", "https://***@mlflow:5000/a"),
        (f"https://{SECRET}@git.example/a.git", "https://***@git.example/a.git"),
        (f"postgresql://db/x?user=ann&password={SECRET}&sslmode=require", "postgresql://db/x?user=ann&password=***&sslmode=require"),
        (f"host=db password='{SECRET} two' dbname=x", "host=db password=*** dbname=x"),
        (f"lagrange sweep --db-password {SECRET} --seed 3", "lagrange sweep --db-password *** --seed 3"),
        (f"lagrange sweep --api-key={SECRET} x", "lagrange sweep --api-key=*** x"),
        (f"first pg://a:{SECRET}@b, then http://c:{SECRET}@d/e", "first pg://a:***@b, then http://***@d/e"),
    ],
)
def test_a_password_is_masked_and_the_rest_is_left(text: str, shown: str) -> None:
    assert strip_password(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/x/lagrange.db",
        "http://127.0.0.1:5000",
        "https://host:8080/path?mail=a@b.c",
        "val_nll_nats=103.2 at epoch 5",
        "mail a@b.c about s3://bucket/key",
        "",
    ],
)
def test_text_without_a_password_is_left_alone(text: str) -> None:
    assert strip_password(text) == text


_WORD = st.text(st.characters(blacklist_categories=("Z", "C"), blacklist_characters=""), min_size=6, max_size=20)


@given(password=_WORD, user=st.from_regex(r"[a-z]{0,8}", fullmatch=True), before=st.sampled_from(["", "cannot open ", "url='"]))
def test_no_password_of_a_database_survives(password: str, user: str, before: str) -> None:
    shown = strip_password(f"{before}postgresql+psycopg://{user}:§{password}§@db.example/lagrange")
    assert f"§{password}§" not in shown
    assert "db.example/lagrange" in shown
    assert strip_password(shown) == shown


@given(
    password=_WORD.filter(lambda word: not set("&'\"") & set(word)), key=st.sampled_from(["password", "PASSWORD", "sslpassword", "token"])
)
def test_no_password_of_a_query_survives(password: str, key: str) -> None:
    shown = strip_password(f"postgresql://db/x?{key}=§{password}§&connect_timeout=3")
    assert f"§{password}§" not in shown
    assert shown.endswith("&connect_timeout=3")


def test_plain_data_is_masked_at_any_depth() -> None:
    data = {"urls": [f"pg://a:{SECRET}@b", ("x", 1)], "password": SECRET, "token_count": 3, "deep": {"mlflow_token": SECRET}}
    assert strip_passwords(data) == {
        "urls": ["pg://a:***@b", ["x", 1]],
        "password": "***",
        "token_count": 3,
        "deep": {"mlflow_token": "***"},
    }


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (f"ann:{SECRET}@db:5432/x", "***@db:5432/x"),
        (f"ann:p@{SECRET}/w@127.0.0.1:6379", "***@127.0.0.1:6379"),
        (f"postgresql://ann:{SECRET}@db/x", "postgresql://ann:***@db/x"),
        ("head:6379", "head:6379"),
    ],
)
def test_an_address_whose_scheme_was_forgotten_shows_no_password(given: str, shown: str) -> None:
    assert strip_address(given) == shown


@pytest.mark.parametrize(
    ("url", "said", "shown"),
    [
        (f"postgresql://ann:p@{SECRET}/w@db/x", f"failed to resolve host '{SECRET}'", "failed to resolve host '***'"),
        (f"postgresql://ann:a/{SECRET}@db/x", f"no database {SECRET}", "no database ***"),
        ("postgresql://ann:s%403cret@db/x", "login of ann with s@3cret failed", "login of ann with *** failed"),
        (f"ann:{SECRET}@db", f"cannot read {SECRET}@db", "cannot read ***@db"),
        ("postgresql://ann@db/x", "no ann at db", "no ann at db"),
        ("sqlite:////home/x.db", "x.db is locked", "x.db is locked"),
    ],
)
def test_an_error_of_a_store_does_not_tell_what_its_url_hides(url: str, said: str, shown: str) -> None:
    """A password with an `@` in it, not written as %40, is taken for the name of the host."""
    assert hidden_in(said, url) == shown


@pytest.mark.parametrize("protocol", ["http", "https", "webdav", "s3"])
def test_what_stands_before_the_host_of_a_storage_may_be_a_token(protocol: str, tmp_path: Path) -> None:
    """It would be stored with the sweep, and stored without it would lead nowhere."""
    with pytest.raises(InfraError, match="without user, password, key or query") as caught:
        Home.open(tmp_path, storage=f"{protocol}://{SECRET}@host/x")
    assert SECRET not in str(caught.value)


def test_the_default_home_is_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home.open()
    assert home.root == tmp_path / "mlflow_runs"
    assert home.catalogue_url == f"sqlite:///{tmp_path}/mlflow_runs/lagrange.db"
    assert len({home.catalogue_url, home.tracking_uri, home.optuna_url}) == 3  # MLflow and Optuna cannot share a database
    assert home.weights("vae", 7).is_absolute()
    assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind


def test_arguments_win_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAGRANGE_HOME", "elsewhere")
    monkeypatch.setenv("LAGRANGE_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("LAGRANGE_STORAGE", str(tmp_path / "shared"))
    home = Home.open(catalogue_url="sqlite:///other.db")
    assert home.root == tmp_path / "elsewhere"
    assert home.tracking_uri == "http://mlflow:5000"
    assert home.catalogue_url == f"sqlite:///{tmp_path}/other.db"
    assert home.checkpoint("a", 3).is_relative_to(tmp_path / "shared" / "a")
    assert Home.open("here", tracking_uri="http://b").tracking_uri == "http://b"


def test_members_and_sweeps_have_paths_of_their_own(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    paths = [path(sweep, number) for path in (home.checkpoint, home.weights, home.picture) for sweep in ("a", "b") for number in (1, 2)]
    assert len(set(paths)) == len(paths)


def test_removing_a_sweep_leaves_its_neighbours(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    files = [[home.weights(name, 1), home.reports(name) / "answer.json", home.spool / f"{name}.jsonl"] for name in ("a", "ab")]
    for file in files[0] + files[1]:
        ready(file).write_text("x")
    home.remove_sweep("a")
    assert [file.exists() for file in files[0]] == [False] * 3
    assert [file.exists() for file in files[1]] == [True] * 3
    home.remove_sweep("a")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a b", "-rf", "é", "x" * 101, "a\n"])
def test_a_name_that_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="name"):
        Home.open(tmp_path).remove_sweep(name)


def test_a_home_that_breaks_urls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="must not hold"):
        Home.open(tmp_path / "what?")


def test_a_file_of_sqlite_has_one_url_on_every_system() -> None:
    """SQLAlchemy and MLflow read a Windows drive behind three slashes."""
    assert sqlite_url(PureWindowsPath(r"C:\Users\ann\mlflow.db")) == "sqlite:///C:/Users/ann/mlflow.db"
    assert sqlite_url(PurePosixPath("/home/ann/mlflow.db")) == "sqlite:////home/ann/mlflow.db"
    for url in ("sqlite:///C:/Users/ann/mlflow.db", "sqlite:////home/ann/mlflow.db"):
        assert sqlite_path(url) == Path(url.removeprefix("sqlite:///")) == Path(str(sa.make_url(url).database))
        assert strip_password(url) == url


def test_a_url_of_sqlite_is_made_absolute_and_keeps_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = Home.open(catalogue_url="sqlite+pysqlite:///sql?timeout=3").catalogue_url
    assert given == f"sqlite+pysqlite:///{tmp_path.as_posix()}/sql?timeout=3"
    assert Home.open(tracking_uri="sqlite:///:memory:").tracking_uri == "sqlite:///:memory:"


# --- a file whole or not at all


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "curve.png"
    for text in ("one", "two"):
        with replaced(file) as beside:
            beside.write_text(text)
            assert beside.suffix == ".png"  # what draws pictures goes by the suffix
            assert not file.exists() or file.read_text() == "one"
        assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_write_that_fails_leaves_what_was_there(before: str | None, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    if before is not None:
        file.write_text(before)
    with pytest.raises(ZeroDivisionError), replaced(file) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert [path.read_text() for path in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_file_that_is_being_read_is_replaced_in_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to replace an open file."""
    file, refusals, real = tmp_path / "a.json", [PermissionError(13, "open")] * 2, Path.replace

    def replace(path: Path, target: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with replaced(file) as beside:
        beside.write_text("new")
    assert not refusals and file.read_text() == "new"
    refusals += [PermissionError(13, "open")] * 9
    with pytest.raises(PermissionError), replaced(file) as beside:
        beside.write_text("newer")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with replaced(file) as first, replaced(file) as second:
        first.write_text("first")
        second.write_text("second")
    assert file.read_text() == "first"  # it ended last
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_made_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InfraError, match="must be writable"):
        ready(tmp_path / "file" / "a" / "b")


def test_light_modules_load_no_heavy_library() -> None:
    code = "import sys, infra.storage, infra.tracking, infra.provenance; print({'mlflow', 'sqlalchemy', 'torch', 'ray'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_a_file_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "file" / "x.html", "must be writable"), (Path("/proc/x.html"), "new files")):
        if path.parts[:2] == ("/", "proc") and not Path("/proc/self").exists():
            continue
        with pytest.raises(InfraError, match=said), replaced(path) as beside:
            beside.write_text("text")


@pytest.mark.skipif(os.name == "nt", reason="pipes are files of Unix")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """In a container, where everybody is root, `export -o /dev/null` took the device away."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null"), Path("/dev/stdout"), Path("/dev/fd/1")):
        with pytest.raises(InfraError, match="is a device or a pipe"), replaced(path) as beside:
            pytest.fail(f"{beside} would take the place of {path}")
    assert (tmp_path / "pipe").is_fifo() and Path("/dev/null").is_char_device()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_text("theirs")
    with replaced(tmp_path / "link") as beside:
        beside.write_text("ours")
    assert (tmp_path / "file").read_text() == "theirs", "a link in a home leads nowhere else"


@pytest.mark.parametrize("port", ["abc", "99999", "0", "-1", "65536"])
@pytest.mark.parametrize("url", ["postgresql+psycopg://u@h:{}/d", "http://h:{}", "https://u:p@[::1]:{}/x"])
def test_a_port_that_can_be_none_is_named_before_anybody_is_asked(url: str, port: str) -> None:
    for option in ("catalogue_url", "tracking_uri") if not url.startswith("https") else ("tracking_uri",):
        with pytest.raises(InfraError, match="port in a URL is a number from 1 to 65535"):
            Home.open("home", **{option: url.format(port)})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p/a:b?c#d@h/d",
        "postgresql://u:p@h:5432/d?options=-csearch_path%3Da:b",
        "postgresql:///d?host=/var/run",
        "postgresql://h1:1,h2:2/d",
        "postgresql://[::1]/d",
        "postgresql://[::1]:5432/d",
        "sqlite:////a@b:c/x.db",
        "postgresql://h/d",
    ],
)
def test_what_only_looks_like_a_port_is_left_alone(url: str) -> None:
    assert Home.open("home", catalogue_url=url).catalogue_url == url
