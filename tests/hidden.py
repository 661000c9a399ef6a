"""What only Linux, Unix or glibc has, hidden: code that is put before a script, which then runs as on a system without."""

from __future__ import annotations

HIDDEN = """
import ctypes, os, sys

import psutil  # it has a file of its own for each system; the one for Linux needs `resource`


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def library(name, *arguments, **more):
    if name is None:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")
    return real(name, *arguments, **more)


real, ctypes.CDLL = ctypes.CDLL, library
sys.meta_path.insert(0, Refuse())
for name in ("fcntl", "resource"):
    sys.modules.pop(name, None)
for name in ("sched_getaffinity", "process_cpu_count", "killpg", "getpgid"):
    if hasattr(os, name):
        delattr(os, name)
"""
