"""torch, loaded when it is first used.

The driver of a sweep reads knobs, metrics and models, and never trains. Importing torch costs seconds and half a gigabyte. So files that
such a driver reads take torch from here: `from objectives.lazy import Tensor, nn, torch`. `Tensor` is for annotations only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class Later:
    """A module that is imported when one of its names is first asked for: a library that is heavy, or a file of ours that needs one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, found)  # from now on it is an ordinary attribute
        return found


if TYPE_CHECKING:
    import torch as torch
    from torch import Tensor as Tensor
    from torch import nn as nn
    from torch.nn import functional as functional
else:
    torch, nn, functional = Later("torch"), Later("torch.nn"), Later("torch.nn.functional")
    Tensor = Any


def double(x: Tensor) -> Tensor:
    """x in float64; on the CPU where the device has no such numbers (Apple's)."""
    return (x.cpu() if x.device.type == "mps" else x).double()
