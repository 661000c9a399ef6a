"""Images that a user hands over as an array: the faults of such an array, in words, and its conversion to one form.

Accepted: whole numbers 0..255, floats in [0, 1] or truth values, of shape (n, H, W), (n, C, H, W) or (n, H, W, C). Imports no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._image_set import Pixels
from objectives.data._options import FEWEST

LAYOUTS = (None, "NCHW", "NHWC")
CHANNELS = (1, 3)
FORM = "(n, height, width), (n, channels, height, width) or (n, height, width, channels)"


def header_faults(dtype: np.dtype[Any], shape: tuple[int, ...], layout: str | None) -> list[str]:
    """What is wrong with images of this type and shape, without reading them."""
    faults = []
    if dtype.kind not in "uifb":
        kind = {"O": "Python objects", "c": "complex numbers", "U": "text", "S": "text", "V": "records"}.get(dtype.kind, str(dtype))
        faults.append(f"images must be whole numbers 0..255, floats in [0, 1] or truth values; got {kind} (dtype {dtype}). Convert them.")
    if len(shape) not in (3, 4) or (layout and len(shape) != 4):
        wanted = f"{layout}, of rank 4" if layout else FORM
        faults.append(f"images must have the shape {wanted}; got {shape}. Reshape the array.")
    elif 0 in shape:
        faults.append(f"there must be images, with pixels; got an empty array of shape {shape}.")
    elif shape[0] == 1:
        faults.append(f"there must be at least {FEWEST} images in each of the three splits; got one image (shape {shape}).")
    elif layout is None and len(shape) == 4 and (shape[1] in CHANNELS) == (shape[3] in CHANNELS):
        rule = "one of the second and the last axis must be 1 or 3 channels, where layout does not say which axis they are"
        faults.append(f"{rule}; got shape {shape}. Set layout: NCHW or layout: NHWC.")
    return faults


def shape_of(shape: tuple[int, ...], layout: str | None) -> tuple[int, int, int]:
    """(channels, height, width) of images of such a shape. `header_faults` must have found no fault in it."""
    if len(shape) == 3:
        return (1, shape[1], shape[2])
    last = layout == "NHWC" if layout else shape[3] in CHANNELS
    return (shape[3], shape[1], shape[2]) if last else (shape[1], shape[2], shape[3])


def value_faults(images: NDArray[Any]) -> list[str]:
    """What is wrong with the values of images that have the right type and shape."""
    import numpy as np

    low, high = images.min(), images.max()  # NaN, if the images contain one
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int(images.size - np.isfinite(images).sum())
        return [f"pixels must be finite; got {count:,} of {images.size:,} that are NaN or infinite. Repair or drop these images."]
    if low == high:
        return [f"images must not be all alike; every pixel is {low}."]
    if images.dtype.kind in "ui" and not (low >= 0 and 1 < high <= 255):
        remedy = "Save them as bool or as floats." if low >= 0 and high <= 1 else "Scale them to 0..255."
        return [f"whole numbers must be gray values 0..255, of which 255 is white; got {low} to {high}. {remedy}"]
    if images.dtype.kind == "f" and not 0 <= low <= high <= 1:
        remedy = "Divide by 255." if low >= 0 and high <= 255 else "Use (x + 1) / 2." if low >= -1 and high <= 1 else "Scale them."
        return [f"floats must be in [0, 1]; got {low:.4g} to {high:.4g}. {remedy}"]
    return []


def label_faults(dtype: np.dtype[Any], shape: tuple[int, ...], n: int) -> list[str]:
    """What is wrong with labels of this type and shape for `n` images."""
    faults = []
    if dtype.kind not in "uib":
        faults.append(f"labels must be whole numbers; got dtype {dtype}. Number the classes.")
    if shape not in ((n,), (n, 1)):
        faults.append(f"there must be one label for each image, shape ({n},); got shape {shape}.")
    return faults


def as_pixels(images: NDArray[Any], layout: str | None) -> tuple[Pixels, int]:
    """Images without faults as (n, C, H, W), and the value of white: bytes and 255, truth values and 1, or float32 and 1."""
    import numpy as np

    shape = shape_of(images.shape, layout)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1:] != shape or layout == "NHWC":
        images = images.transpose(0, 3, 1, 2)
    if images.dtype.kind == "f":
        return np.ascontiguousarray(images, np.float32), 1
    return np.ascontiguousarray(images, np.uint8), 1 if images.dtype.kind == "b" else 255


def as_classes(labels: NDArray[Any]) -> tuple[NDArray[np.int64], list[int]]:
    """Labels as 0..k−1 (n,), and the k values that they had."""
    import numpy as np

    values, numbered = np.unique(labels.reshape(-1).astype(np.int64), return_inverse=True)
    return numbered.astype(np.int64), values.tolist()
