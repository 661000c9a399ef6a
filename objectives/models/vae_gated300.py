"""The gated VAE of the VampPrior paper, here with a standard normal prior: D - 300 - 300 - z - 300 - 300 - D, z = 40.

A hidden layer is h ⊙ σ(g), h and g both linear in what comes in, and has no other activation. Log-variances are held in [−6, 2], as
there. Starts as published: kernels from N(0, 2/inputs). That code warms β up over 100 epochs (`kl_warmup`), which is a λ and so is left
to the spec. Source: Tomczak & Welling 2018; `models/VAE.py` and `utils/nn.py` of its code; learning rate and z of its `experiment.py`
(recalled).
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    from objectives.models._layers import Act, Gated, Stack, bounded_log_variance

    size = math.prod(shape)
    parts: dict[str, nn.Module] = {
        "encoder": Stack(Gated(size, 300), Gated(300, 300), nn.Linear(300, 2 * latent_dim), Act(bounded_log_variance)),
        "decoder": Stack(Gated(latent_dim, 300), Gated(300, 300), nn.Linear(300, size)),
    }
    for part in parts.values():
        for module in part.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=math.sqrt(2 / module.in_features))
    return parts


BUILD = {"vae": vae}
RECIPE = {"vae": {"latent_dim": 40, "lr": 5e-4}}
# 2·(784·300 + 300), 2·(300·300 + 300), 300·80 + 80; 2·(40·300 + 300), 2·(300·300 + 300), 300·784 + 784
PUBLISHED = {"vae": ((1, 28, 28), 40, {"encoder": 471_000 + 180_600 + 24_080, "decoder": 24_600 + 180_600 + 235_984})}
