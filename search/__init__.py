"""Search and choose λ: `from search import Sweep, run, best, export`.

Everything is imported when it is first used, so that `import search` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search import plot
    from search.choosing.answer import Answer
    from search.loaded import load
    from search.registering import Registered, register
    from search.retrain import Retrained, train
    from search.spec.keys import Spec as Sweep
    from search.sweep import Outcome, resume, run
    from search.telling.compare import Comparison, compare
    from search.telling.exports import BestRow, best, export, export_all
    from search.telling.notebook import answer, members, report, reports
    from search.telling.queried import query

__all__ = [
    "Answer",
    "BestRow",
    "Comparison",
    "Outcome",
    "Registered",
    "Retrained",
    "Sweep",
    "answer",
    "best",
    "compare",
    "export",
    "export_all",
    "load",
    "members",
    "plot",
    "query",
    "register",
    "report",
    "reports",
    "resume",
    "run",
    "train",
]

_HOMES = {
    "Answer": ("search.choosing.answer", "Answer"),
    "BestRow": ("search.telling.exports", "BestRow"),
    "Comparison": ("search.telling.compare", "Comparison"),
    "Outcome": ("search.sweep", "Outcome"),
    "Retrained": ("search.retrain", "Retrained"),
    "Sweep": ("search.spec.keys", "Spec"),
    "answer": ("search.telling.notebook", "answer"),
    "best": ("search.telling.exports", "best"),
    "compare": ("search.telling.compare", "compare"),
    "export": ("search.telling.exports", "export"),
    "export_all": ("search.telling.exports", "export_all"),
    "load": ("search.loaded", "load"),
    "members": ("search.telling.notebook", "members"),
    "plot": ("search.plot", ""),
    "query": ("search.telling.queried", "query"),
    "Registered": ("search.registering", "Registered"),
    "register": ("search.registering", "register"),
    "report": ("search.telling.notebook", "report"),
    "reports": ("search.telling.notebook", "reports"),
    "resume": ("search.sweep", "resume"),
    "run": ("search.sweep", "run"),
    "train": ("search.retrain", "train"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return list(__all__)
