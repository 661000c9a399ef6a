"""Models: one file each, and the file name is the name in a spec.

A file holds `BUILD`, which maps the objectives it serves to a function `(shape, latent_dim) -> dict of named parts`; `shape` is that of an
image (channels, height, width). It may hold `accepts(shape) -> bool` (without it, every shape is fine). The parts:

- `autoencoder`: `encoder` x (n, D) → z (n, latent_dim), `decoder` z → x̂ (n, D);
- `vae`: `encoder` x → (n, 2·latent_dim), means beside log-variances, `decoder` z → logits or means (n, D);
- `gan`: `generator` z → images in [0, 1] (n, D), `discriminator` x → logits (n,).

D = channels · height · width. A part is called as `part(x, hidden)`, and passes every hidden activation through `hidden` (dropout).
torch is imported inside the functions only.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from objectives import base

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, int, int]


def serving(objective: str) -> tuple[str, ...]:
    """The models that an objective can train."""
    return tuple(name for name in base.names("model") if objective in _module(name).BUILD)


def build(name: str, objective: str, shape: Shape, latent_dim: int) -> Mapping[str, nn.Module]:
    """The freshly initialized parts of a model.

    Raises:
        base.ObjectiveError: no such model, one of another objective, or one that cannot take such images.
    """
    known = serving(objective)
    if name not in known:
        raise base.ObjectiveError(base.unknown(f"model of the objective {objective!r}", name, known))
    module = _module(name)
    accepts = cast("Callable[[Shape], bool]", getattr(module, "accepts", lambda _: True))
    if not accepts(shape):
        raise base.ObjectiveError(f"model {name!r} must get images that it was made for; got (channels, height, width) = {shape}.")
    return cast("Mapping[str, nn.Module]", module.BUILD[objective](shape, latent_dim))


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
