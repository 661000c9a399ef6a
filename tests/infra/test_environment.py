"""Secrets from a file: what a line may be, and that no message holds one."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.environment import load, parsed
from infra.errors import InfraError

TEXT = """
# the stores
LAGRANGE_CATALOGUE_URL=postgresql+psycopg://u:p=w#1@h/d?a=b
export MLFLOW_TRACKING_PASSWORD='quoted "secret"'
  EMPTY =
UNCLOSED="half
"""


def test_lines_are_read_as_a_shell_would_without_running_anything() -> None:
    assert parsed(TEXT, "f") == {
        "LAGRANGE_CATALOGUE_URL": "postgresql+psycopg://u:p=w#1@h/d?a=b",
        "MLFLOW_TRACKING_PASSWORD": 'quoted "secret"',
        "EMPTY": "",
        "UNCLOSED": '"half',
    }
    assert parsed("A=$(rm -rf /) `b` $HOME", "f") == {"A": "$(rm -rf /) `b` $HOME"}


def test_faulty_lines_are_named_by_number_and_never_shown() -> None:
    with pytest.raises(InfraError, match=r"line 1, 3 is not") as caught:
        parsed("secret\nA=1\n1B=secret\n", "f")
    assert "secret" not in str(caught.value)


def test_a_file_comes_before_the_environment_and_others_should_not_read_it(tmp_path: Path) -> None:
    file, told = tmp_path / "env", list[str]()
    file.write_text("A=new\n")
    environment = {"A": "old", "B": "kept"}
    file.chmod(0o600)
    load(str(file), told.append, environment)
    assert environment == {"A": "new", "B": "kept"} and not told
    file.chmod(0o644)
    load(str(file), told.append, environment)
    assert len(told) == 1 and "chmod 600" in told[0]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, words in (("nothing", "No such file"), ("binary", "it is no text"), (".", "directory")):
        with pytest.raises(InfraError, match=words):
            load(str(tmp_path / name), print, {})
