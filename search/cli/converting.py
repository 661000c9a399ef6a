"""Units of other projects, for the command line. It reads what was typed and asks `objectives.conventions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from objectives import conventions
from search.errors import SpecError

Row = dict[str, Any]


def rows(
    source: str | None,
    target: str | None,
    pairs: Sequence[str],
    *,
    image: str | None = None,
    pixels: int | None = None,
    latent: int | None = None,
    kernels: int | None = None,
    batch: int | None = None,
) -> list[Row]:
    """Convert parameters of the convention `source` to our knobs, or our knobs to `target`, or parameters of one convention to the other.

    Raises:
        SpecError, ObjectiveError: with every fault.
    """
    given, faults = _pairs(pairs)
    shape, fault = _shape(image)
    faults += [fault] if fault else []
    faults += [f"--{name} must be at least 1; got {value}." for name, value in _counts(pixels, latent, kernels, batch) if value < 1]
    if source is None and target is None:
        faults.append(f"convert must be given --from or --to; conventions: {', '.join(conventions.table())}. Write --from pytorch-vae.")
    if faults:
        raise SpecError(faults)
    size = conventions.Size(image=shape, pixels=pixels, latent=latent, kernels=kernels, batch=batch)
    if source is None:
        assert target is not None
        return [asdict(one) for one in conventions.restore(target, given, size)]
    found = [asdict(one) for one in conventions.convert(source, given, size)]
    if target is None:
        return found
    knobs = {row["target"]: repr(row["result"]) for row in found}
    return found + [asdict(one) for one in conventions.restore(target, knobs, size)]


def listing(source: str | None) -> list[Row]:
    """The conventions, or the parameters of one."""
    found: list[Row] = conventions.entries(source)
    return found


def headings(source: str) -> dict[str, str]:
    """How a convention writes its loss, and what its settings can be."""
    found = {"loss": conventions.loss_of(source)}
    for name, choices in conventions.settings_of(source).items():
        found[f"{name}=…"] = "; ".join(f"{choice} ({meaning})" if meaning else choice for choice, meaning in choices.items())
    return found


def _counts(pixels: int | None, latent: int | None, kernels: int | None, batch: int | None) -> list[tuple[str, int]]:
    given = {"pixels": pixels, "latent": latent, "kernels": kernels, "batch": batch}
    return [(name, value) for name, value in given.items() if value is not None]


def _pairs(pairs: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    given: dict[str, str] = {}
    faults = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.strip():
            faults.append(f"a parameter must be NAME=VALUE; got {pair!r}. Write kld_weight=0.00025.")
        elif name.strip() in given:
            faults.append(f"a parameter may be given once; {name.strip()} is given twice. Remove one.")
        else:
            given[name.strip()] = value.strip()
    return given, faults


def _shape(image: str | None) -> tuple[tuple[int, int, int] | None, str]:
    """Height, width and channels of `HxWxC` (`HxW` has one channel), or what is wrong with the text."""
    if image is None:
        return None, ""
    parts = image.lower().replace("×", "x").split("x")
    if len(parts) not in (2, 3) or not all(part.strip().isdecimal() and len(part) < 10 and int(part) > 0 for part in parts):
        return None, f"--image must be HxWxC in whole numbers; got {image!r}. Write --image 64x64x3."
    height, width, channels = (int(part) for part in [*parts, "1"][:3])
    return (height, width, channels), ""
