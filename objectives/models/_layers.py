"""Layers that several models share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Hidden = Callable[[Tensor], Tensor]


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
        # Statistics of the batch, at evaluation too: running statistics would be a second, unscored state of the model that members of a
        # population share, and a generator is always evaluated on one large fixed batch of noise.
        norms = [nn.BatchNorm1d(width, track_running_stats=False) for width in widths[1:-1]] if normalize else []
        self.norms = nn.ModuleList(norms)
        self._activation, self._output = activation, output

    def forward(self, x: Tensor, hidden: Hidden = as_is) -> Tensor:
        """(n, widths[0]) → (n, widths[-1])."""
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index < len(self.layers) - 1:
                x = self._activation(x)
                x = hidden(self.norms[index](x) if len(self.norms) else x)
        return self._output(x)


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

    def forward(self, x: Tensor, hidden: Hidden = as_is) -> Tensor:
        """(n, D) → (n,)."""
        out: Tensor = self.chain(2 * x - 1, hidden)
        return out.squeeze(-1)


class LinearPosterior(nn.Module):
    """An encoder whose means are linear in the image and whose log-variances are the same for all images: (n, D) → (n, 2·latent_dim)."""

    def __init__(self, size: int, latent_dim: int) -> None:
        super().__init__()
        self.mean = nn.Linear(size, latent_dim, bias=False)
        self.log_variance = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, x: Tensor, hidden: Hidden = as_is) -> Tensor:
        """Means beside log-variances; there are no hidden activations."""
        mean = self.mean(x)
        return torch.cat([mean, self.log_variance.expand_as(mean)], -1)
