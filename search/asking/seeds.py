"""Random seeds as functions of names: one sweep seed always gives the same streams. Who asks, and in which order, does not matter."""

from __future__ import annotations

import hashlib


def derive(seed: int, *path: str | int) -> int:
    """A seed in [0, 2³¹) for the stream named by `path` under `seed`; different paths are independent."""
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
