"""Arrays that a user hands over: the faults of such an array, in words that fit its numbers, and its conversion to one form.

Images are whole numbers, floats in [0, 1] or truth values, of shape (n, H, W), (n, C, H, W) or (n, H, W, C). A table is real values of
shape (n, d). Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._kinds import Pixels, Take
from objectives.data._options import FEWEST

LAYOUTS = (None, "NCHW", "NHWC")
CHANNELS = (1, 3)
WITH_ALPHA = (1, 2, 3, 4)  # channels where a ground is named: gray or colour, with transparency or without
FORM = "(n, height, width), (n, channels, height, width), (n, height, width, channels) or, for a table, (n, d)"
ROUNDING = 1e-3  # how far outside [0, 1] a float may be; it is set to the nearer end
LITTLE = 0.25  # a set that uses less of its range is remarked upon
GROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0)}

Raw = Callable[[NDArray[np.int64]], NDArray[Any]]  # a user's rows at some positions, as they are
Ground = tuple[int, int, int]  # the colour below transparent pixels, 0..255


def is_table(shape: Sequence[int]) -> bool:
    """Whether an array of this shape is a table: (n, d)."""
    return len(shape) == 2


def header_faults(dtype: np.dtype[Any], shape: tuple[int, ...], layout: str | None, ground: Ground | None = None) -> list[str]:
    """What is wrong with images or a table of this type and shape, without reading them."""
    faults, channels = [], WITH_ALPHA if ground else CHANNELS
    if dtype.kind not in "uifb":
        kind = {"O": "Python objects", "c": "complex numbers", "U": "text", "S": "text", "V": "records"}.get(dtype.kind, str(dtype))
        faults.append(f"images must be whole numbers 0..255, floats in [0, 1] or truth values; got {kind} (dtype {dtype}). Convert them.")
    if len(shape) not in (2, 3, 4) or (layout and len(shape) != 4):
        wanted = f"{layout}, of rank 4" if layout else FORM
        faults.append(f"images must have the shape {wanted}; got {shape}. Reshape the array.")
    elif 0 in shape:
        faults.append(f"there must be images, with pixels; got an empty array of shape {shape}.")
    elif shape[0] == 1:
        faults.append(f"there must be at least {FEWEST} images in each of the three splits; got one image (shape {shape}).")
    elif layout is None and len(shape) == 4 and (shape[1] in channels) == (shape[3] in channels):
        rule = "one of the second and the last axis must be 1 or 3 channels, where layout does not say which axis they are"
        alpha = " If the fourth channel is transparency, set ground: white or ground: black." if 4 in (shape[1], shape[3]) else ""
        faults.append(f"{rule}; got shape {shape}. Set layout: NCHW or layout: NHWC.{alpha}")
    return faults


def shape_of(shape: tuple[int, ...], layout: str | None, ground: Ground | None = None) -> tuple[int, int, int]:
    """(channels, height, width) of images of such a shape, (1, 1, d) of a table. `header_faults` must have found no fault in it."""
    if is_table(shape):
        return (1, 1, shape[1])
    if len(shape) == 3:
        return (1, shape[1], shape[2])
    last = _channels_last(shape, layout, ground)
    channels, height, width = (shape[3], shape[1], shape[2]) if last else (shape[1], shape[2], shape[3])
    return (channels - 1 if _has_alpha(channels, ground) else channels, height, width)


def _channels_last(shape: tuple[int, ...], layout: str | None, ground: Ground | None) -> bool:
    return layout == "NHWC" if layout else shape[3] in (WITH_ALPHA if ground else CHANNELS) and len(shape) == 4


def _has_alpha(channels: int, ground: Ground | None) -> bool:
    return ground is not None and channels in (2, 4)


@dataclass(frozen=True)
class Values:
    """What was found in numbers: the least and the largest finite one, how many there are, and how many are NaN or infinite."""

    low: float
    high: float
    count: int
    strange: int


def values_of(parts: Iterable[NDArray[Any]]) -> Values:
    """Look through numbers, part by part."""
    low, high, count, strange = math.inf, -math.inf, 0, 0
    for part in parts:
        ends = part.min(), part.max()  # NaN, if the part contains one
        count += part.size
        if not np.isfinite(ends).all():
            finite = np.isfinite(part)
            strange += int(part.size - finite.sum())
            ends = (part[finite].min(), part[finite].max()) if finite.any() else (math.inf, -math.inf)
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    return Values(low, high, count, strange)


@dataclass(frozen=True)
class Look:
    """What is known of a user's numbers before they are converted: their type and values, where they are, and the training positions."""

    dtype: np.dtype[Any]
    values: Values
    raw: Raw
    train: NDArray[np.int64]
    layout: str | None


@dataclass(frozen=True)
class Form:
    """How numbers are converted: a function that takes some, the value of white in what it takes, notes, and facts for the record."""

    take: Take
    white: int
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def white_of(dtype: np.dtype[Any], values: Values, white: int | None) -> int:
    """The value that is white: what was said, 65535 for unsigned 16-bit numbers above 255, 255 for other whole numbers, else 1."""
    if white is not None:
        return white
    if dtype.kind not in "ui":
        return 1
    return 65535 if dtype.kind == "u" and dtype.itemsize == 2 and values.high > 255 else 255


def value_faults(dtype: np.dtype[Any], values: Values, white: int | None = None) -> list[str]:
    """What is wrong with the values of images; a remedy that is named makes these very numbers right. `white` is what the spec says."""
    low, high = values.low, values.high
    given = f"got {low:.10g} to {high:.10g}"
    if values.strange:
        told = f"got {values.strange:,} of {values.count:,} that are NaN or infinite"
        return [f"pixels must be finite; {told}. Repair or drop these images."]
    if low == high:
        return [f"images must not be all alike; every pixel is {low:g}."]
    if white is not None and dtype.kind != "b":
        over = ROUNDING * white if dtype.kind == "f" else 0
        if low < -over or high > white + over:
            return [f"values must be in 0..white, and white is {white}; {given}. {_remedy(low, high)}"]
        return []
    if dtype.kind in "ui" and not (low >= 0 and 1 < high <= white_of(dtype, values, None)):
        remedy = "Save them as bool or as floats, or set white: 1." if low >= 0 and high <= 1 else _whole_remedy(low, high)
        return [f"whole numbers must be gray values 0..255, of which 255 is white; {given}. {remedy}"]
    if dtype.kind == "f" and not -ROUNDING <= low <= high <= 1 + ROUNDING:
        told = f"got {low:.8g} to {high:.8g}"
        return [f"floats must be in [0, 1]; {told}. {_remedy(low, high)}"]
    return []


def _whole_remedy(low: float, high: float) -> str:
    """How whole numbers that are no gray values become such."""
    if low >= 0:
        return f"Scale them to 0..255, or set white: {high:.0f}, or whatever white is."
    if 1 < high - low <= 255:
        return f"Add {-low:.0f} to all of them."
    return f"Write (x {_minus(low)}) / {high - low:.10g}, as floats."


def _remedy(low: float, high: float) -> str:
    """How values that are not in [0, 1] get there."""
    if -0.1 <= low < 1 and 0 < high <= 1.1:  # else all would be alike
        return "Clip them: np.clip(x, 0, 1)."
    if low >= -ROUNDING:
        white = 255 if 128 < high <= 255 else math.ceil(high)
        return f"Divide by {white}, or set white: {white}."
    if low >= -1 - ROUNDING and high <= 1 + ROUNDING:
        return "Use (x + 1) / 2."
    low, high = math.floor(low), math.ceil(high)
    return f"Use (x {_minus(low)}) / {high - low:.10g}, for all images alike. If they are no pixels, give them as a table of shape (n, d)."


def _minus(number: float) -> str:
    return f"+ {-number:.10g}" if number < 0 else f"- {number:.10g}"


def value_notes(values: Values, white: int) -> list[str]:
    """What is remarkable about values that can be trained on."""
    low, high = values.low, values.high
    if high - low >= LITTLE * white:
        return []
    used = f"images use {low:.4g} to {high:.4g} of the range 0 to {white}, so all of them look alike to a model"
    brightest = math.ceil(high)
    remedy = f"if {brightest} is white, set white: {brightest}" if high < LITTLE * white and brightest < white else "stretch their contrast"
    return [f"{used}; {remedy}"]


def table_faults(values: Values) -> list[str]:
    """What is wrong with the values of a table."""
    if values.strange:
        told = f"got {values.strange:,} of {values.count:,} that are NaN or infinite"
        return [f"a table must be finite; {told}. Fill them in, or drop these rows."]
    return [f"rows must not be all alike; every value is {values.low:g}."] if values.low == values.high else []


def label_faults(dtype: np.dtype[Any], shape: tuple[int, ...], n: int) -> list[str]:
    """What is wrong with labels of this type and shape for `n` images."""
    faults = []
    if dtype.kind not in "uibf":
        faults.append(f"labels must be whole numbers; got dtype {dtype}. Number the classes.")
    if shape not in ((n,), (n, 1)):
        faults.append(f"there must be one label for each image, shape ({n},); got shape {shape}.")
    return faults


def label_value_faults(labels: NDArray[Any]) -> list[str]:
    """What is wrong with the values of labels: floats must be whole or NaN."""
    if labels.dtype.kind != "f":
        return []
    broken = labels[np.isfinite(labels) & (labels != np.rint(labels)) | np.isinf(labels)]
    return (
        [f"labels must be whole numbers, or NaN for none; got {broken[0]:g} (dtype {labels.dtype}). Number the classes, or leave them out."]
        if len(broken)
        else []
    )


def as_pixels(images: NDArray[Any], layout: str | None, white: int, ground: Ground | None = None) -> Pixels:
    """Images without faults as (n, C, H, W): bytes in 0..white where white is at most 255, else float32 in [0, 1]."""
    if images.ndim == 3:
        images = images[:, None]
    elif _channels_last(images.shape, layout, ground):
        images = images.transpose(0, 3, 1, 2)
    if _has_alpha(images.shape[1], ground):
        images = _composited(images, white, ground or GROUNDS["black"])
    if images.dtype.kind == "f":
        floats = np.ascontiguousarray(images, np.float32)
        floats = floats if white == 1 else floats / np.float32(white)
        return floats if floats.min() >= 0 and floats.max() <= 1 else np.clip(floats, 0, 1)
    if white > 255:
        return np.ascontiguousarray(images, np.float32) / np.float32(white)
    return np.ascontiguousarray(images, np.uint8)


def _composited(images: NDArray[Any], white: int, ground: Ground) -> NDArray[Any]:
    """Images (n, C + 1, H, W), whose last channel says how opaque a pixel is, on a ground: (n, C, H, W) of the same type."""
    colour = (round(sum(ground) / 3),) if images.shape[1] == 2 else ground
    below = np.array(colour, np.float64).reshape(1, -1, 1, 1) * (white / 255)
    opaque = images[:, -1:] / np.float64(white)
    found = images[:, :-1] * opaque + below * (1 - opaque)
    return found.astype(images.dtype) if images.dtype.kind == "f" else np.rint(found).astype(images.dtype)


def as_classes(labels: NDArray[Any]) -> tuple[NDArray[np.int64] | None, list[int]]:
    """Labels as 0..k−1 (n,), and the k values that they had. −1 and NaN are no class: they become −1. None if there is nothing else."""
    flat = labels.reshape(-1)
    missing = np.isnan(flat) if flat.dtype.kind == "f" else np.zeros(len(flat), bool)
    whole = np.where(missing, -1, flat).astype(np.int64)
    missing = whole == -1 if flat.dtype.kind != "b" else missing
    values, numbered = np.unique(whole[~missing], return_inverse=True)
    if not len(values):
        return None, []
    found = np.full(len(whole), -1, np.int64)
    found[~missing] = numbered
    return found, values.tolist()
