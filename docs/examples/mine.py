"""A model and a data set of your own. Lagrange treats them like its built-in ones. Run in this folder:

lagrange check vae --model mine:net --dataset mine:images
lagrange sweep mine.yaml --name discs
lagrange export discs -o best.yaml && lagrange train best.yaml
"""

import numpy as np
from torch import nn


def images(n=600, size=16, seed=0):
    """`dataset: {name: "mine:images", n: 600}`: discs of random place and radius, (n, 1, size, size) in [0, 1]."""
    random = np.random.RandomState(seed)
    centre, radius = random.uniform(0.3, 0.7, (n, 2, 1, 1)) * size, random.uniform(0.1, 0.3, (n, 1, 1)) * size
    row, column = np.mgrid[:size, :size]
    distance = np.hypot(row - centre[:, 0], column - centre[:, 1])
    return np.clip(radius - distance + 0.5, 0, 1)[:, None].astype("float32")


class Encoder(nn.Module):
    """Images (n, C·H·W) to means beside log-variances (n, 2·latent_dim)."""

    def __init__(self, channels, height, width, latent_dim):
        super().__init__()
        self.image = (channels, height, width)
        self.conv = nn.Conv2d(channels, 8, 4, stride=2, padding=1)
        self.out = nn.Linear(8 * (height // 2) * (width // 2), 2 * latent_dim)

    def forward(self, x, hidden):
        """`hidden` applies a λ on activations (dropout): pass the activations of each hidden layer through it."""
        return self.out(hidden(self.conv(x.view(-1, *self.image)).relu()).flatten(1))


class Decoder(nn.Module):
    """Codes (n, latent_dim) to logits (n, C·H·W)."""

    def __init__(self, channels, height, width, latent_dim):
        super().__init__()
        self.small = (8, height // 2, width // 2)
        self.grow = nn.Linear(latent_dim, 8 * (height // 2) * (width // 2))
        self.conv = nn.ConvTranspose2d(8, channels, 4, stride=2, padding=1)

    def forward(self, z, hidden):
        """`hidden` as in the encoder."""
        return self.conv(hidden(self.grow(z).relu()).view(-1, *self.small)).flatten(1)


def net(shape, latent_dim):
    """`model: mine:net`."""
    return {"encoder": Encoder(*shape, latent_dim), "decoder": Decoder(*shape, latent_dim)}
