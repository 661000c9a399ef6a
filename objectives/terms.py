"""What a loss and its regularizers see of one model in one training step.

net("decoder", z)        a part of the model with the current parameters
Context                  random draws, the clock, companion knobs and the memory of one regularizer
Terms                    what a loss hands to the penalties
regularized(terms, …)    the loss to descend: the only place where a λ multiplies a penalty
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from objectives.base import Value
from objectives.draws import Draws
from objectives.lazy import Tensor, nn, torch
from objectives.parts import AT_ONCE, rows

if TYPE_CHECKING:
    from objectives.state import State

Corrupt = Callable[[Tensor], Tensor]
Values = dict[str, Tensor]
Shape = tuple[int, int, int]


def as_is(x: Tensor) -> Tensor:
    """The identity."""
    return x


class Net:
    """A model with the parameters of one member. `net("decoder", z)` calls a part; dropout acts only where training switched it on.

    `shape` is the shape of an image (channels, height, width), `latent_dim` the size of z, `options` the structural knobs of the run.
    `state` is what a user's modules keep and draw; ours do neither.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        parameters: Mapping[str, Mapping[str, Tensor]],
        *,
        shape: Shape,
        latent_dim: int,
        options: Mapping[str, Value] | None = None,
        hidden: Mapping[str, Corrupt] | None = None,
        inputs: Mapping[str, Corrupt] | None = None,
        state: State | None = None,
    ) -> None:
        self._parts, self.parameters = parts, parameters
        self._hidden, self._inputs = hidden or {}, inputs or {}
        self.shape, self.latent_dim, self.options, self.state = shape, latent_dim, options or {}, state
        self._whole = False

    def __call__(self, part: str, x: Tensor) -> Tensor:
        """The output of a part for a batch x."""
        inputs = (x, self._hidden.get(part, as_is))
        if self.state is not None:
            return self.state.call(part, self._parts[part], self.parameters[part], inputs)
        # Layers share no parameter here, and a search for shared ones costs as much as a small layer.
        out: Tensor = torch.func.functional_call(self._parts[part], dict(self.parameters[part]), inputs, tie_weights=False)
        return out

    def in_chunks(self, parts: Sequence[str], x: Tensor) -> Tensor:
        """One part after another, for at most 2,000 rows of x at a time: a convolution's activations are many times larger than its input.

        A part that normalizes by the batch sees these rows as its batches. Members of a pack that are evaluated as one program do so beside
        each other; `training.TOGETHER` says how many.
        """
        if self._whole:
            for part in parts:
                x = self(part, x)
            return x
        found, size = [], min(AT_ONCE, rows(math.prod(x.shape[1:])))
        for start in range(0, max(1, len(x)), size):
            out = x[start : start + size]
            for part in parts:
                out = self(part, out)
            found.append(out)
        return found[0] if len(found) == 1 else torch.cat(found)

    def module(self, part: str) -> nn.Module:
        """The module of a part, for its structure. The parameters that it holds are not those of this model."""
        return self._parts[part]

    def having(self, part: str, parameters: Mapping[str, Tensor]) -> Net:
        """The same model with other parameters in one part."""
        twin = copy(self)
        twin.parameters = {**self.parameters, part: parameters}
        return twin

    def whole(self, hidden: Mapping[str, Corrupt] | None = None) -> Net:
        """The same model that takes all rows in one call, however many there are; with other hooks of hidden activations in some parts."""
        twin = copy(self)
        twin._whole, twin._hidden = True, {**self._hidden, **(hidden or {})}
        return twin

    def corrupt(self, part: str, x: Tensor) -> Tensor:
        """The input of a part as training shows it: with input noise where a regularizer adds noise, else x itself."""
        return self._inputs.get(part, as_is)(x)


@dataclass(frozen=True)
class Clock:
    """How far a training is: `epochs` done, a 0-dim tensor that also counts parts of an epoch, of `total_epochs`."""

    epochs: Tensor
    total_epochs: int

    @property
    def progress(self) -> Tensor:
        """The share of the training that is done, 0 to 1."""
        return self.epochs / self.total_epochs


class Memory(Mapping[str, Tensor]):
    """What one regularizer of one member keeps from step to step (a running mean, an estimate of a singular vector)."""

    def __init__(self, values: Mapping[str, Tensor] | None = None) -> None:
        self._values: dict[str, Tensor] = dict(values or {})

    def __getitem__(self, key: str) -> Tensor:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: str, value: Tensor) -> None:
        """Remember `value` for the next step; of the shape and type that `memory()` declared."""
        self._values[key] = value.detach().to(self._values[key].dtype)


@dataclass(frozen=True)
class Context:
    """What a regularizer may use beside its arguments. Names are its own, without the suffix `_g` or `_d` of a GAN's player.

    `knobs` holds its λ and its companions (0-dim tensors), `options` the structural knobs. `trained` holds its own trained parameters.
    `player` is the player on whom it acts. `training` is False where weights are prepared for an evaluation, and in an evaluation; there
    nothing is drawn.
    """

    draws: Draws
    clock: Clock
    shape: Shape
    knobs: Mapping[str, Tensor] = field(default_factory=dict)
    options: Mapping[str, Value] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    trained: Mapping[str, Tensor] = field(default_factory=dict)
    training: bool = True
    player: str = ""


@dataclass(frozen=True)
class Terms:
    """What a loss hands to the penalties.

    `data` is the unregularized loss, a scalar averaged over the batch. `values` holds the family's own quantities (each family's `loss`
    lists them). `kernels` are the weights of rank ≥ 2 of the player in training, by their full names. `net` is the model as training sees
    it. `factors` multiply the λ of the penalties that they name (a warm-up of β). `logged` holds scalars that are only logged.
    """

    data: Tensor
    values: Mapping[str, Tensor] = field(default_factory=dict)
    kernels: Mapping[str, Tensor] = field(default_factory=dict)
    net: Net | Any = None
    factors: Mapping[str, Tensor | float] = field(default_factory=dict)
    context: Context | Any = None
    logged: Mapping[str, Tensor] = field(default_factory=dict)
    link: Corrupt = as_is  # from a decoder's output to the expected image, in pixel values

    def within(self, context: Context) -> Terms:
        """The same terms for another regularizer."""
        return replace(self, context=context)

    def scaled(self, name: str, factor: Tensor | float) -> Terms:
        """The terms with one more factor on the λ called `name`."""
        return replace(self, factors={**self.factors, name: self.factors.get(name, 1.0) * factor})


def _one() -> Tensor:
    return torch.ones(())


@dataclass(frozen=True)
class Update:
    """What a regularizer that acts on the weights may use. θ has shape (K, P). Scalars per member are (K, 1), or floats.

    `kernels` is a 0/1 mask (P,). `memory` holds (K, …) tensors, which are written in place. `scale()` is the divisor of Adam's last step,
    √v̂ + ε (K, P).
    """

    lr: Tensor | float
    kernels: Tensor
    clock: Clock
    memory: dict[str, Tensor] = field(default_factory=dict)
    scale: Callable[[], Tensor] = _one


def regularized(terms: Terms, penalties: Mapping[str, tuple[ModuleType, Context]], knobs: Mapping[str, Tensor]) -> tuple[Tensor, Values]:
    """The loss to descend, and its summands as they are logged: unweighted. The only place where a λ multiplies a penalty."""
    unweighted = {}
    for name, (module, context) in penalties.items():
        with context.draws.aside(name):
            unweighted[name] = module.penalty(terms.within(context))
    total = terms.data + sum(knobs[name] * terms.factors.get(name, 1.0) * penalty for name, penalty in unweighted.items())
    named = {f"penalty_{name}": penalty for name, penalty in unweighted.items()}
    return total, {"loss": total, "data": terms.data, **terms.logged, **named}
