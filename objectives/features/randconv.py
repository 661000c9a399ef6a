"""Features of a convolutional network that was never trained. It has seen no label and no image, so nothing of the data leaks into them.

They are a control: a result that holds in trained features and in these does not depend on the classifier. Random features rank generators
sensibly where no suitable classifier exists. Source: Naeem et al., arXiv 2002.09797, section 5.3 (random embeddings).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives.data._kinds import ImageSet
from objectives.features import CHUNK, Extractor, fitting_images, no_options, tensor_hash
from objectives.lazy import Tensor, functional, torch

SUMMARY = "64 features of a convolutional network with fixed random weights, for images of any size"
RANK = 4
WIDTHS = (32, 64, 128, 128, 128)  # filters of 3×3 per stage; each stage halves the side, until 4 pixels are left
DIM = 64
SEED = 0
_LAST_SIDE = 4


def faults(options: Mapping[str, Any]) -> list[str]:
    """It has no options."""
    return no_options("randconv", options)


def suits(images: ImageSet) -> bool:
    """Any images; `pca` comes first for what is too small to be convolved."""
    return True


def make(images: ImageSet, cache: Path | None, options: Mapping[str, Any]) -> Extractor:
    """64 features. Each has mean 0 and variance 1 over the training images, or what all images have in common would hide the rest."""
    weights = _weights(images.shape)
    x = fitting_images(images)
    parts = (x[start : start + CHUNK] for start in range(0, len(x), CHUNK))
    sample = torch.cat([_forward(part.float().cpu(), weights) for part in parts]).double()
    spread = sample.std(0, correction=0)
    weights |= {"mean": sample.mean(0).float(), "spread": torch.where(spread > 1e-6, spread, 1.0).float()}
    sha256 = tensor_hash(weights)
    on_device = {name: tensor.to(images.val.device) for name, tensor in weights.items()}

    def of(part: Tensor) -> Tensor:
        return (_forward(part, on_device) - on_device["mean"]) / on_device["spread"]

    return Extractor(f"randconv-{DIM}@{sha256[:8]}", images.shape, DIM, of, {"dim": DIM, "seed": SEED, "sha256": sha256})


def _sides(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width that enter each stage."""
    found = [(height, width)]
    while len(found) < len(WIDTHS) and min(found[-1]) // 2 >= _LAST_SIDE:
        found.append((found[-1][0] // 2, found[-1][1] // 2))
    return found


def _weights(shape: tuple[int, int, int]) -> dict[str, Tensor]:
    """He-normal weights from a generator of their own, on the CPU: the same on every device."""
    generator = torch.Generator().manual_seed(SEED)
    channels, height, width = shape
    found = {}
    for stage, filters in zip(range(len(_sides(height, width))), WIDTHS, strict=False):
        found[f"conv{stage}"] = torch.randn(filters, channels, 3, 3, generator=generator) * (2 / (9 * channels)) ** 0.5
        channels = filters
    flat = channels * _LAST_SIDE**2
    found["linear"] = torch.randn(flat, DIM, generator=generator) / flat**0.5
    return found


def _forward(images: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Images (n, C, H, W) -> (n, 64): 3×3 convolution, leaky ReLU and average pooling per stage, then a 4×4 grid projected at random."""
    x = images.float() - 0.5
    stages = sum(name.startswith("conv") for name in weights)
    for stage in range(stages):
        x = functional.leaky_relu(functional.conv2d(x, weights[f"conv{stage}"], padding=1), 0.2)
        if stage < stages - 1:
            x = functional.avg_pool2d(x, 2)
    return functional.adaptive_avg_pool2d(x, _LAST_SIDE).flatten(1) @ weights["linear"]
