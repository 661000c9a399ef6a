"""What differs between operating systems, each with a way out where a function does not exist. Tested on Linux."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The names that glibc gives to two options of its allocator, from malloc.h.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


def cores() -> int:
    """How many processors this process may use; at least 1."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def uptime_s() -> float:
    """Seconds since some moment, which no change of the clock moves; on Linux the time counts in which the machine slept."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def limit_memory(gigabytes: float) -> bool:
    """Let this process have at most this much memory of its own, in units of 2³⁰ bytes; False where that has no effect.

    A member that asks for more fails by itself. Without a limit the system would end a neighbour, or Ray would. Linux counts all writable
    private memory (`RLIMIT_DATA`). Other systems leave out what an allocator maps, which is nearly all, or have no limit.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        import resource
    except ImportError:
        return False
    limit = int(gigabytes * 2**30)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    return True


def killed_for_memory() -> int:
    """How many processes this system has ended so far for lack of memory; 0 where it does not say. (Linux, from version 4.13.)"""
    with suppress(OSError, ValueError), Path("/proc/vmstat").open(encoding="ascii") as counts:
        return next((int(line.split()[1]) for line in counts if line.startswith("oom_kill ")), 0)
    return 0


def return_memory() -> bool:
    """Have glibc give large tensors back when they are freed; False where another allocator is at work, which has no such options.

    By itself glibc moves the size from which it does so up to 32 MB, and keeps smaller blocks in a heap full of holes: the heap of a worker
    on MNIST then grows by several hundred megabytes.
    """
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, TypeError, AttributeError):  # no ctypes; no such library (Windows: TypeError); no such function
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 8 * 2**20)) and bool(mallopt(_TRIM_THRESHOLD, 64 * 2**20))


def terminate(process: subprocess.Popen[bytes]) -> None:
    """Ask a process that was started with `start_new_session=True` to end, and its children with it. Does not wait."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        return
    import psutil  # Windows has no such groups: the children are found by their parent, which must still run

    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for one in (*parent.children(recursive=True), parent):
            with suppress(psutil.NoSuchProcess):
                one.terminate()


@contextmanager
def without_collections() -> Iterator[None]:
    """Look for no cyclic garbage in this block, or in a function that this decorates.

    A look goes through all that a process holds: 0.3 s of CPU for the libraries of a driver, and more for the books of a large sweep. What
    makes many objects in a short time brings about one after the other. For work that has an end: its own cycles stay until then.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
