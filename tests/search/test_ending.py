"""Ctrl-C and SIGTERM end a command wherever it waits, a second one at once. Each case is a process that would not end by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.storage import Home
from infra.storage.hints import command as printed
from search.cli.shared import shown_folder
from search.exit_codes import INTERRUPTED, MISTAKE

ROOT = Path(__file__).parents[2]

ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
IN_A_LIBRARY = f"import sqlite3; sqlite3.connect(':memory:').execute({ENDLESS!r})"  # no handler of Python's runs meanwhile
IN_PYTHON = "threading.Event().wait()"
DEAF = "signal.signal(signal.SIGTERM, lambda *_: print('heard', flush=True))"


def ended(body: str, signals: Sequence[int], grace_s: float = 0.2, pause_s: float = 0.0, first: str = "pass") -> tuple[int, str]:
    """The exit code and the last words of a process that does `first`, then `body`, and gets these signals, each once it is heard."""
    script = f"""
        import signal, sys, threading
        from search.cli.ending import in_time
        from search.exit_codes import INTERRUPTED
        try:
            with in_time(lambda: "nothing is lost", {grace_s}):
                {first}
                print("heard", flush=True)
                {body}
        except KeyboardInterrupt:
            print("by itself", flush=True)
            sys.exit(INTERRUPTED)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for number in signals:
            assert process.stdout.readline() == "heard\n"
            time.sleep(pause_s)
            process.send_signal(number)
        out, _ = process.communicate(timeout=300)
    return process.returncode, out.replace("heard", "").strip()


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_waiting_in_python_ends_by_itself(number: int) -> None:
    assert ended(IN_PYTHON, [number], grace_s=10_000.0) == (INTERRUPTED, "by itself")


def test_a_library_that_does_not_return_is_ended_after_a_while() -> None:
    for pause_s in (0.2, 1.0, 5.0, 25.0):  # a signal that comes before the library is called says nothing about it
        if (found := ended(IN_A_LIBRARY, [signal.SIGTERM], pause_s=pause_s)) != (INTERRUPTED, "by itself"):
            break
    assert found == (INTERRUPTED, "nothing is lost")


def test_so_is_what_hears_the_signal_and_goes_on() -> None:
    assert ended(IN_PYTHON, [signal.SIGTERM], first=DEAF) == (INTERRUPTED, "nothing is lost")


def test_a_second_signal_ends_it_at_once() -> None:
    """The grace is longer than anybody waits for this test."""
    assert ended(IN_PYTHON, [signal.SIGTERM] * 2, grace_s=10_000.0, first=DEAF)[0] == INTERRUPTED


def test_what_ends_in_time_is_left_alone_and_the_handlers_are_as_before() -> None:
    script = """
        import signal, socket
        from search.cli.ending import in_time
        before = signal.getsignal(signal.SIGTERM)
        with in_time(lambda: "nothing is lost"):
            pass
        assert signal.getsignal(signal.SIGTERM) is before and signal.set_wakeup_fd(-1) == -1
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=300).returncode == 0


def test_a_thread_that_is_not_the_first_may_use_it() -> None:
    """A command may be called from a thread, which can listen to no signal."""
    script = """
        import threading
        from search.cli.ending import in_time
        done = []
        def work():
            with in_time(lambda: ""):
                done.append(1)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert done == [1]
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=300).returncode == 0


def test_a_current_folder_that_is_removed_meanwhile_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray removes the folder of a job that is stopped, while its driver still says how to go on."""
    monkeypatch.delenv("LAGRANGE_HOME", raising=False)
    home = Home.open(tmp_path / "home")
    home.reports("s").mkdir(parents=True)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert printed("ls", home) == f"lagrange ls --home {home.root}" and shown_folder(home, "s") == str(home.reports("s"))
    command = [sys.executable, "-c", "from search.cli import main; main()", "ls"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == MISTAKE and done.stderr.strip().startswith("The current folder must exist") and "Traceback" not in done.stderr
