"""Models as people write them, for images of 8 × 8 and more: the habits of public repositories, written anew.

Each entry of `MODELS` is an objective and a function as `model: module:function` names one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

Shape = tuple[int, int, int]


class ConvVAE(nn.Module):
    """One module: convolutions with batch normalization, two heads, `encode`, `reparameterize`, `decode` ending in a sigmoid."""

    def __init__(self, channels: int, side: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.LeakyReLU(),
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
            nn.BatchNorm2d(6),
            nn.LeakyReLU(),
        )
        self.side = side // 4
        self.fc_mu = nn.Linear(6 * self.side**2, latent_dim)
        self.fc_var = nn.Linear(6 * self.side**2, latent_dim)
        self.decoder_input = nn.Linear(latent_dim, 6 * self.side**2)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(4),
            nn.LeakyReLU(),
            nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(4),
            nn.LeakyReLU(),
            nn.Conv2d(4, channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def encode(self, input: Tensor) -> list[Tensor]:
        result = torch.flatten(self.encoder(input), start_dim=1)
        return [self.fc_mu(result), self.fc_var(result)]

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return torch.randn_like(mu) * torch.exp(0.5 * logvar) + mu

    def decode(self, z: Tensor) -> Tensor:
        result = self.decoder_input(z).view(-1, 6, self.side, self.side)
        decoded: Tensor = self.decoder(result)
        return decoded

    def forward(self, input: Tensor) -> list[Tensor]:
        mu, log_var = self.encode(input)
        return [self.decode(self.reparameterize(mu, log_var)), input, mu, log_var]


def conv_vae(shape: Shape, latent_dim: int) -> nn.Module:
    return ConvVAE(shape[0], shape[1], latent_dim)


class ForwardVAE(nn.Module):
    """A tutorial's: layers side by side, and a forward that returns (output, mean, log-variance). No `encode`, no `decode`."""

    def __init__(self, x_dim: int, z_dim: int) -> None:
        super().__init__()
        self.x_dim = x_dim
        self.fc1 = nn.Linear(x_dim, 16)
        self.bn1 = nn.BatchNorm1d(16)
        self.fc31 = nn.Linear(16, z_dim)
        self.fc32 = nn.Linear(16, z_dim)
        self.fc4 = nn.Linear(z_dim, 16)
        self.bn4 = nn.BatchNorm1d(16)
        self.fc6 = nn.Linear(16, x_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = functional.relu(self.bn1(self.fc1(x.view(-1, self.x_dim))))
        mu, log_var = self.fc31(h), self.fc32(h)
        std = torch.exp(0.5 * log_var)
        z = mu + std * torch.randn_like(std)
        h = functional.relu(self.bn4(self.fc4(z)))
        return torch.sigmoid(self.fc6(h)), mu, log_var


def forward_vae(shape: Shape, latent_dim: int) -> nn.Module:
    return ForwardVAE(shape[0] * shape[1] * shape[2], latent_dim)


class PairEncoder(nn.Module):
    """An encoder that returns a pair, with dropout inside."""

    def __init__(self, inputs: int, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 12)
        self.dropout = nn.Dropout(0.2)
        self.mu = nn.Linear(12, latent_dim)
        self.logvar = nn.Linear(12, latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.dropout(torch.tanh(self.linear(x.flatten(1))))
        return self.mu(h), self.logvar(h)


def pair_vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    size = shape[0] * shape[1] * shape[2]
    decoder = nn.Sequential(nn.Linear(latent_dim, 12), nn.ELU(), nn.Linear(12, size), nn.Unflatten(1, shape))
    return {"encoder": PairEncoder(size, latent_dim), "decoder": decoder}


class Autoencoder(nn.Module):
    """`self.encoder` and `self.decoder`; a mask of ones and a count are buffers, the last layer of the decoder is frozen."""

    def __init__(self, latent_dim: int, channels: int = 1, side: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1, stride=2),
            nn.BatchNorm2d(4, momentum=0.2),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Flatten(),
            nn.Linear(4 * (side // 2) ** 2, latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, 4 * (side // 2) ** 2),
            nn.ReLU(),
            nn.Unflatten(1, (4, side // 2, side // 2)),
            nn.ConvTranspose2d(4, channels, 2, stride=2),
            nn.Tanh(),
        )
        self.decoder[3].bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        rebuilt: Tensor = self.decoder(self.encoder(x))
        return rebuilt


def autoencoder(shape: Shape, latent_dim: int) -> nn.Module:
    return Autoencoder(latent_dim, shape[0], shape[1])


def weights_init(module: nn.Module) -> None:
    if "Conv" in type(module).__name__:
        nn.init.normal_(module.weight, 0.0, 0.02)  # type: ignore[arg-type]
    elif "BatchNorm" in type(module).__name__:
        nn.init.normal_(module.weight, 1.0, 0.02)  # type: ignore[arg-type]
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def dcgan(shape: Shape, nz: int) -> dict[str, nn.Module]:
    """z as (n, nz, 1, 1), tanh at the end; a discriminator whose sigmoid gives (n, 1, 1, 1)."""
    nc, kernel = shape[0], shape[1] // 4
    generator = nn.Sequential(
        nn.ConvTranspose2d(nz, 8, kernel, 1, 0, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(True),
        nn.ConvTranspose2d(4, nc, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(nc, 4, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4, 8, 4, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 1, kernel, 1, 0, bias=False),
        nn.Sigmoid(),
    )
    return {"generator": generator.apply(weights_init), "discriminator": discriminator.apply(weights_init)}


class Generator(nn.Module):
    """Blocks of linear layers, some with batch normalization of ε = 0.8, reshaped to an image."""

    def __init__(self, latent_dim: int, img_shape: Shape) -> None:
        super().__init__()
        self.img_shape = img_shape

        def block(in_feat: int, out_feat: int, normalize: bool = True) -> list[nn.Module]:
            layers: list[nn.Module] = [nn.Linear(in_feat, out_feat)]
            if normalize:
                layers.append(nn.BatchNorm1d(out_feat, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        size = img_shape[0] * img_shape[1] * img_shape[2]
        self.model = nn.Sequential(*block(latent_dim, 16, normalize=False), *block(16, 24), nn.Linear(24, size), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        img: Tensor = self.model(z)
        return img.view(img.size(0), *self.img_shape)


class Discriminator(nn.Module):
    """Linear layers with dropout; its validity is a logit (n, 1)."""

    def __init__(self, img_shape: Shape) -> None:
        super().__init__()
        size = img_shape[0] * img_shape[1] * img_shape[2]
        self.model = nn.Sequential(nn.Linear(size, 24), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(0.3), nn.Linear(24, 1))

    def forward(self, img: Tensor) -> Tensor:
        validity: Tensor = self.model(img.view(img.size(0), -1))
        return validity


def mlp_gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    return {"generator": Generator(latent_dim, shape), "discriminator": Discriminator(shape)}


MODELS = {
    "conv_vae": "vae",
    "forward_vae": "vae",
    "pair_vae": "vae",
    "autoencoder": "autoencoder",
    "dcgan": "gan",
    "mlp_gan": "gan",
}
