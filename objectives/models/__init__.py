"""Models: one file each, and the file name is the name in a spec.

A file holds `BUILD`, which maps the objectives it serves to a function `(shape, latent_dim) -> dict of named parts`; `shape` is that of an
image (channels, height, width). It may hold

- `accepts(shape) -> bool`, without which every shape is fine, and `FITS`, which says so in words;
- `RECIPE`: objective -> {knob: value}, what was published with the architecture (its spectral norm, its game, its learning rate). A spec
  fixes these where it neither searches nor fixes the knob itself;
- `PUBLISHED`: objective -> (shape, latent_dim, {part: number of parameters}), as published or counted from the published sizes.

Which parts, an objective says itself: `parts(shape, latent_dim)` of its class. They take and give flat images, (n, D) with
D = channels · height · width. A part is called as `part(x, hidden)`, and passes every hidden activation through `hidden` (dropout). Its
only state is its parameters: no buffers, so batch normalization is by the batch at hand (`track_running_stats=False`), and no random
numbers. What parts of one player share (tied weights) is one parameter. torch is imported inside the functions only.

A model of one's own is written `package.module:function`; the function is what `BUILD` holds, and what it returns is tried out on zeros.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from objectives import base, registry
from objectives.base import Shape
from objectives.lazy import nn

# By name: the numbers that a part takes for an image, and the shape that it gives for one.
Parts = Mapping[str, tuple[int, tuple[int, ...]]]


def serving(objective: str, first: str = "") -> tuple[str, ...]:
    """The models that an objective can train, its default first."""
    found = (name for name in registry.names("model") if objective in cast(Any, _file(name)).BUILD)
    return tuple(sorted(found, key=lambda name: (name != first, name)))


def faults(name: str, objective: str, shape: Shape | None = None) -> list[str]:
    """What is wrong with training this model for an objective, on images of this shape if it is known. Imports no torch."""
    try:
        _module(name, objective)
    except base.ObjectiveError as error:
        return [str(error)]
    if shape is None or _accepts(name, objective, shape):
        return []
    fits = getattr(_module(name, objective), "FITS", "images that it was made for")
    others = [one for one in serving(objective) if _accepts(one, objective, shape)]
    given = f"(channels, height, width) = {shape}"
    return [f"model {name!r} must get {fits}; got {given}. Models of {objective!r} that fit: {', '.join(others) or 'none'}."]


def recipe(name: str, objective: str) -> Mapping[str, base.Value]:
    """The knobs that were published with a model; empty where there are none."""
    found: Mapping[str, base.Value] = getattr(_module(name, objective), "RECIPE", {}).get(objective, {})
    return found


def build(name: str, objective: str, shape: Shape, latent_dim: int, expected: Parts | None = None) -> Mapping[str, nn.Module]:
    """The freshly initialized parts of a model. A user's are tried out: whether they are what the objective expects, if it says so.

    Raises:
        base.ObjectiveError: no such model, one of another objective, one that cannot take such images, or a user's that is not what the
            objective expects: every fault in one message.
    """
    if wrong := faults(name, objective, shape):
        raise base.ObjectiveError(wrong[0])
    make = _module(name, objective).BUILD[objective]
    if ":" not in name:
        return cast("Mapping[str, nn.Module]", make(shape, latent_dim))
    from objectives.models import _verified

    return _verified.built(name, make, shape, latent_dim, expected or {})


def _accepts(name: str, objective: str, shape: Shape) -> bool:
    return bool(getattr(_module(name, objective), "accepts", lambda _: True)(shape))


def _module(name: str, objective: str) -> Any:
    """The file of a model, or the like of one for a user's function."""
    if ":" in name:
        return SimpleNamespace(BUILD={objective: _users(name)})
    known = serving(objective)
    if name not in known:
        own = " A model of your own is written package.module:function."
        raise base.ObjectiveError(registry.unknown(f"model of the objective {objective!r}", name, known) + own)
    return _file(name)


def _users(name: str) -> Any:
    """A user's function; whatever its module raises when it is imported is a mistake of theirs."""
    try:
        return registry.attribute("model", name)
    except base.ObjectiveError:
        raise
    except Exception as error:
        module = name.partition(":")[0]
        rule = f"model {name!r}: module {module!r} must be importable from the current folder"
        raise base.ObjectiveError(f"{rule}; it raises {type(error).__name__}: {error}. Correct the module.") from error


def _file(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
