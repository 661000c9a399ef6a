"""Image files to arrays of bytes, several at once. Every unreadable file is named. Imports PIL inside functions only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from objectives.base import ObjectiveError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

THREADS = 4  # PIL decodes without the interpreter's lock
SHOWN = 5  # faults that are named in the message; there may be thousands
GRAY = frozenset({"1", "L", "LA"})
COLOUR = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})


def read(paths: Sequence[Path], make: Callable[[Image], Image], remedy: str) -> NDArray[np.uint8]:
    """The images of `paths`, (n, C, H, W). Each is opened, changed by `make`, which may raise ObjectiveError, and decoded.

    Raises:
        ObjectiveError: files that are no images, are cut short, or that `make` refuses. The first few are named, and `remedy` is added.
    """
    import numpy as np

    def one(path: Path) -> NDArray[np.uint8] | str:
        from PIL import Image

        try:
            with Image.open(path) as opened:
                pixels = np.asarray(make(opened), np.uint8)
        except ObjectiveError as error:
            return f"{path}: {error}"
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"{path}: {type(error).__name__}: {error}"
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(one, paths))
    wrong = [said for said in found if isinstance(said, str)]
    if wrong:
        more = [f"… and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        told = "\n".join(["", *wrong[:SHOWN], *more])
        raise ObjectiveError(f"image files must be readable; {len(wrong)} of {len(paths)} cannot be used. {remedy}{told}")
    return np.stack([pixels for pixels in found if not isinstance(pixels, str)])


def channels_of(image: Image) -> int:
    """1 for a gray image and 3 for a colour image.

    Raises:
        ObjectiveError: the pixels are no bytes.
    """
    if image.mode in GRAY:
        return 1
    if image.mode in COLOUR:
        return 3
    raise ObjectiveError(f"pixels must be 8-bit gray or colour; got PIL's mode {image.mode!r}. Convert the file.")


def as_channels(image: Image, channels: int) -> Image:
    """The image in gray (1) or colour (3); transparency is dropped."""
    channels_of(image)
    return image.convert("L" if channels == 1 else "RGB")
