"""torch's compiler stays unloaded where nothing is compiled.

`torch.func.grad` asks `torch._dynamo` to switch compiled autograd off meanwhile. For this question torch imports its whole compiler, with
sympy and triton: more than two seconds of CPU in each worker (torch 2.14). But compiled autograd can only be on in a process that has
imported the compiler. So before that, a stand-in answers.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import torch


class _Unloaded(ModuleType):
    """Stands where a module will be. Whatever it does not know makes Python import the module, which then takes its place."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def leave_unloaded() -> None:
    """Let a stand-in say that compiled autograd is off, until somebody imports `torch._dynamo`."""
    if "torch._dynamo" in sys.modules:
        return
    compiler, autograd = _Unloaded("torch._dynamo"), _Unloaded("torch._dynamo.compiled_autograd")
    vars(autograd)["_disable"] = _disable
    vars(compiler)["compiled_autograd"] = autograd
    vars(torch)["_dynamo"] = compiler


def _disable() -> AbstractContextManager[Any]:
    """Compiled autograd switched off: nothing to do, unless the compiler was imported after the stand-in was taken hold of."""
    loaded = sys.modules.get("torch._dynamo.compiled_autograd")
    return nullcontext() if loaded is None else loaded._disable()
