"""The λ strip: images of the same seed and the same codes, λ from off to its strongest."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from search.telling.figures._style import WIDTH, layout, made
from search.telling.view import View

TITLE, ORDER = "What λ does to the images", 40
PIXELS, BYTES = 1400, 450_000  # a wider picture is made smaller; one with more bytes is stored as JPEG


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    return "" if view.strip is not None else "this sweep has no strip of images (its objective makes no images, or no weights were kept)."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    return "Images of one seed and the same codes, from λ off to its strongest, as the labels say. So one sees what regularization does."


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    assert view.strip is not None
    source, (wide, high) = _embedded(view.strip)
    image = {
        "source": source,
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": 1,
        "sizex": 1,
        "sizey": 1,
        "sizing": "contain",
        "layer": "below",
    }
    hidden = {"visible": False, "range": [0, 1]}
    height = round((WIDTH - 10) * high / wide) + 20
    return made([], layout(height, images=[image], xaxis=hidden, yaxis=hidden, margin={"l": 5, "r": 5, "t": 10, "b": 10}))


def _embedded(path: Path) -> tuple[str, tuple[int, int]]:
    """A picture as a data URL, and its size in pixels."""
    from PIL import Image

    with Image.open(path) as opened:
        size = opened.size
        if size[0] <= PIXELS and path.stat().st_size <= BYTES:
            return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}", size
        small = opened.convert("RGB")
        small.thumbnail((PIXELS, 4 * PIXELS))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=88)
        return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}", small.size
