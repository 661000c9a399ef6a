"""A user's module as a part of a family's model. The module stays as its author wrote it; a `Form` says how it is called.

A part takes flat images or codes (n, D) and a hook for hidden activations, and gives one tensor. A user's module may take images
(n, C, H, W), know no hook, give means and log-variances as a pair, or end in a sigmoid. One module may be both parts of an autoencoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from objectives.base import ObjectiveError
from objectives.draws import Draws
from objectives.models._layers import Hook, as_is
from objectives.state import ANSWERS

Link = Literal["as it is", "logit", "sigmoid", "centred", "logit of centred"]
THROUGH = "forward"  # the method of a module whose forward is encoder and decoder at once


@dataclass(frozen=True)
class Form:
    """How a user's module is called as a part.

    `method` is called, with the hook where `hidden` says so. `view` is the shape of one input; empty: flat. `gives` is the shape of one
    output, and `link` what makes of it what the family expects. `half` is `encoder` or `decoder` where one forward is both. `draws` says
    that it draws random numbers, `hooked` that it passes activations through the hook, `keeps` which buffers it changes as this part
    (None: all of them).
    """

    method: str = "forward"
    hidden: bool = False
    view: tuple[int, ...] = ()
    gives: tuple[int, ...] = ()
    link: Link = "as it is"
    half: Literal["", "encoder", "decoder"] = ""
    image: tuple[int, ...] = ()  # of one image, flat: what the encoder of a half is fed while only its decoder is asked
    draws: bool = False
    hooked: bool = False
    keeps: frozenset[str] | None = None


class Borrowed(nn.Module):
    """A user's module under the names of its own parameters and buffers, called as `part(x, hidden)`."""

    module: nn.Module

    def __init__(self, module: nn.Module, form: Form, whole: bool = False) -> None:
        super().__init__()
        # Not registered: the parameters below are those of the module itself, under their own names.
        self.__dict__["module"] = module
        for registry in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            self.__dict__[registry] = getattr(module, registry)
        self.form, self.whole = form, whole
        self.draws, self.keeps = form.draws, form.keeps
        freeze(module)

    def train(self, mode: bool = True) -> Borrowed:
        """As the module itself."""
        module = self.module
        module.train(mode)
        self.training = mode
        return self

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """(n, D) → (n, *gives)."""
        form = self.form
        if form.half:
            found = _encoded(self.module, form, x) if form.half == "encoder" else _decoded(self.module, form, x)
        else:
            found = called(self.module, form, x, hidden)
        return LINKS[form.link](one(found, x.shape[0], form.gives))  # `len` would fix the number of rows of a graph


def ignores_hook(parts: Sequence[nn.Module]) -> str:
    """Why λ on hidden activations cannot act on these parts, in words; empty where one of them passes activations through the hook."""
    forms = [part.form for part in parts if isinstance(part, Borrowed)]
    if len(forms) < len(parts) or any(form.hooked for form in forms):
        return ""
    return "takes `hidden` and never calls it" if any(form.hidden for form in forms) else "takes no `hidden`"


def called(module: nn.Module, form: Form, x: Tensor, hidden: Hook) -> Any:
    """What the module itself makes of flat rows x."""
    x = x.reshape(x.shape[0], *form.view) if form.view else x
    method: Callable[..., Any] = module if form.method == "forward" else getattr(module, form.method)
    return method(x, hidden) if form.hidden else method(x)


def one(found: Any, n: int, gives: Sequence[int]) -> Tensor:
    """One tensor (n, *gives): pairs are put side by side, maps are made flat."""
    if isinstance(found, tuple | list):
        found = torch.cat([value.reshape(n, -1) for value in found], -1)
    out: Tensor = found.reshape(n, *gives)
    return out


def freeze(module: nn.Module) -> None:
    """Parameters that ask for no gradient are kept as buffers, so that nothing trains them."""
    for owner in module.modules():
        for name, value in list(owner._parameters.items()):
            if value is not None and not value.requires_grad:
                del owner._parameters[name]
                owner.register_buffer(name, value.detach())


def _log_odds(p: Tensor) -> Tensor:
    """log p/(1 − p), bounded as the rounding of p near 1 is."""
    return torch.logit(p, eps=torch.finfo(p.dtype).eps)


LINKS: Mapping[Link, Hook] = {
    "as it is": as_is,
    "logit": _log_odds,
    "sigmoid": torch.sigmoid,
    "centred": lambda x: (x + 1) / 2,
    "logit of centred": lambda x: _log_odds((x + 1) / 2),
}


# One forward that is both parts ---------------------------------------------------------------------------------------------------------


class Noise(Draws):
    """Standard normal noise that is known beforehand."""

    def __init__(self, noise: Tensor) -> None:
        self._noise = noise

    def normal(self, shape: Sequence[int], stream: str = "noise") -> Tensor:
        """The noise, where it is asked for in its own shape."""
        if tuple(shape) != tuple(self._noise.shape):
            rule = f"its forward must draw noise of the shape of the code, {tuple(self._noise.shape)}"
            raise ObjectiveError(f"{rule}; it draws {tuple(shape)}.")
        return self._noise


class Given(TorchFunctionMode):
    """Inside, normal noise is given instead of drawn. All other calls go through, draws of another kind (dropout) too."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self._noise = Noise(noise)

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Called by torch in place of `func`."""
        normal = func in (torch.randn_like, torch.randn, torch.normal, Tensor.normal_)
        return ANSWERS[func](self._noise, *args, **(kwargs or {})) if normal else func(*args, **(kwargs or {}))


def triple(module: nn.Module, form: Form, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Output, mean and log-variance of a whole forward whose noise is given."""
    with Given(noise):
        out, mean, log_variance = module(x.reshape(len(x), *form.view) if form.view else x)
    return out, mean, log_variance


@contextmanager
def _spared(module: nn.Module) -> Iterator[None]:
    """Inside, the module changes copies of its buffers."""
    own = [(owner, name, value) for owner in module.modules() for name, value in owner._buffers.items() if value is not None]
    for owner, name, value in own:
        owner._buffers[name] = value.clone()
    try:
        yield
    finally:
        for owner, name, value in own:
            owner._buffers[name] = value


def _encoded(module: nn.Module, form: Form, x: Tensor) -> tuple[Tensor, Tensor]:
    _, mean, log_variance = triple(module, form, x, x.new_zeros(len(x), form.gives[0] // 2))
    return mean, log_variance


def _decoded(module: nn.Module, form: Form, z: Tensor) -> Tensor:
    """The output for a code z, by the noise that leads there: ε = (z − μ(x)) / σ(x) of some x. What the encoder makes of x cancels out."""
    x = z.new_full((len(z), *form.image), 0.5)
    with _spared(module):  # only the second pass is what was asked for
        _, mean, log_variance = triple(module, form, x, torch.zeros_like(z))
    noise = (z - mean) * (-0.5 * log_variance).exp()
    return triple(module, form, x, noise)[0]
