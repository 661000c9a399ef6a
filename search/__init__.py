"""Search and choose λ: `from search import Sweep, run, best, export`.

Everything is imported when it is first used, so that `import search` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.exports import BestRow, Retrained, best, export, export_all, train
    from search.selection import Answer
    from search.spec import Spec as Sweep
    from search.sweep import Outcome, resume, run

__all__ = ["Answer", "BestRow", "Outcome", "Retrained", "Sweep", "best", "export", "export_all", "resume", "run", "train"]

_HOMES = {
    "Answer": ("search.selection", "Answer"),
    "BestRow": ("search.exports", "BestRow"),
    "Outcome": ("search.sweep", "Outcome"),
    "Retrained": ("search.exports", "Retrained"),
    "Sweep": ("search.spec", "Spec"),
    "best": ("search.exports", "best"),
    "export_all": ("search.exports", "export_all"),
    "resume": ("search.sweep", "resume"),
    "run": ("search.sweep", "run"),
    "train": ("search.exports", "train"),
}


def __getattr__(name: str) -> Any:
    """Load what is asked for (PEP 562)."""
    if name == "export":
        return importlib.import_module("search.exports").export
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
