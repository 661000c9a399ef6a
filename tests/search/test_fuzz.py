"""Whatever a spec, a command line, a row, a checkpoint or a spool holds: a sentence, and nothing half-made.

Each test runs some examples in the default suite, and with `--whole-tables` (`make test-all`) so many that they are 100,000 together.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.storage import Home
from infra.tracking.spool import Spool
from objectives.base import ObjectiveError
from search.cli import app
from search.errors import SpecError
from search.spec.keys import Spec
from search.spec.reading import expand
from search.spec.text import presets, read_yaml

pytestmark = pytest.mark.turns(3)

WORDS = [
    *Spec.model_fields,
    "toy",
    "vae",
    "gan",
    "digits",
    "l2",
    "beta",
    "lr",
    "auto",
    "tpe",
    "asha",
    "none",
    "off",
    "low",
    "name",
    "choices",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from([*WORDS, "", "a:b", "a.py:b", "../x.py", "effect ± 0.1", ">= 5", "0.05 val_nll_nats", "1e400", "\0", "x" * 300]),
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=6), inner, max_size=4)),
    max_leaves=8,
)
BASES = [
    {"objective": "toy", "search": {"l2": {}}},
    {"objective": "vae", "dataset": "digits", "search": {"beta": {"low": 0.1}, "lr": {}}, "budget": {"trials": 8, "epochs": 2}},
    {"objective": "gan", "model": "mlp400"},
    {
        "command": "true --b {b} --seed {seed}",
        "knobs": {"b": {"low": 0, "high": 1, "off": 0}},
        "score": {"name": "x"},
        "read": {"lines": "x=(?P<x>.*)"},
    },
    *(read_yaml(path) for path in presets().values()),
]


def examples(share: int) -> Any:
    """So many of the 100,000 examples in `make test-all`, a thousandth of them otherwise."""
    count = share if os.environ.get("LAGRANGE_WHOLE_TABLES") else max(15, share // 1000)
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found)
        yield found


@st.composite
def mappings(draw: Any) -> dict[str, Any]:
    """A spec in which some values are replaced by others, added or taken away."""
    found = json.loads(json.dumps(draw(st.sampled_from(BASES))))
    for _ in range(draw(st.integers(1, 3))):
        here: Any = found
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key: Any = draw(st.sampled_from([*keys, *WORDS]) if isinstance(here, dict) else st.sampled_from(keys)) if keys else None
            below = here[key] if key in keys and not isinstance(here, str) else None
            if not isinstance(below, dict | list) or not below or draw(st.booleans()):
                break
            here = below
        if key is None:
            continue
        if draw(st.integers(0, 5)) == 0 and key in keys:
            del here[key]
        else:
            here[key] = draw(PLAIN)
    return found


@examples(40_000)
@given(
    given=mappings(),
    overrides=st.lists(st.builds("{}={}".format, st.sampled_from(WORDS) | st.text(max_size=10), st.text(max_size=10)), max_size=1),
)
def test_a_spec_is_resolved_or_its_faults_are_said(folder: Path, given: dict[str, Any], overrides: list[str]) -> None:
    try:
        assert expand(given, overrides)
    except SpecError as error:
        assert error.faults and all(isinstance(fault, str) and fault for fault in error.faults)
    assert list(folder.iterdir()) == []


COMMANDS = [
    "sweep",
    "show",
    "ls",
    "best",
    "resume",
    "report",
    "compare",
    "rm",
    "export",
    "knobs",
    "models",
    "samplers",
    "convert",
    "register",
]
OPTIONS = [
    "--home",
    "--trials",
    "--set",
    "--name",
    "--json",
    "--arm",
    "--all",
    "-o",
    "--until",
    "--prior",
    "--from",
    "--to",
    "--yes",
    "--",
    "-h",
]
LINES = st.tuples(
    st.sampled_from(COMMANDS),
    st.lists(st.sampled_from([*OPTIONS, "toy", "s", "s/1", "l2", "tpe", "seed=1", "search={}"]) | st.text(max_size=8), max_size=5),
)


@pytest.mark.trains
@examples(5_000)
@given(line=LINES)
def test_a_command_line_is_answered(folder: Path, line: tuple[str, list[str]]) -> None:
    """The home is that of the folder, and holds nothing; a sweep is only asked what it would do."""
    command, words = line
    found = CliRunner().invoke(app, [command, *["toy", "--dry-run"] * (command == "sweep"), *words])
    assert found.exit_code in (0, 1, 2), found.output
    assert "Traceback" not in found.output and "fault of Lagrange" not in found.output, found.output
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def catalogue(folder: Path) -> Iterator[Callable[[str, str, Any], Home]]:
    """Changes one value of a catalogue with a complete sweep."""
    from search.running.where import IN_PROCESS
    from search.sweep import run

    home = Home.open(folder / "home")
    run(
        {**BASES[0], "budget": {"trials": 4, "epochs": 2}, "confirm": {"configs": 2, "seeds": 2}},
        name="s",
        home=home,
        address=IN_PROCESS,
        tracking=False,
    )
    database = home.root / "lagrange.db"
    with sqlite3.connect(database) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    kept = database.read_bytes()

    def changed(table: str, column: str, value: Any) -> Home:
        for path in home.root.glob("lagrange.db*"):
            path.unlink()
        database.write_bytes(kept)
        with sqlite3.connect(database) as connection, suppress(sqlite3.IntegrityError, OverflowError, sqlite3.InterfaceError):
            connection.execute(f"update {table} set {column} = ?", (value,))
        connection.close()
        return home

    yield changed
    shutil.rmtree(home.root, ignore_errors=True)


COLUMNS = {
    "sweeps": [
        "spec",
        "answer",
        "facts",
        "provenance",
        "candidates",
        "status",
        "objective",
        "model",
        "dataset",
        "created",
        "lock_heartbeat",
    ],
    "members": [
        "config",
        "metrics",
        "facts",
        "state",
        "score",
        "rung_score",
        "seed",
        "epochs",
        "phase",
        "arm",
        "schedule",
        "parent",
        "created",
    ],
    "reports": ["epoch", "rung_score", "metrics"],
}
CELLS = st.sampled_from([(table, column) for table, columns in COLUMNS.items() for column in columns])
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    PLAIN.map(lambda one: json.dumps(one)),
)


@pytest.mark.trains
@examples(3_000)
@given(cell=CELLS, value=VALUES, command=st.sampled_from(["ls", "show", "best", "export", "report", "compare"]))
def test_a_row_that_was_changed_is_told_or_refused(catalogue: Any, cell: tuple[str, str], value: Any, command: str) -> None:
    home = catalogue(*cell, value)
    before = (home.root / "lagrange.db").read_bytes()
    names = {"ls": [], "best": [], "compare": ["s", "s"]}.get(command, ["s"])
    found = CliRunner().invoke(app, [command, *names, "--home", str(home.root)])
    assert found.exit_code in (0, 1, 2)
    assert "Traceback" not in found.output
    assert (home.root / "lagrange.db").read_bytes() == before, "to look changes nothing"


@examples(22_000)
@given(given=st.binary(max_size=200), place=st.floats(0, 1), cut=st.booleans(), torchs=st.booleans())
def test_a_checkpoint_that_was_changed_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, given: bytes, place: float, cut: bool, torchs: bool
) -> None:
    from objectives.programs.keeping import read_checkpoint
    from objectives.training import checkpoint

    path = tmp_path_factory.getbasetemp() / "fuzzed.pt"
    whole = _torch() if torchs else pickle.dumps({"epoch": 1, "w": [1.0, "x"]})
    at = math.floor(place * len(whole))
    path.write_bytes(whole[:at] + given + (b"" if cut else whole[at + len(given) :]))
    for take in (lambda: checkpoint.read(path, "cpu"), lambda: read_checkpoint(path)):
        try:
            take()
        except ObjectiveError as error:
            assert "must be a checkpoint" in str(error)


_TORCH: list[bytes] = []


def _torch() -> bytes:
    if not _TORCH:
        import io

        import torch

        into = io.BytesIO()
        torch.save({"epoch": 1, "thetas": {"p": torch.zeros(3)}, "steps": [1]}, into)
        _TORCH.append(into.getvalue())
    return _TORCH[0]


@examples(30_000)
@given(
    lines=st.lists(st.binary(max_size=60) | PLAIN.map(lambda one: json.dumps(one).encode()), max_size=5),
    progress=st.none() | PLAIN | st.binary(max_size=20),
)
def test_a_spool_that_was_changed_gives_records_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], progress: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "spool" / "s.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\n".join(lines))
    told = path.with_suffix(".progress")
    if progress is None:
        told.unlink(missing_ok=True)
    else:
        told.write_bytes(progress if isinstance(progress, bytes) else json.dumps(progress).encode())
    spool = Spool(path)
    spool.append({"kind": "end", "run": 1})
    records, offset = spool.read()
    assert all(isinstance(one["kind"], str) for one in records)
    assert spool.sent <= offset <= path.stat().st_size
    if spool.sent == 0:
        assert records[-1] == {"kind": "end", "run": 1}, "what is said after that is not lost"
    spool.remove()
