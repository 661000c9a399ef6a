"""A convolutional VAE with batch normalization, as it is: nothing in it is Lagrange's. conv_vae.yaml searches its β.

python conv_vae.py digits        writes a folder of images: digits/train, digits/val, digits/test
"""

import sys
from pathlib import Path

import torch
from torch import nn


class ConvVAE(nn.Module):
    """Gray images of 8×8 pixels."""

    def __init__(self, latent_dim=8):
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            nn.Flatten(),
        )
        self.mean, self.log_variance = nn.Linear(128, latent_dim), nn.Linear(128, latent_dim)
        self.decoder = nn.Sequential(
            *(nn.Linear(latent_dim, 128), nn.Unflatten(1, (32, 2, 2)), nn.ReLU()),
            *(nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1), nn.Sigmoid()),
        )

    def encode(self, x):
        """Mean and log-variance of the codes."""
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, z):
        """Images in [0, 1]."""
        return self.decoder(z)

    def forward(self, x):
        """Reconstructions, means and log-variances."""
        mean, log_variance = self.encode(x)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decode(z), mean, log_variance


def write(folder):
    """The digits of scikit-learn as PNG files: 1,000 to learn from, 400 for validation, 397 for the test."""
    from PIL import Image
    from sklearn.datasets import load_digits

    images = (load_digits().images * 255 / 16).astype("uint8")
    for number, image in enumerate(images):
        place = Path(folder) / ("train" if number < 1000 else "val" if number < 1400 else "test")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:04d}.png")


if __name__ == "__main__":
    write(sys.argv[1])
