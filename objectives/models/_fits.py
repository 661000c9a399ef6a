"""Which images a kind of model takes, readable without torch: what a model's file says as `accepts` and `FITS`."""

from __future__ import annotations

LEAST = 8  # pixels a side
PICTURES = f"images of at least {LEAST} × {LEAST} pixels, of any number of channels"


def pictures(shape: tuple[int, int, int]) -> bool:
    """True for images (channels, height, width) that a convolution makes sense on; sizes that do not divide are padded inside."""
    return min(shape[1:]) >= LEAST
