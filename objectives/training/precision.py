"""The precision of the products in a training: matrices and convolutions, also those of penalties.

With any choice, weights, the moments of Adam and every evaluation are float32, so a score always means the same. A number that is computed
from products may stay as coarse as they are: a loss that is logged may, a loss that decides may not.

    float32    every product in full; TF32, which convolutions use by default on an NVIDIA GPU, is off
    tf32       19-bit factors and float32 sums, on NVIDIA GPUs from Ampere on; elsewhere it changes nothing
    bfloat16   factors with 8 bits of mantissa, by torch's autocast
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from objectives.base import Precision


@contextmanager
def products(precision: Precision, device: str) -> Iterator[None]:
    """Inside, products on `device` are computed in `precision`; outside as before."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        # Autocast would keep a cast for later, and so across the members of a map.
        with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
