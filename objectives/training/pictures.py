"""From a trained network to a sheet of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives.pictures import Bytes, Sheet

if TYPE_CHECKING:
    from torch import Tensor

    from objectives.data._kinds import ImageSet
    from objectives.terms import Net
    from objectives.training.mathematics import Mathematics


def sheet(family: Mathematics, net: Net, images: ImageSet, epoch: int) -> Sheet | None:
    """What a family shows of a network; None where the data are no pictures, or the family shows nothing."""
    import torch

    if images.shape[0] not in (1, 3) or min(images.shape[1:]) < 2:
        return None
    with torch.no_grad():
        shown = family.pictures(net, images)
    return Sheet({name: as_bytes(found) for name, found in shown.items()}, epoch) if shown else None


def as_bytes(images: Tensor) -> Bytes:
    """Images (n, C, H, W) in [0, 1] as (n, H, W, C) bytes. Values outside are clipped; NaN is black."""
    import torch

    found = (images.detach().cpu().float().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    bytes_: Bytes = found.permute(0, 2, 3, 1).contiguous().numpy()
    return bytes_
