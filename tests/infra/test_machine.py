"""What differs between operating systems: what is there works, and what is missing is gone around."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import psutil
import pytest

from infra import machine


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


# --- processors


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to processors")
def test_only_processors_that_this_process_may_use_count() -> None:
    one = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    assert _python(f"import os; from infra.machine import cores; {one}; print(cores())") == "1"


def test_a_newer_python_is_asked_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    assert machine.cores() == 3


@pytest.mark.parametrize(("counted", "expected"), [(6, 6), (None, 1)])
def test_where_nobody_can_be_bound_all_processors_count(counted: int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("process_cpu_count", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert machine.cores() == expected


# --- memory


def test_a_process_over_its_limit_fails_by_itself() -> None:
    code = """
from infra.machine import limit_memory
limited = limit_memory(0.5)
try:
    bytearray(2**30)
    print(limited, "taken")
except MemoryError:
    print(limited, "refused")
"""
    assert _python(code) == ("True refused" if sys.platform.startswith("linux") else "False taken")


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_where_a_limit_has_no_effect_nobody_is_told_that_it_has(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert machine.limit_memory(2.0**20) is False


def test_without_the_module_of_limits_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.limit_memory(2.0**20) is False


def test_glibc_takes_both_options() -> None:
    assert _python("from infra.machine import return_memory; print(return_memory())") == str(platform.libc_ver()[0] == "glibc")


@pytest.mark.parametrize("missing", ["library (Windows)", "library", "function"])
def test_another_allocator_is_left_alone(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def library(_: object) -> Any:
        if missing == "library (Windows)":
            raise TypeError("LoadLibrary() argument 1 must be str, not None")
        if missing == "library":
            raise OSError("there is none")
        return object()

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert machine.return_memory() is False


# --- processes


@pytest.mark.parametrize("groups", [True, False])
def test_a_process_ends_with_its_children(groups: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not groups:
        monkeypatch.delattr(os, "killpg", raising=False)
    child = "import time; time.sleep(600)"
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid, flush=True); p.wait()"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the parent ended with {process.wait()} before it had a child"
    of_parent = psutil.Process(int(line))
    machine.terminate(process)
    process.wait(timeout=60)
    process.stdout.close()
    assert _ended(of_parent), of_parent
    machine.terminate(process)  # once more does no harm


def _ended(process: psutil.Process) -> bool:
    """Whether a process ends within a minute; its parent is dead, so nobody may have taken note of its end yet."""
    for _ in range(600):
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.1)
                continue
        return True
    return False
