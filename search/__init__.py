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
    from search.telling.files.exports import BestRow, best, export, export_all
    from search.telling.looking.compare import Comparison, compare
    from search.telling.looking.notebook import answer, members, report, reports
    from search.telling.looking.queried import query

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
    "BestRow": ("search.telling.files.exports", "BestRow"),
    "Comparison": ("search.telling.looking.compare", "Comparison"),
    "Outcome": ("search.sweep", "Outcome"),
    "Retrained": ("search.retrain", "Retrained"),
    "Sweep": ("search.spec.keys", "Spec"),
    "answer": ("search.telling.looking.notebook", "answer"),
    "best": ("search.telling.files.exports", "best"),
    "compare": ("search.telling.looking.compare", "compare"),
    "export": ("search.telling.files.exports", "export"),
    "export_all": ("search.telling.files.exports", "export_all"),
    "load": ("search.loaded", "load"),
    "members": ("search.telling.looking.notebook", "members"),
    "plot": ("search.plot", ""),
    "query": ("search.telling.looking.queried", "query"),
    "Registered": ("search.registering", "Registered"),
    "register": ("search.registering", "register"),
    "report": ("search.telling.looking.notebook", "report"),
    "reports": ("search.telling.looking.notebook", "reports"),
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
