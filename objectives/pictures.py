"""Pictures of a trained model: small sheets that are kept, and what people see of them, large and labelled. Pure Pillow, no torch.

A sheet is a PNG in the images' own size. What stands in it is written in the PNG too, so it can be read back to the bit. Drawn, an image is
enlarged by a whole factor without smoothing: a pixel stays a square.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from objectives._files import replaced
from objectives.base import ObjectiveError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

WIDTH = 600  # pixels: what a drawn picture has at least
COLUMNS = 8  # images in a row
SHOWN = 8  # images of each kind in a row of a strip
INPUT, OUTPUT, SAMPLES = "input", "output", "samples"
FACTS = "lagrange"  # the PNG's text that says what is in a sheet
CELL = 44  # pixels: how wide an image of a strip is, about
PAPER, INK, FAINT, LINE = (255, 255, 255), (20, 20, 20), (110, 110, 110), (150, 150, 150)
SIZE = 15  # pixels: the height of a label


@dataclass(frozen=True, eq=False)
class Sheet:
    """What a model shows after an epoch: images by name, (n, H, W, C) bytes each, C = 1 or 3, all of one size.

    `input` and `output` have equally many images: the first output is the reconstruction of the first input. `epoch` counts from 0, which
    is the model before its training. `caption` says which model it is.
    """

    images: Mapping[str, Bytes]
    epoch: int = 0
    caption: str = ""

    def __post_init__(self) -> None:
        shapes = {name: found.shape for name, found in self.images.items()}
        whole = all(len(shape) == 4 and shape[3] in (1, 3) and 0 not in shape for shape in shapes.values())
        paired = len(self.images.get(INPUT, ())) == len(self.images.get(OUTPUT, ()))
        if not shapes or not whole or len({shape[1:] for shape in shapes.values()}) > 1 or not paired:
            rule = "a picture needs images of shape (n, H, W, 1 or 3), n at least 1, all of one size, and as many inputs as outputs"
            raise ObjectiveError(f"{rule}; got {shapes or 'none'}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = next(iter(self.images.values())).shape[1:]
        return height, width, channels


@runtime_checkable
class Showing(Protocol):
    """A run whose members can be looked at while they train: `base.Run` with one method more."""

    def sheet(self, number: int) -> Sheet | None:
        """What a member of the run shows now; None where there is nothing to see."""
        ...


def write(sheet: Sheet, path: Path) -> None:
    """Write a sheet whole or not at all."""
    from PIL.PngImagePlugin import PngInfo

    height, width, channels = sheet.shape
    facts = {"images": {name: len(found) for name, found in sheet.images.items()}, "height": height}
    text = PngInfo()
    text.add_itxt(FACTS, json.dumps({**facts, "epoch": sheet.epoch, "caption": sheet.caption}, ensure_ascii=False))
    rows = [row for found in sheet.images.values() for row in _in_rows(found)]
    picture = np.zeros((len(rows) * height, COLUMNS * width, channels), np.uint8)
    for place, row in enumerate(rows):
        for column, image in enumerate(row):
            picture[place * height : (place + 1) * height, column * width : (column + 1) * width] = image
    with replaced(path) as beside:
        _image(picture).save(beside, format="PNG", pnginfo=text)


def read(path: Path) -> Sheet | None:
    """The sheet in a file; None where the file is another picture, damaged, or not there."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            file.load()
            facts = json.loads(file.text[FACTS]) if hasattr(file, "text") else {}
            pixels = np.asarray(file)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        height, width = facts["height"], pixels.shape[1] // COLUMNS
        cells = pixels.reshape(-1, height, COLUMNS, width, pixels.shape[2]).swapaxes(1, 2)  # (rows, columns, H, W, C)
        found, row = {}, 0
        for name, count in facts["images"].items():
            taken = -(-count // COLUMNS)
            found[name] = cells[row : row + taken].reshape(-1, height, width, pixels.shape[2])[:count]
            row += taken
        return Sheet(found, int(facts["epoch"]), str(facts["caption"]))
    except (OSError, ValueError, KeyError, TypeError, ObjectiveError):
        return None


def drawn(sheet: Sheet) -> Image:
    """A sheet as people see it: each output below its input, then the rest, under titles; at least 600 pixels wide."""
    from PIL import ImageDraw

    blocks = []
    if INPUT in sheet.images:
        pairs = zip(_in_rows(sheet.images[INPUT]), _in_rows(sheet.images[OUTPUT]), strict=True)
        blocks.append(("reconstructions: the input, below it the output", [row for pair in pairs for row in pair]))
    blocks += [(name, list(_in_rows(found))) for name, found in sheet.images.items() if name not in (INPUT, OUTPUT)]
    columns = min(COLUMNS, max(len(row) for _, rows in blocks for row in rows))
    height, width, channels = sheet.shape
    factor = -(-WIDTH // (columns * width))
    line, title = max(2, factor // 6), SIZE + 9
    across, down = columns * (width * factor + line) + line, height * factor + line
    said = [text for text in (sheet.caption, f"epoch {sheet.epoch}" if sheet.epoch else "before training") if text]
    picture = _paper((across, title + sum(title + line + len(rows) * down for _, rows in blocks)), channels)
    pen = ImageDraw.Draw(picture)
    pen.text((line + 2, 4), _fitted(" · ".join(said), across), fill=_tone(INK, channels), font=_font(SIZE))
    top = title
    for name, rows in blocks:
        pen.text((line + 2, top + 4), name, fill=_tone(FAINT, channels), font=_font(SIZE))
        top += title
        picture.paste(_grid(rows, columns, factor, line), (0, top))
        top += line + len(rows) * down
    return picture


@dataclass(frozen=True)
class Row:
    """A row of a strip: what it is, what else is known of it, and the sheet; or, without a sheet, the words that stand in its place."""

    label: str
    note: str = ""
    sheet: Sheet | None = None
    words: str = ""


def strip(rows: Sequence[Row], title: str) -> Image | None:
    """Models one below the other, each with the same inputs and the same codes; None where no row has a sheet.

    The first images of each kind are shown. Above the outputs stand the inputs, which all rows share: of the first sheet that has them.
    """
    from PIL import ImageDraw

    sheets = [row.sheet for row in rows if row.sheet is not None]
    if not sheets:
        return None
    first = next((sheet for sheet in sheets if INPUT in sheet.images), sheets[0])
    kinds = [name for name in first.images if name != INPUT]
    shown = SHOWN if len(kinds) > 1 else 2 * SHOWN
    counts = {name: min(shown, len(first.images[name])) for name in kinds}
    height, width, channels = first.shape
    factor, line, gap = max(1, round(CELL / width)), 2, 14
    labels = [text for row in rows for text in (row.label, row.note)]
    left = int(max(_font(SIZE).getlength(text) for text in labels)) + 20
    cell, title_height = width * factor + line, SIZE + 9
    starts, at = {}, left
    for name in kinds:
        starts[name], at = at, at + counts[name] * cell + gap
    across = max(WIDTH, at, int(_font(SIZE).getlength(title)) + 16)
    down = max(height * factor, 2 * title_height) + 6
    head = 2 * title_height + (down if INPUT in first.images else 0)
    picture = _paper((across, head + len(rows) * down + 4), channels)
    pen = ImageDraw.Draw(picture)

    def say(place: tuple[int, int], text: str, tone: tuple[int, int, int] = INK) -> None:
        pen.text(place, text, fill=_tone(tone, channels), font=_font(SIZE))

    def show(name: str, images: Bytes, top: int) -> None:
        for column, image in enumerate(images[: counts[name]]):
            picture.paste(_enlarged(image, factor), (starts[name] + column * cell, top))

    say((8, 4), title)
    for name in kinds:
        say((starts[name], title_height + 4), {OUTPUT: "reconstructions", SAMPLES: "samples of the same codes"}.get(name, name), FAINT)
    if INPUT in first.images:
        say((8, 2 * title_height + 4), "input", FAINT)
        show(OUTPUT, first.images[INPUT], 2 * title_height)
    for place, row in enumerate(rows):
        top = head + place * down
        say((8, top + 2), row.label)
        say((8, top + 2 + title_height - 4), row.note, FAINT)
        if row.sheet is None or row.sheet.shape != first.shape:
            say((left, top + 2), _fitted(row.words, across - left), FAINT)
            continue
        for name in kinds:
            if name in row.sheet.images:
                show(name, row.sheet.images[name], top)
    return picture


def large(path: Path) -> Image:
    """The picture in a file as people see it: a sheet is drawn, another picture is as it is. Raises OSError where there is none."""
    from PIL import Image

    sheet = read(path)
    if sheet is not None:
        return drawn(sheet)
    with Image.open(path) as file:
        file.load()
        return file.copy()


def save(picture: Image, path: Path) -> None:
    """Write a drawn picture whole or not at all. Little compression: it is as small, nearly, and costs half."""
    with replaced(path) as beside:
        picture.save(beside, format="PNG", compress_level=1)


def captioned(sheet: Sheet, epoch: int, caption: str) -> Sheet:
    """The sheet, with what it is a sheet of."""
    return replace(sheet, epoch=epoch, caption=caption)


def steps(epochs: int) -> list[int]:
    """The epochs after which a training is shown: 0, the powers of five below the last, and the last. 0, 1, 5, 20 of 20.

    Early epochs change most, so they stand closer together; and a long training has few pictures.
    """
    found, at = [0], 1
    while at < epochs:
        found.append(at)
        at *= 5
    return [*found, epochs]


def _in_rows(images: Bytes) -> list[Bytes]:
    return [images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)]


def _image(pixels: Bytes) -> Image:
    from PIL import Image

    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])


def _grid(rows: Sequence[Bytes], columns: int, factor: int, line: int) -> Image:
    """Rows of images (n, H, W, C), n at most `columns`, enlarged, with lines around each."""
    height, width, channels = rows[0].shape[1:]
    down, across = height * factor + line, width * factor + line
    cells = np.full((len(rows), down, columns, across, channels), LINE[0], np.uint8)
    for place, row in enumerate(rows):
        cells[place, line:, : len(row), line:] = row.repeat(factor, 1).repeat(factor, 2).swapaxes(0, 1)
    whole = np.full((len(rows) * down + line, columns * across + line, channels), LINE[0], np.uint8)
    whole[:-line, :-line] = cells.reshape(len(rows) * down, columns * across, channels)
    return _image(whole)


def _enlarged(image: Bytes, factor: int) -> Image:
    return _image(image.repeat(factor, 0).repeat(factor, 1))


def _paper(size: tuple[int, int], channels: int) -> Image:
    from PIL import Image

    return Image.new("RGB" if channels == 3 else "L", size, _tone(PAPER, channels))


def _tone(colour: tuple[int, int, int], channels: int) -> tuple[int, int, int] | int:
    return colour if channels == 3 else colour[0]


@lru_cache(maxsize=4)
def _font(size: int) -> FreeTypeFont:
    """DejaVu Sans, which Matplotlib brings and which has Greek letters. It is found without loading Matplotlib."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" if found and found.origin else Path()
    font: FreeTypeFont = ImageFont.truetype(str(path), size) if path.is_file() else ImageFont.load_default(size)
    return font


def _fitted(text: str, width: int) -> str:
    """A text, cut where it would be wider than so many pixels."""
    if _font(SIZE).getlength(text) <= width - 8:
        return text
    while text and _font(SIZE).getlength(f"{text}…") > width - 8:
        text = text[:-1]
    return f"{text}…"
