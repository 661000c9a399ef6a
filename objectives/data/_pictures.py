"""Image files to arrays of 8 or 16 bits, several at once. Every unreadable file is named. Imports PIL inside functions only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data._arrays import Ground

if TYPE_CHECKING:
    from PIL.Image import Image

THREADS = 4  # PIL decodes without the interpreter's lock
SHOWN = 5  # faults that are named in the message; there may be thousands
DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})  # gray of 16 bits; PIL makes 8 bits of colours of 16
GRAY = frozenset({"1", "L", "LA", "La", *DEEP})
COLOUR = frozenset({"RGB", "RGBA", "RGBa", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})
STEP = 257  # one step of 8 bits in steps of 16: 255 · 257 = 65535


def read(paths: Sequence[Path], make: Callable[[Image], Image], remedy: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The images of `paths`, (n, C, H, W). Each is opened, changed by `make`, which may raise ObjectiveError, and decoded.

    All are bytes, unless one of them has 16 bits: then all are 0..65535.

    Raises:
        ObjectiveError: files that are no images, are cut short, or that `make` refuses. The first few are named, and `remedy` is added.
    """

    def one(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16] | str:
        from PIL import Image

        try:
            with Image.open(path) as opened:
                return as_array(make(opened))
        except ObjectiveError as error:
            return f"{path}: {error}"
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"{path}: {type(error).__name__}: {error}"

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(one, paths))
    wrong = [said for said in found if isinstance(said, str)]
    if wrong:
        more = [f"… and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        told = "\n".join(["", *wrong[:SHOWN], *more])
        raise ObjectiveError(f"image files must be readable; {len(wrong)} of {len(paths)} cannot be used. {remedy}{told}")
    images = [pixels for pixels in found if not isinstance(pixels, str)]
    if any(pixels.dtype == np.uint16 for pixels in images):
        return np.stack([pixels if pixels.dtype == np.uint16 else pixels * np.uint16(STEP) for pixels in images])
    return np.stack(images).astype(np.uint8, copy=False)


def as_array(image: Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The pixels of an image, (C, H, W): 16 bits where it has as many, else 8.

    Raises:
        ObjectiveError: there are values beyond 16 bits.
    """
    pixels = np.asarray(image)
    if pixels.dtype == np.uint8 or pixels.dtype == np.bool_:
        return pixels.astype(np.uint8)[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if pixels.dtype.kind == "f":  # what was resized in between
        pixels = np.clip(np.rint(pixels), 0, 65535)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ObjectiveError(f"pixels must have 8 or 16 bits; got {pixels.min()} to {pixels.max()}. Convert the file.")
    return pixels.astype(np.uint16)[None]


def channels_of(image: Image) -> int:
    """1 for a gray image and 3 for a colour image.

    Raises:
        ObjectiveError: the pixels are neither gray nor colours.
    """
    if image.mode in GRAY:
        return 1
    if image.mode in COLOUR:
        return 3
    raise ObjectiveError(f"pixels must be gray or colour, of 8 or 16 bits; got PIL's mode {image.mode!r}. Convert the file.")


def as_channels(image: Image, channels: int, ground: Ground | None = None) -> Image:
    """The image in gray (1) or colour (3), transparent pixels on a ground. An image of 16 bits is made float, for it may be resized.

    Raises:
        ObjectiveError: there are transparent pixels, and no ground; or colours are wanted of 16 bits of gray.
    """
    channels_of(image)
    if image.mode in DEEP:
        if channels == 3:
            raise ObjectiveError("has 16 bits of gray, of which no colours can be made; set channels: 1")
        return image.convert("F")
    return _opaque(image, ground).convert("L" if channels == 1 else "RGB")


def _opaque(image: Image, ground: Ground | None) -> Image:
    """An image without transparency: what is transparent shows the ground."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    whole = image.convert("RGBA")
    if whole.getchannel("A").getextrema() == (255, 255):
        return image
    if ground is None:
        raise ObjectiveError("has transparent pixels; set ground: white, ground: black or ground: [red, green, blue], what is seen there")
    return Image.alpha_composite(Image.new("RGBA", whole.size, (*ground, 255)), whole)


def pixels_of(image: Image, channels: int | None, ground: Ground | None) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The pixels (C, H, W) of an image that is open already, in as many channels as it has or as are wanted."""
    return as_array(as_channels(image, channels or channels_of(image), ground))
