"""What of a user's folder goes to the nodes: what a spec names, what that imports, and never a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from infra.ray import shipping
from infra.ray.shipping import command_words, in_job, parcel, staged

FILES = {
    "mine.py": "import os, helper\nfrom pkg.sub import deep\nimport numpy\n",
    "helper.py": "import importlib\nx = importlib.import_module('late')\n",
    "late.py": "",
    "unused.py": "",
    "pkg/__init__.py": "from . import beside\n",
    "pkg/beside.py": "from .sub.deep import y\n",
    "pkg/unused.py": "",
    "pkg/sub/__init__.py": "",
    "pkg/sub/deep.py": "from ..beside import z\n",
    "scripts/train.py": "import near\nimport mine\n",
    "scripts/near.py": "",
    "configs/a.yaml": "lr: 1",
    "run.sh": "echo",
    "broken.py": "def (",
    "search/__init__.py": "",
    "ours.py": "import search, objectives.base\n",
    "tool/__main__.py": "import late\n",
    "tool/__init__.py": "",
    ".env": "SECRET=1",
    ".git/config": "url",
    "mlflow_runs/lagrange.db": "rows",
    "data/images.npz": "numbers",
    "id.pem": "key",
}
MINE = {"mine.py", "helper.py", "late.py", "pkg/__init__.py", "pkg/beside.py", "pkg/sub/__init__.py", "pkg/sub/deep.py"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        ({"objective": "vae", "dataset": {"name": "digits"}}, set()),
        ({"objective": "mine:Mine"}, MINE),
        ({"objective": "mine.py"}, MINE),
        ({"objective": "mine.py:train"}, MINE),
        ({"objective": "vae", "model": "pkg.sub.deep:net"}, MINE - {"mine.py", "helper.py", "late.py"}),
        ({"objective": "vae", "dataset": {"name": "helper:images"}}, {"helper.py", "late.py"}),
        ({"objective": "vae", "sampler": {"name": "late:Mine", "n": 1}}, {"late.py"}),
        ({"objective": "scripts/train.py:f"}, {"scripts/train.py", "scripts/near.py", *MINE}),
        ({"objective": "command", "command": "python scripts/train.py --c=configs/a.yaml --lr {lr} --data data"}, None),
        ({"objective": "command", "command": ["bash", "-c", "python late.py; ./run.sh"]}, {"run.sh"}),
        ({"objective": "command", "command": "python -m tool --lr {lr}"}, {"tool/__main__.py", "tool/__init__.py", "late.py"}),
        ({"objective": "command", "command": "cat .env mlflow_runs/lagrange.db id.pem .git/config"}, set()),
        ({"objective": "broken:x"}, {"broken.py"}),
        ({"objective": "ours:x"}, {"ours.py"}),
        ({"objective": "torch.nn:Linear", "dataset": {"root": "data"}}, set()),
    ],
)
def test_a_spec_ships_what_it_names_and_what_that_imports(folder: Path, spec: dict[str, Any], files: set[str] | None) -> None:
    expected = {"scripts/train.py", "scripts/near.py", "configs/a.yaml", *MINE} if files is None else files
    assert {str(place) for place in parcel(folder, [spec]).files} == expected


def test_what_is_staged_is_these_files_and_nothing_else(folder: Path) -> None:
    with staged(parcel(folder, [{"objective": "pkg.sub.deep:x"}, {"objective": "late:y"}])) as there:
        found = {path.relative_to(there).as_posix(): path.read_text() for path in there.rglob("*") if path.is_file()}
    assert found == {
        name: FILES[name] for name in ("late.py", "pkg/__init__.py", "pkg/beside.py", "pkg/sub/__init__.py", "pkg/sub/deep.py")
    }
    assert not there.exists()


def test_what_stays_is_named_with_its_reason(folder: Path) -> None:
    spec = {"objective": "command", "command": "python late.py --env .env ../outside.py"}
    (folder.parent / "outside.py").write_text("")
    found = parcel(folder, [spec])
    assert set(map(str, found.files)) == {"late.py"}
    assert "never shipped" in found.left[".env"] and "outside the current folder" in found.left["../outside.py"]


@pytest.mark.parametrize(
    ("given", "words"),
    [("nothing.txt", "must be a file"), ("data", "must be a file"), (".env", "cannot be shipped"), ("id.pem", "cannot be")],
)
def test_what_is_included_by_hand_is_a_file_that_may_be_shipped(folder: Path, given: str, words: str) -> None:
    with pytest.raises(InfraError, match=words):
        parcel(folder, [], include=[given])
    assert {str(place) for place in parcel(folder, [], include=["data/images.npz"]).files} == {"data/images.npz"}


def test_too_much_is_refused_with_what_is_largest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MOST_MB", 1)
    (folder / "late.py").write_text("#" * 1_500_000)
    with pytest.raises(InfraError, match=r"at most 1 MB together.* 2 MB. The largest: late.py \(2 MB\)"):
        parcel(folder, [{"objective": "mine:Mine"}])


@pytest.mark.parametrize(
    ("command", "words"),
    [(None, []), ("a 'b c'", ["a", "b", "c"]), (["a b", "c"], ["a", "b", "c"]), ("it's", ["it's"]), (["x", 3], ["x", "3"])],
)
def test_the_words_of_a_command(command: Any, words: list[str]) -> None:
    assert command_words(command) == words


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        (None, False),
        ("no json", False),
        ("{}", False),
        ({"runtime_env": {}}, False),
        ({"runtime_env": {"working_dir": "gcs://a.zip"}}, True),
    ],
)
def test_a_job_that_came_with_a_package_ships_nothing_itself(monkeypatch: pytest.MonkeyPatch, config: Any, answer: bool) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    if config is not None:
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", config if isinstance(config, str) else json.dumps(config))
    assert in_job() is answer
