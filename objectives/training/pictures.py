"""Pictures of samples and reconstructions, large enough to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from objectives._files import replaced
from objectives.base import ObjectiveError

if TYPE_CHECKING:
    from torch import Tensor

    from objectives.data._kinds import ImageSet
    from objectives.terms import Net
    from objectives.training.mathematics import Mathematics

WIDTH = 300  # pixels: what a grid has at least, so that 8×8 images can be seen


def save(family: Mathematics, net: Net, images: ImageSet, path: Path) -> bool:
    """Write what a family shows of a trained network as a PNG; False where the data are no pictures."""
    import torch

    pictures = images.shape[0] in (1, 3) and min(images.shape[1:]) > 1
    with torch.no_grad():
        shown = family.picture(net, images) if pictures else None
    if shown is not None:
        save_grid(shown[0], path, shown[1])
    return shown is not None


def save_grid(images: Tensor, path: Path, columns: int = 8) -> None:
    """Write images (n, C, H, W) in [0, 1], C = 1 or 3, as one PNG, row by row, with a line of gray between them.

    Small images are enlarged by a whole factor without smoothing. So a pixel stays a square and the grid is at least 300 pixels wide.
    Values outside [0, 1] are clipped; NaN is black. The file is written completely or not at all.

    Raises:
        ObjectiveError: the shape is not that of pictures, there are no images, or `columns` is below 1.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape or columns < 1:
        rule = "a grid needs images of shape (n, 1 or 3, H, W), n at least 1, and columns at least 1"
        raise ObjectiveError(f"{rule}; got shape {tuple(images.shape)} and columns {columns}.")
    from PIL import Image

    grid = _grid(images.detach().cpu().float(), columns)
    picture = Image.fromarray(grid.numpy() if grid.shape[2] == 3 else grid[:, :, 0].numpy())
    with replaced(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def _grid(images: Tensor, columns: int) -> Tensor:
    """The grid as bytes: (n, C, H, W) -> (height, width, C) uint8."""
    import torch

    n, channels, height, width = images.shape
    columns = min(columns, n)
    factor = -(-WIDTH // (columns * width))
    line = max(1, factor // 4)
    enlarged = images.nan_to_num(0.0).clamp(0, 1).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    rows, cell_h, cell_w = -(-n // columns), height * factor + line, width * factor + line
    canvas = torch.full((channels, rows * cell_h + line, columns * cell_w + line), 0.5)
    for position, image in enumerate(enlarged):
        top, left = position // columns * cell_h + line, position % columns * cell_w + line
        canvas[:, top : top + height * factor, left : left + width * factor] = image
    return (canvas * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
