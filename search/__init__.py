"""Search and choose λ: `from search import Sweep, run, best, export`.

Everything is imported when it is first used, so that `import search` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.choosing.answer import Answer
    from search.retrain import Retrained, train
    from search.spec.keys import Spec as Sweep
    from search.sweep import Outcome, resume, run
    from search.telling.exports import BestRow, best, export, export_all

__all__ = ["Answer", "BestRow", "Outcome", "Retrained", "Sweep", "best", "export", "export_all", "resume", "run", "train"]

_HOMES = {
    "Answer": ("search.choosing.answer", "Answer"),
    "BestRow": ("search.telling.exports", "BestRow"),
    "Outcome": ("search.sweep", "Outcome"),
    "Retrained": ("search.retrain", "Retrained"),
    "Sweep": ("search.spec.keys", "Spec"),
    "best": ("search.telling.exports", "best"),
    "export": ("search.telling.exports", "export"),
    "export_all": ("search.telling.exports", "export_all"),
    "resume": ("search.sweep", "resume"),
    "run": ("search.sweep", "run"),
    "train": ("search.retrain", "train"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
