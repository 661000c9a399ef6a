"""What ran, without naming a person, a folder or a machine."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra import provenance


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=folder, check=True, capture_output=True)


def test_outside_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = provenance.collect()
    assert found["git_commit"] is None and found["git_dirty"] is None


def test_a_changed_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a"
    file.write_text("1")
    _git(tmp_path, "init")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-m", "x")
    (tmp_path / "untracked").write_text("a run's own output")
    clean = provenance.collect()
    file.write_text("2")
    dirty = provenance.collect()
    assert len(clean["git_commit"]) == 40 and clean["git_commit"] == dirty["git_commit"]
    assert (clean["git_dirty"], dirty["git_dirty"]) == (False, True)


def test_without_git_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = provenance.collect()
    assert found["git_commit"] is None and found["packages"]["numpy"] and found["python"] == platform.python_version()


def test_the_command_line_has_no_password_and_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://ann:s3cr3t@db/x"
    monkeypatch.setattr(sys, "argv", ["/home/ann/bin/lagrange", "sweep", "/home/ann/spec.yaml", "--catalogue", url, "--password", "s3cr3t"])
    assert provenance.collect()["command"] == "lagrange sweep spec.yaml --catalogue postgresql://ann:***@db/x --password ***"


def test_it_is_plain_data_that_names_nobody() -> None:
    text = json.dumps(provenance.collect())
    assert socket.gethostname() not in text.replace(platform.machine(), "") or len(socket.gethostname()) < 4
    assert (str(Path.cwd()) not in text and str(Path.home()) not in text.replace('"/', "")) or os.getuid() == 0


def test_it_imports_no_package() -> None:
    code = "import sys; from infra import provenance; provenance.collect(); print({'torch', 'ray', 'mlflow', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
