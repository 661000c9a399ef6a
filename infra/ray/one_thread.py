"""Imported before all else by workers that import ahead of their first job: one thread, unless the user says otherwise.

Numeric libraries read this number when they are loaded. Ray sets it too, but only when a worker gets its first task.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
