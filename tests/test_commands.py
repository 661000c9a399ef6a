"""What the test commands promise: rows of long tables that in time are all rows, and CPU seconds that count every process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import drawn, in_turn, named

COUNT = [sys.executable, str(Path(__file__).parent / "cpu_seconds.py")]
BURN = "import time\nwhile time.process_time() < {}: pass"
linux = pytest.mark.skipif(sys.platform != "linux", reason="orphans are counted on Linux alone")


def rows(count: int, k: int, file: str = "test_a.py") -> list[Any]:
    mark = SimpleNamespace(args=(k,))
    return [
        SimpleNamespace(path=Path(file), nodeid=str(n), callspec=SimpleNamespace(id=f"row{n}"), get_closest_marker=lambda _: mark)
        for n in range(count)
    ]


@pytest.mark.parametrize(("count", "k"), [(105, 8), (4, 8), (9, 3), (1, 5)])
def test_in_k_seeds_every_row_of_a_table_has_run_once(count: int, k: int) -> None:
    table, turns = rows(count, k), min(k, count)
    first = turns * 1000
    parts = [drawn(table, seed) for seed in range(first, first + turns)]
    assert sorted(row.callspec.id for part in parts for row in part) == sorted(row.callspec.id for row in table)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_rows_depend_on_the_seed_and_not_on_the_order_of_the_table() -> None:
    table = rows(40, 4)
    chosen = [row.callspec.id for row in drawn(table, 7)]
    assert chosen == [row.callspec.id for row in drawn(table[::-1], 7)]
    assert chosen != [row.callspec.id for row in drawn(table, 11)]


SUITE = """
import pytest
@pytest.mark.sampled(4)
@pytest.mark.parametrize("n", range(12))
def test_table(n): assert n >= 0{}
"""


def suite(folder: Path, *options: str, more: str = "", file: str = "") -> str:
    """What pytest says of a table of twelve rows, or of another file."""
    (folder / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    sampled\n    turns\n    trains\n")
    (folder / "test_suite.py").write_text(f"import pytest\n{file}" if file else SUITE.format(more))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_a_run_names_its_seed_and_so_does_a_row_that_fails(tmp_path: Path) -> None:
    said = suite(tmp_path, "--sample-seed", "31", more=" and n > 99")
    assert "--sample-seed 31" in said.partition("test session starts")[2].partition("collected")[0]
    assert "3 failed, 9 deselected" in said and "drawn with --sample-seed 31" in said.partition("FAILURES")[2]


@pytest.mark.slow
def test_a_file_takes_turns_and_in_as_many_days_all_of_it_runs(tmp_path: Path) -> None:
    tests = "pytestmark = pytest.mark.turns(3)\n" + "".join(f"def test_{n}(): pass\n" for n in range(6))
    assert "2 passed, 4 deselected" in suite(tmp_path, "--sample-seed", "30", file=tests)
    assert "6 passed" in suite(tmp_path, "--whole-files", file=tests)
    table = rows(41, 3)
    days = [{item.nodeid for item in in_turn(table, seed, "file")} for seed in (30, 31, 32)]
    assert set.union(*days) == {item.nodeid for item in table} and sum(map(len, days)) == 41


@pytest.mark.parametrize(
    ("argument", "runs_whole"),
    [("tests/a/test_b.py", True), ("tests/a/test_b.py::test_c", True), ("./tests/a/test_b.py", True), ("tests/a", False), ("tests", False)],
)
def test_a_file_that_is_named_runs_whole(argument: str, runs_whole: bool) -> None:
    assert named(argument, "tests/a/test_b.py::test_c[1]") is runs_whole


@pytest.mark.slow
def test_a_table_runs_whole_where_that_is_asked_for_or_it_is_named(tmp_path: Path) -> None:
    assert "12 passed" in suite(tmp_path, "--whole-tables")
    assert "12 passed" in suite(tmp_path, "test_suite.py::test_table")
    assert "12 passed" in suite(tmp_path, "test_suite.py")
    assert "3 passed, 9 deselected" in suite(tmp_path)


def counted(*command: str) -> tuple[int, str]:
    done = subprocess.run([*COUNT, *command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@linux
def test_the_cpu_seconds_of_an_orphan_are_counted() -> None:
    """The shell has ended long before the process that it leaves behind."""
    code, said = counted("--name", "try", "sh", "-c", f"'{sys.executable}' -c '{BURN.format(1)}' & exit 3")
    found = re.search(r"CPU seconds: (\d+) of all processes, \d+ by the clock: try", said)
    assert code == 3 and found and 1 <= int(found[1]) <= 3, said


@linux
def test_what_passes_its_limit_is_ended_with_a_word() -> None:
    code, said = counted("--limit", "1", "sh", "-c", f"'{sys.executable}' -c 'while True: pass' & sleep 600")
    assert code == 1 and "STOPPED: more than the 1 CPU seconds" in said
