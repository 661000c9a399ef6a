"""Layers that several models share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Hook = Callable[[Tensor], Tensor]


def as_is(x: Tensor) -> Tensor:
    """The identity."""
    return x


class Chain(nn.Module):
    """Linear layers of the given widths with an activation, and what follows it, between them.

    `hidden` (dropout) acts on every hidden activation, after the activation and the normalization.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Callable[[Tensor], Tensor],
        output: Callable[[Tensor], Tensor] = as_is,
        bias: bool = True,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))
        # Statistics of the batch, at evaluation too. Running statistics would be a second, unscored state of the model, which members of a
        # population share. And a generator is always evaluated on one large fixed batch of noise.
        norms = [nn.BatchNorm1d(width, track_running_stats=False) for width in widths[1:-1]] if normalize else []
        self.norms = nn.ModuleList(norms)
        self._activation, self._output = activation, output

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """(n, widths[0]) → (n, widths[-1])."""
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index < len(self.layers) - 1:
                x = self._activation(x)
                x = hidden(self.norms[index](x) if len(self.norms) else x)
        return self._output(x)


class Hooked(nn.Module):
    """A layer with hidden activations. It is therefore called as layer(x, hidden)."""


class Hidden(Hooked):
    """Makes a hidden activation: the activation function, then the hook."""

    def __init__(self, activation: Callable[[Tensor], Tensor] = as_is) -> None:
        super().__init__()
        self._activation = activation

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """Of any shape."""
        return hidden(self._activation(x))


class Act(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return self._function(x)


class Stack(nn.Module):
    """Layers one after the other. Layers with hidden activations get the hook."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """(n, …) → (n, …), as the first and the last layer say."""
        for layer in self.layers:
            x = layer(x, hidden) if isinstance(layer, Hooked) else layer(x)
        return x


class Gated(Hooked):
    """A gated linear layer, h ⊙ σ(g): its output is a hidden activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """(n, inputs) → (n, outputs)."""
        return hidden(self.value(x) * torch.sigmoid(self.gate(x)))


class Maxout(nn.Module):
    """The largest of several linear functions, for each output."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs * pieces)
        self._sizes = (outputs, pieces)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) → (n, outputs)."""
        found: Tensor = self.linear(x)
        return found.view(len(x), *self._sizes).amax(-1)


class Tied(nn.Module):
    """A decoder that uses the kernel of an encoder's linear layer transposed: one parameter for both, with one gradient."""

    def __init__(self, layer: nn.Module, output: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        assert isinstance(layer, nn.Linear)
        self.weight, self.bias = layer.weight, nn.Parameter(torch.zeros(layer.in_features))
        self._output = output

    def forward(self, z: Tensor, hidden: Hook = as_is) -> Tensor:
        """(n, outputs of the layer) → (n, its inputs); there are no hidden activations."""
        return self._output(z @ self.weight + self.bias)


def glorot(layer: nn.Linear, outputs: int | None = None) -> None:
    """Start a layer as Glorot & Bengio 2010 do, as one of so many outputs (its own number if none is given); biases of 0."""
    bound = math.sqrt(6 / (layer.in_features + (outputs or layer.out_features)))
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)


def bounded_log_variance(x: Tensor) -> Tensor:
    """Means beside log-variances (n, 2z); the latter held in [−6, 2]."""
    mean, log_variance = x.chunk(2, -1)
    return torch.cat([mean, log_variance.clamp(-6.0, 2.0)], -1)


def softplus_deviation(x: Tensor) -> Tensor:
    """Means beside what a softplus makes the standard deviation, (n, 2z), as means beside log-variances; a deviation is at least 10⁻⁶."""
    mean, raw = x.chunk(2, -1)
    return torch.cat([mean, 2 * (1e-6 + torch.nn.functional.softplus(raw)).log()], -1)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, the GANs' habit."""
    return torch.nn.functional.leaky_relu(x, 0.2)


def unit_interval(x: Tensor) -> Tensor:
    """tanh, moved from (−1, 1) to the images' [0, 1]."""
    return (torch.tanh(x) + 1) / 2


class Judge(nn.Module):
    """A discriminator: images in [0, 1] (n, D) → logits (n,). Centres its input, as a generator's tanh would."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.chain = Chain(widths, leaky)

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """(n, D) → (n,)."""
        out: Tensor = self.chain(2 * x - 1, hidden)
        return out.squeeze(-1)


class LinearPosterior(nn.Module):
    """An encoder whose means are linear in the image and whose log-variances are the same for all images: (n, D) → (n, 2·latent_dim)."""

    def __init__(self, size: int, latent_dim: int) -> None:
        super().__init__()
        self.mean = nn.Linear(size, latent_dim, bias=False)
        self.log_variance = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """Means beside log-variances; there are no hidden activations."""
        mean = self.mean(x)
        return torch.cat([mean, self.log_variance.expand_as(mean)], -1)
