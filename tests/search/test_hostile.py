"""Names and paths that should lead out of a home, files that should run something when they are read, and texts that should be HTML."""

from __future__ import annotations

import os
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.errors import InfraError
from infra.storage import Home, sweep_name
from objectives.base import ObjectiveError
from search.cli import app
from search.kept import short_name
from search.registering import model_name

ROOTS = [
    "..", ".", "", "/", "//", "\\", "a/b", "a\\b", "../x", "..\\x", "x/../y", "/etc/passwd", "~", "~root", "C:",
    "C:\\x", "\\\\host\\share", "file:///x", "con", "CON", "nul", "NUL.txt", "aux", "prn.json", "com1", "LPT9", "x.",
    "x ", " x", ".x", "-x", "--help-me", "_x", "x\u0000y", "x\ny", "x\ty", "\u001b[31m", "x" * 101, "x" * 5000, "é",
    "ａ", "а", "x\u202ey", "x\u200by", "．．", "x／y", "％2e", "%2e%2e", "%00", "$HOME", "$(id)", "`id`", "a;b", "a|b",
    "a&b", "a>b", "*", "?", "[x]", "{x}", "'", '"', "' OR 1=1 --", "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "a=b", "a:b", "a@b", "a,b", "a+b", "a%b", "a#b", "💥",
    "\ud800",
]  # fmt: skip


def hostile(count: int) -> list[str]:
    """So many different names that are none: those above, and what comes of putting them together, always the same."""
    drawn, found = random.Random(0), list(dict.fromkeys(ROOTS))
    while len(found) < count:
        parts = [drawn.choice(ROOTS) for _ in range(drawn.randint(2, 4))]
        name = drawn.choice(["", "/", "-", ".."]).join(parts)[:300]
        if name not in found and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}[A-Za-z0-9_-]?", name):
            found.append(name)
    return found


NAMES = hostile(500)


def test_500_names_that_are_none_become_no_path(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    assert len(NAMES) == 500
    for name in NAMES:
        with pytest.raises(InfraError, match="A sweep's name starts with"):
            sweep_name(name)
        for path in (home.member, home.checkpoint, home.weights, home.picture, home.own, home.sheets):
            with pytest.raises(InfraError):
                path(name, 1)
        for whole in (home.reports, home.remove_sweep):
            with pytest.raises(InfraError):
                whole(name)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_made_of_a_spec_are_names() -> None:
    """A sweep is named after its objective and data, a registered model and a cached classifier, too."""
    from objectives.features import _trained

    for name in NAMES:
        row: Any = SimpleNamespace(objective=f"{name}:train", model=name, dataset=f"../{name}.py:images")
        assert re.fullmatch(r"[\w.-]+", model_name(row))
        images: Any = SimpleNamespace(record={"name": name, "source_sha256": "0"}, shape=(1, 8, 8), classes=2)
        key = _trained._key(images, None)  # type: ignore[arg-type]
        assert re.fullmatch(r"[\w-]+", key) and len(key) < 100
        try:
            sweep_name(short_name(name))
        except InfraError as error:
            assert len(str(error)) < 500


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "command",
    [
        ("show",), ("resume",), ("rm", "--yes"), ("export",), ("report",), ("watch",), ("register",), ("train",), ("compare", "x"), ("ui",),
        ("sweep", "toy", "--dry-run", "--name"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_commands_answer_such_names_in_a_sentence_and_write_nothing(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sample = random.Random(command[0]).sample([name for name in NAMES if not name.startswith("-")], 6)
    for name in ["../x", "\ud800", "x\0y", *sample]:
        found = CliRunner().invoke(app, [*command, name, "--home", str(tmp_path / "home")])
        assert found.exit_code in (1, 2), (name, found.output)
        assert "Traceback" not in found.output and "fault of Lagrange" not in found.output, (name, found.output)
        assert list(tmp_path.iterdir()) == [], name


# What is read ---------------------------------------------------------------------------------------------------------------------------


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def _torch_file(bomb: Any, path: Path) -> None:
    import torch

    torch.save({"epoch": 1, "thetas": bomb}, path)


def _checkpoint(path: Path, bomb: Any) -> None:
    from objectives.training import checkpoint

    _torch_file(bomb, path)
    checkpoint.read(path, "cpu")


def _function(path: Path, bomb: Any) -> None:
    from objectives.programs.keeping import read_checkpoint

    path.write_bytes(pickle.dumps({"epoch": bomb}))
    read_checkpoint(path)


def _function_with_tensors(path: Path, bomb: Any) -> None:
    from objectives.programs.keeping import read_checkpoint

    _torch_file(bomb, path)
    read_checkpoint(path)


def _weights(path: Path, bomb: Any) -> None:
    from objectives.training.checkpoint import read_weights

    path.write_bytes(pickle.dumps(bomb))
    read_weights(path)


def _features(path: Path, bomb: Any) -> None:
    from objectives.features import inception

    _torch_file(bomb, path)
    inception._read(path)


def _array(path: Path, bomb: Any) -> None:
    import numpy as np

    from objectives.data import array_file

    with path.open("wb") as file:
        np.save(file, np.array([bomb], dtype=object), allow_pickle=True)
    array_file._read(path, "images")


def _cifar(path: Path, bomb: Any) -> None:
    from objectives.data import cifar10

    path.write_bytes(pickle.dumps({"data": bomb, "labels": [1]}))
    cifar10._batch(path)


@pytest.mark.parametrize("store", [_checkpoint, _function, _function_with_tensors, _weights, _features, _array, _cifar])
def test_a_pickle_that_runs_something_runs_nothing(store: Callable[[Path, Any], None], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists(), "the bomb works"
    mark.rmdir()
    with pytest.raises((ObjectiveError, pickle.UnpicklingError)) as found:
        store(tmp_path / "file.npy", Bomb(mark))
    assert not mark.exists()
    assert str(found.value)


def test_a_cached_classifier_that_is_none_is_trained_again(tmp_path: Path) -> None:
    from objectives.features import _trained

    mark, path = tmp_path / "mark", tmp_path / "features.safetensors"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    images: Any = SimpleNamespace(classes=2, shape=(1, 8, 8))
    assert _trained._read(path, images, None) is None  # type: ignore[arg-type]
    assert not mark.exists()


def test_a_spool_and_a_catalogue_hold_text_alone(tmp_path: Path) -> None:
    from infra.catalogue import decode
    from infra.tracking.spool import Spool

    mark = tmp_path / "mark"
    path = tmp_path / "spool" / "s.jsonl"
    path.parent.mkdir()
    lines = [pickle.dumps(Bomb(mark)).replace(b"\n", b""), b"[1]", b'"x"', b"[" * 5000, b"{}", b'{"kind": 3}', b'{"kind": "log", "run": 0}']
    path.write_bytes(b"\n".join(lines) + b"\n")
    path.with_suffix(".progress").write_text('{"sent": "many"}')
    records, offset = Spool(path).read()
    assert records == [{"kind": "log", "run": 0}]
    assert offset == path.stat().st_size
    path.with_suffix(".progress").write_text("[1]")
    assert Spool(path).sent == 0
    for text in ("gASVIAAA", "[" * 100_000, "nan nan"):
        with pytest.raises((ValueError, RecursionError)):
            decode(text)
    assert not mark.exists()


# What is shown --------------------------------------------------------------------------------------------------------------------------

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def test_a_report_shows_text_as_text() -> None:
    """A member's config holds choices of a user's, which stand in the report as text and as data of its plots."""
    from search.telling.files import report

    assert "<" not in report._said(SCRIPT)
    assert "<" not in report._json({"name": SCRIPT, SCRIPT: ["<!--", SCRIPT]})


def test_a_description_in_mlflow_shows_text_as_text() -> None:
    from search.telling.mlflow.portrait import plain

    for text in (SCRIPT, "[x](javascript:alert(1))", "![x](http://evil/x.png)", "a|b\nc", "`x`", "~~x~~", "<b>"):
        told = plain(text)
        assert not re.search(r"(?<!\\)[<\[`|*_~]", told) and "\n" not in told
