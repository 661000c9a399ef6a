"""What a VAE's bounds are made of: importance weights, and the metrics of −ELBO.

Source: Burda et al. 2016.
"""

from __future__ import annotations

from collections.abc import Callable

from objectives.draws import Draws
from objectives.lazy import Tensor, torch
from objectives.metrics import active_units, kl, neg_elbo, reconstruction
from objectives.parts import rows
from objectives.terms import Net

CHUNK = 100  # images whose samples are drawn at once
DECODED = 8_000_000  # pixels that are decoded at once
ROWS = 1000  # codes that a processor decodes at once: the activations of so many stay in its caches


def posterior(net: Net, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z|x), (n, z) each."""
    mean, log_variance = net("encoder", x).chunk(2, -1)
    return mean, log_variance


def log_weights(net: Net, x: Tensor, k: int, draws: Draws, nats: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """log p(x|z) + log p(z) − log q(z|x), (n, k), of k samples of z for each image x (n, D). `nats` is −log p(x|z)."""
    mean, log_variance = (value[:, None] for value in posterior(net, x))  # (n, 1, z)
    noise = draws.normal((len(x), k, mean.shape[-1]), "iwae")
    z = mean + (0.5 * log_variance).exp() * noise  # (n, k, z)
    # log p(z) − log q(z|x): the constants ½ log 2π cancel
    log_ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(-1)
    return log_ratio - _neg_log_likelihood(net, z, x, nats)


def _neg_log_likelihood(net: Net, z: Tensor, x: Tensor, nats: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """−log p(x|z), (n, k), of samples z (n, k, z) for each image x (n, D): so many images at once that a part holds what they decode to."""
    size, found = x.shape[1], []
    at_once = max(1, min(DECODED // size, ROWS if x.device.type == "cpu" else DECODED))
    for some, own in zip(*(torch.split(one, max(1, rows(size) // z.shape[1])) for one in (z, x)), strict=True):
        out = torch.cat([net("decoder", row) for row in torch.split(some.flatten(0, 1), at_once)]).view(*some.shape[:2], -1)
        found.append(nats(out, own[:, None]))
    return torch.cat(found)


def of_bound(split: str, nats: Tensor, rate: Tensor, mean: Tensor) -> dict[str, float]:
    """The metrics of −ELBO, from −log p(x|z) with one sample of z (n,), KL (n,) and posterior means (n, z)."""
    return {
        **neg_elbo.estimate(nats, rate).as_metrics(f"{split}_neg_elbo_nats"),
        **reconstruction.estimate(nats).as_metrics(f"{split}_reconstruction_nats"),
        **kl.estimate(rate).as_metrics(f"{split}_kl_nats"),
        **active_units.estimate(mean).as_metrics(f"{split}_active_units"),
    }
