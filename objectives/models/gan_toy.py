"""The nets of PacGAN for points in the plane: generator z - 400 - 400 - 400 - 400 - D, discriminator D - 200 - 200 - 200 - 1.

Made for mixtures of Gaussians. The generator's hidden layers have no bias, batch normalization and ReLU; the discriminator's are maxouts
of 5 pieces. z = 2. There the output is linear, in the units of the plane; here points lie in [0, 1]², so it is a tanh moved there, and
the discriminator centres what it sees. Starts as published: weights from N(0, 0.02²), biases of 0. Source: Lin et al. 2018, section 4.1
and its code (2DGrid, 2DRing), after VEEGAN and ALI.
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Both are made for two numbers, shape (1, 1, 2), and take any."""
    from itertools import pairwise

    from torch import nn, relu

    from objectives.models._convolutional import Logit, started, unit_norm
    from objectives.models._layers import Act, Hidden, Maxout, Stack, unit_interval

    size = math.prod(shape)
    hidden = [
        layer
        for inputs, outputs in pairwise([latent_dim, 400, 400, 400, 400])
        for layer in (nn.Linear(inputs, outputs, bias=False), unit_norm(outputs), Hidden(relu))
    ]
    pieces = [layer for inputs, outputs in pairwise([size, 200, 200, 200]) for layer in (Maxout(inputs, outputs, 5), Hidden())]
    return {
        "generator": started(Stack(*hidden, nn.Linear(400, size), Act(unit_interval)), 0.02),
        "discriminator": started(Stack(Act(lambda x: 2 * x - 1), *pieces, Logit(200)), 0.02),
    }


BUILD = {"gan": gan}
RECIPE = {"gan": {"latent_dim": 2, "lr": 1e-4, "beta1": 0.8}}
# 2·400 + 2·400, 3·(400·400 + 2·400), 400·2 + 2; 2·1000 + 1000, 2·(200·1000 + 1000), 200 + 1
PUBLISHED = {"gan": ((1, 1, 2), 2, {"generator": 1_600 + 482_400 + 802, "discriminator": 3_000 + 402_000 + 201})}
