"""CPU seconds of a command and of every process that it starts, its orphans included; and an end where they pass a limit.

    python tests/cpu_seconds.py [--name WORDS] [--limit SECONDS] COMMAND...

A time by the clock says how busy a machine is; CPU seconds say what was done. On Linux the count is whole: this process takes in orphans
(Ray leaves some), and reads what lives from /proc. On another Unix it knows what was waited for, and says so. Needs Python alone.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path

ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
LINUX = sys.platform == "linux"
PATIENCE_S = 10.0  # for what outlives the command


def main() -> int:
    """Run the command; its exit status, or 1 where the limit was passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="")
    parser.add_argument("--limit", type=float, default=float("inf"))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    name = asked.name or " ".join(asked.command)
    if LINUX:
        ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command gets it too, and ends in its own way
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    first = os.posix_spawnp(asked.command[0], asked.command, os.environ, setsigdef=[signal.SIGINT])
    try:
        status = wait_for(first, asked.limit)
    finally:
        end(descendants())
    used = cpu_seconds()
    whole = "" if LINUX else ", orphans not counted on this system"
    print(f"CPU seconds: {used:.0f} of all processes{whole}, {time.monotonic() - begun:.0f} by the clock: {name}", flush=True)
    if status is None:
        print(f"STOPPED: more than the {asked.limit:.0f} CPU seconds that {name} may take. Make tests cheaper, or say why not.", flush=True)
        return 1
    return status if status >= 0 else 128 - status


def wait_for(first: int, limit: float) -> int | None:
    """The exit status of the command; None where the limit was passed. Orphans get some time to end by themselves."""
    status, deadline = None, float("inf")
    while time.monotonic() < deadline:
        for pid, ended in reaped():
            if pid == first:
                status, deadline = ended, time.monotonic() + PATIENCE_S
        if status is not None and not descendants():
            break
        if limit < float("inf") and cpu_seconds() > limit:
            return None
        time.sleep(0.5 if limit == float("inf") else 2.0)  # to look at every process costs some milliseconds
    return status


def reaped() -> list[tuple[int, int]]:
    """Children that have ended, with their exit status."""
    found = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found.append((pid, os.waitstatus_to_exitcode(status)))


def cpu_seconds() -> float:
    """User and system time of this process, of all that ended and was waited for, and of all that lives."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found) + sum(descendants().values())


def descendants() -> dict[int, float]:
    """Each living process below this one, with its CPU seconds and those of its own ended children."""
    parents, seconds = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat") if LINUX else ():
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        parents[int(path.parent.name)] = int(fields[1])
        seconds[int(path.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return {pid: seconds[pid] for pid in below - {os.getpid()}}


def end(living: dict[int, float]) -> None:
    """End what is left, politely at first."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        for pid in living:
            try:
                os.kill(pid, kind)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + PATIENCE_S
        while (living := descendants()) and time.monotonic() < deadline:
            reaped()
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
