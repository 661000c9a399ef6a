"""Models: one file each, and the file name is the name in a spec.

A file holds `BUILD`. For each objective that the model serves, `BUILD` has a function `(shape, latent_dim) -> dict of named parts`; `shape`
is the shape of an image (channels, height, width). A file may also hold

- `accepts(shape) -> bool` (without it every shape is accepted), and `FITS`, which says the same in words;
- `RECIPE`: objective -> {knob: value}, the values that were published with the architecture (its spectral norm, its game, its learning
  rate). They are fixed where a spec neither searches nor fixes the knob;
- `PUBLISHED`: objective -> (shape, latent_dim, {part: number of parameters}), as published or counted from the published sizes.

The objective says which parts it needs: `parts(shape, latent_dim)` of its class. Parts take and give flat images, (n, D) with D = channels
· height · width. A part is called as `part(x, hidden)`, and passes every hidden activation through `hidden` (dropout). Its only state is
its parameters. It has no buffers, so batch normalization is by the current batch (`track_running_stats=False`), and it draws no random
numbers. A parameter that parts of one player share (tied weights) is one parameter. torch is imported inside the functions only.

A model of your own is written `package.module:function`. The function is called with what it takes of `shape` and `latent_dim`. It returns
such a dict of modules as people write them, or one module that is encoder and decoder. `_verified.py` tries them out and finds how they are
called: with or without `hidden`, on flat or on whole images, with one result or a pair, ending in a sigmoid or not. They may have buffers
(running statistics) and draw random numbers (`nn.Dropout`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from objectives import base, registry
from objectives.base import Shape
from objectives.lazy import nn

# By the name of a part: how many numbers it takes for an image, and the shape that it gives for one.
Parts = Mapping[str, tuple[int, tuple[int, ...]]]


def serving(objective: str, first: str = "") -> tuple[str, ...]:
    """The models that an objective can train, its default first."""
    found = (name for name in registry.names("model") if objective in cast(Any, _file(name)).BUILD)
    return tuple(sorted(found, key=lambda name: (name != first, name)))


def faults(name: str, objective: str, shape: Shape | None = None) -> list[str]:
    """What is wrong with training this model for an objective, on images of this shape if the shape is known. Imports no torch."""
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


def build(
    name: str,
    objective: str,
    shape: Shape,
    latent_dim: int,
    expected: Parts | None = None,
    meanings: Mapping[str, Any] | None = None,
    output: str | None = None,
) -> Mapping[str, nn.Module]:
    """The freshly initialized parts of a model. A user's parts are tried out: whether they are what the objective expects, if it says so.

    `meanings` says of each part what its output is (logits, pixels, codes, posterior), `output` what the user says of the last one.

    Raises:
        base.ObjectiveError: no such model, a model of another objective, a model that cannot take such images, or a user's model that is
        not
            what the objective expects. Every fault is in one message.
    """
    if wrong := faults(name, objective, shape):
        raise base.ObjectiveError(wrong[0])
    make = _module(name, objective).BUILD[objective]
    if ":" not in name:
        return cast("Mapping[str, nn.Module]", make(shape, latent_dim))
    from objectives.models import _verified

    return _verified.built(name, make, _verified.Wanted(expected or {}, shape, latent_dim, meanings or {}, output))


def _accepts(name: str, objective: str, shape: Shape) -> bool:
    return bool(getattr(_module(name, objective), "accepts", lambda _: True)(shape))


def _module(name: str, objective: str) -> Any:
    """The file of a model, or an object like it for a user's function."""
    if ":" in name:
        return SimpleNamespace(BUILD={objective: _users(name)})
    known = serving(objective)
    if name not in known:
        own = " A model of your own is written package.module:function."
        raise base.ObjectiveError(registry.unknown(f"model of the objective {objective!r}", name, known) + own)
    return _file(name)


def _users(name: str) -> Any:
    """A user's function. Any error that its module raises on import is the user's mistake."""
    if registry.looking():
        return registry.looked_at("model", name)
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
