"""What is trained. `base.py` is what a search sees of it. `training/loop.py` trains the members.

A user's own function becomes an objective by `from objectives import knob, objective` (`programs/function.py`). A family may be imported
without its folder: `from objectives.vae import VAE`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["Trial", "knob", "objective"]

if TYPE_CHECKING:
    from objectives.programs.declared import knob
    from objectives.programs.function import objective
    from objectives.programs.trial import Trial

_OWN = {"knob": "declared", "objective": "function", "Trial": "trial"}  # the file of each name


def __getattr__(name: str) -> Any:
    """What a user's own training needs is loaded when it is asked for."""
    if name not in _OWN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.programs.{_OWN[name]}"), name)


_FAMILIES = Path(__file__).parent / "families"


class _Short(MetaPathFinder, Loader):
    """Finds `objectives.vae` in `objectives.families.vae`."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Handles the short name of a family's file; other finders handle all other names."""
        package, _, name = fullname.rpartition(".")
        known = package == __name__ and not name.startswith("_") and (_FAMILIES / f"{name}.py").is_file()
        return ModuleSpec(fullname, self) if known else None

    def exec_module(self, module: ModuleType) -> None:
        """Copies all names of the file itself."""
        found = importlib.import_module(f"{__name__}.families.{module.__name__.rpartition('.')[2]}")
        vars(module).update({name: value for name, value in vars(found).items() if not name.startswith("__")})


sys.meta_path.append(_Short())
