"""One lock for all migrations of a process: alembic keeps its context in globals, so two threads (ours, MLflow's) would mix theirs."""

from __future__ import annotations

import threading
from typing import Final

ALONE: Final = threading.RLock()
