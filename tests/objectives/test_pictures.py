"""Sheets come back to the bit; what is drawn of them is large, exact, labelled, and whole or absent."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from objectives import pictures
from objectives.base import ObjectiveError
from objectives.pictures import WIDTH, Row, Sheet, drawn, large, read, save, steps, strip, write
from objectives.training.pictures import as_bytes

pytestmark = pytest.mark.trains


def some(n: int, height: int = 5, width: int = 4, channels: int = 1, seed: int = 0) -> pictures.Bytes:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def a_sheet(seed: int = 0, channels: int = 1, **more: int) -> Sheet:
    shape = {"channels": channels, **more}
    found = {"input": some(9, seed=0, **shape), "output": some(9, seed=seed, **shape), "samples": some(16, seed=seed + 1, **shape)}
    return Sheet(found, 4, "β = 0.7")


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))


@given(st.integers(1, 20), st.integers(0, 20), shapes, st.integers(0, 99), st.text(max_size=20))
@settings(max_examples=30)
def test_a_sheet_comes_back_to_the_bit(pairs: int, samples: int, shape: tuple[int, int, int], epoch: int, caption: str) -> None:
    counts = {"input": pairs, "output": pairs, "samples": samples}
    sheet = Sheet({name: some(n, *shape, seed=n) for name, n in counts.items() if n}, epoch, caption)
    with TemporaryDirectory() as folder:
        write(sheet, Path(folder) / "deep" / "sheet.png")
        found = read(Path(folder) / "deep" / "sheet.png")
    assert found is not None and (found.epoch, found.caption) == (epoch, caption)
    assert list(found.images) == list(sheet.images)
    assert all(np.array_equal(found.images[name], sheet.images[name]) for name in sheet.images)


def test_another_picture_is_no_sheet_and_stays_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (7, 5), (1, 2, 3)).save(tmp_path / "own.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "own.png").read_bytes()[:30])
    assert [read(tmp_path / f"{name}.png") for name in ("own", "half", "gone")] == [None, None, None]
    assert large(tmp_path / "own.png").size == (7, 5)
    with pytest.raises(OSError, match="gone"):
        large(tmp_path / "gone.png")


@given(st.integers(1, 9), shapes)
@settings(max_examples=20)
def test_every_drawn_sheet_is_wide_enough_and_enlarges_by_a_whole_factor(n: int, shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    shown = np.full((n, *shape), 77, np.uint8)
    picture = np.asarray(drawn(Sheet({"samples": shown}))).reshape(-1)
    factor = -(-WIDTH // (min(n, pictures.COLUMNS) * width))
    assert drawn(Sheet({"samples": shown})).size[0] >= WIDTH
    assert factor * width * min(n, pictures.COLUMNS) >= WIDTH
    # labels are gray, too: a few of their pixels may have the same tone
    assert 0 <= int((picture == 77).sum()) - n * height * width * factor**2 * channels < 300 * channels


def test_each_output_stands_below_its_input() -> None:
    inputs, outputs = np.full((2, 1, 1, 1), 60, np.uint8), np.full((2, 1, 1, 1), 190, np.uint8)
    inputs[1], outputs[1] = 61, 191
    picture = np.asarray(drawn(Sheet({"input": inputs, "output": outputs})))
    places = {tone: np.argwhere(picture == tone).mean(0) for tone in (60, 61, 190, 191)}
    assert places[60][1] == pytest.approx(places[190][1], abs=6) and places[60][0] < places[190][0]
    assert places[61][1] == pytest.approx(places[191][1], abs=6) and places[60][1] < places[61][1]


def test_values_outside_are_clipped_and_colours_stay() -> None:
    images = torch.tensor([2.0, float("nan"), -1.0]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert as_bytes(images)[0, 0, 0].tolist() == [255, 0, 0]
    ramp = torch.arange(2 * 64).reshape(2, 1, 8, 8) / 127
    assert np.array_equal(as_bytes(ramp)[1, :, :, 0], (ramp[1, 0] * 255).round().byte().numpy())


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Image.Image, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    for writing in (lambda: write(a_sheet(), tmp_path / "sheet.png"), lambda: save(Image.new("L", (1, 1)), tmp_path / "picture.png")):
        with pytest.raises(OSError, match="disk full"):
            writing()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "images",
    [
        {},
        {"samples": np.zeros((0, 4, 4, 1), np.uint8)},
        {"samples": np.zeros((2, 4, 4, 2), np.uint8)},
        {"input": some(2), "output": some(3)},
        {"input": some(2)},
        {"samples": some(2), "more": some(2, 9)},
    ],
)
def test_what_is_no_sheet_says_what_it_needs(images: dict[str, pictures.Bytes]) -> None:
    with pytest.raises(ObjectiveError, match="a picture needs images of shape"):
        Sheet(images)


@given(st.integers(1, 5000))
def test_steps_ascend_from_0_to_the_last_epoch_and_are_few(epochs: int) -> None:
    found = steps(epochs)
    assert found[0] == 0 and found[-1] == epochs
    assert found == sorted(set(found)) and len(found) <= 9


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_of_equal_sheets_are_equal_to_the_bit(channels: int) -> None:
    rows = [Row("same", "", a_sheet(3, channels)), Row("same", "", a_sheet(3, channels)), Row("same", "", a_sheet(8, channels))]
    picture = strip(rows, "title")
    assert picture is not None and picture.size[0] >= WIDTH
    pixels = np.asarray(picture)
    down = [len(np.asarray(strip(rows[: k + 1], "title"))) for k in range(3)]  # type: ignore[arg-type]
    height = down[1] - down[0]
    first, second, third = (pixels[end - 4 - height : end - 4] for end in down)
    assert np.array_equal(first, second) and not np.array_equal(second, third)


def test_a_row_without_a_picture_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert strip([Row("beta = 9", "collapsed", words="no unit is active")], "title") is None
    from PIL import ImageDraw

    said: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, place, text, **_: said.append(text))
    assert strip([Row("off", "score 1", a_sheet()), Row("beta = 9", "collapsed", words="no unit is active")], "title") is not None
    assert {"title", "off", "score 1", "beta = 9", "collapsed", "no unit is active", "input"} <= set(said)
