"""The tests that train, under the kernels of other processors and under load: `make test-portable`.

A training's numbers differ from processor to processor, since torch, oneDNN and MKL choose their kernels by what they find. What a test
says of a training must not. This runs every test marked `trains` under each of the settings below; tests that train bear the mark, and
conftest.py fails those that do not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TORCH = ({"ATEN_CPU_CAPABILITY": "default"}, {"ATEN_CPU_CAPABILITY": "avx2"}, {})
OTHERS = ({}, {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"})
TESTS = "trains and not slow and not gpu and not cluster"
SETTINGS = [{**one, **other} for one in TORCH for other in OTHERS]


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes that never rest."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def passes(settings: dict[str, str], more: list[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-m", TESTS, "--whole-files", "-n", "2", "--dist", "loadfile"]
    return subprocess.run([*command, *more], env={**os.environ, **settings}, check=False).returncode == 0


def main(more: list[str]) -> int:
    """0 where all settings pass; what was tried and how it ended is printed."""
    found = {}
    for settings in SETTINGS:
        words = " ".join(f"{name}={value}" for name, value in settings.items()) or "this processor's own kernels"
        print(f"=== {words}", flush=True)
        found[words] = passes(settings, more)
    with load(4):
        print("=== four busy processes beside", flush=True)
        found["four busy processes beside"] = passes({}, more)
    for words, passed in found.items():
        print(f"{'passed' if passed else 'FAILED'}: {words}")
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
