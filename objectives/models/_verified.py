"""A user's model is tried out before it is trained: named parts, and one pass of zeros through each. The contract suite tests ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from objectives.base import ObjectiveError
from objectives.models._layers import as_is

Expected = Mapping[str, tuple[int, tuple[int, ...]]]
TRIED = 2  # images that a model is tried out on; batch normalization needs two


def built(name: str, make: Callable[..., Any], shape: tuple[int, int, int], latent_dim: int, expected: Expected) -> dict[str, nn.Module]:
    """What a user's function returns for these images, if it is what the objective expects.

    Raises:
        ObjectiveError: it is something else, or the function raises. All faults are in one message.
    """
    call = f"model {name!r}: {name.partition(':')[2]}({shape}, {latent_dim})"
    try:
        found = make(shape, latent_dim)
    except Exception as error:
        raise ObjectiveError(f"{call} must return the parts of a model; it raises {_told(error)}. Correct the function.") from error
    if wrong := _misnamed(found, expected) or [fault for part in found for fault in _faults(part, found[part], expected)]:
        raise ObjectiveError("\n".join(f"{call}: {fault}" for fault in wrong))
    return dict(found)


def _misnamed(found: Any, expected: Expected) -> list[str]:
    """Faults of what was returned as a whole."""
    wanted = ", ".join(sorted(expected)) or "names"
    if not isinstance(found, Mapping):
        return [f"a model must be a dict of parts, {wanted}; got {type(found).__name__}. Return {{name: torch.nn.Module, …}}."]
    if expected and set(found) != set(expected):
        return [f"the parts must be {wanted}; got {', '.join(sorted(map(str, found))) or 'none'}. Rename, add or remove parts."]
    strange = [f"{part} is {type(module).__name__}" for part, module in found.items() if not isinstance(module, nn.Module)]
    return [f"every part must be a torch.nn.Module; {', '.join(strange)}."] if strange else []


def _faults(part: str, module: nn.Module, expected: Expected) -> list[str]:
    """Faults of one part: its state, and what it makes of zeros."""
    wrong = []
    if not any(True for _ in module.parameters()):
        wrong.append(f"the {part} must have parameters to train; it has none.")
    if buffers := [name for name, _ in module.named_buffers()]:
        remedy = "Batch normalization: track_running_stats=False."
        wrong.append(f"the {part} must have no buffers, which members would share; it has {', '.join(buffers)}. {remedy}")
    return wrong + (_tried(part, module, *expected[part]) if part in expected else [])


def _tried(part: str, module: nn.Module, takes: int, gives: tuple[int, ...]) -> list[str]:
    """The fault of one pass of zeros, without gradients and without moving torch's generator."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            out = module(torch.zeros(TRIED, takes), as_is)
    except Exception as error:
        shapes = f"x of shape (n, {takes}) and a function `hidden` that it passes hidden activations through"
        return [f"the {part} must be callable as {part}(x, hidden), {shapes}; with n = {TRIED} it raises {_told(error)}."]
    if not isinstance(out, Tensor):
        return [f"the {part} must return a tensor of shape {_shape(gives)}; got {type(out).__name__}."]
    if out.shape != (TRIED, *gives):
        return [f"the {part} must make {_shape(gives)} of (n, {takes}); with n = {TRIED} it makes {tuple(out.shape)}."]
    return [] if bool(out.isfinite().all()) else [f"the {part} must give finite numbers; it makes some of zeros that are not."]


def _shape(gives: tuple[int, ...]) -> str:
    return f"(n, {', '.join(map(str, gives))})" if gives else "(n,)"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
