"""Grids are pictures that can be seen: large, exact, and whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from objectives.base import ObjectiveError
from objectives.training.pictures import WIDTH, _grid, save_grid

pytestmark = pytest.mark.trains


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_small_image_is_enlarged_pixel_by_pixel(tmp_path: Path) -> None:
    images = torch.arange(2 * 64).reshape(2, 1, 8, 8) / 127
    save_grid(images, tmp_path / "deep" / "grid.png", columns=2)
    picture = read(tmp_path / "deep" / "grid.png")
    factor = 19  # the least whole factor with 2·8·factor ≥ 300
    line = factor // 4
    assert picture.shape == (8 * factor + 2 * line, 16 * factor + 3 * line)
    second = picture[line : line + 8 * factor, 2 * line + 8 * factor : 2 * line + 16 * factor]
    assert np.array_equal(second[factor // 2 :: factor, factor // 2 :: factor], (images[1, 0] * 255).round().byte().numpy())
    assert (picture[:line] == 128).all()


def test_colours_stay_colours_and_odd_values_are_clipped(tmp_path: Path) -> None:
    images = torch.tensor([2.0, float("nan"), -1.0]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    save_grid(images, tmp_path / "grid.png")
    picture = read(tmp_path / "grid.png")
    assert picture.shape[2] == 3 and picture[picture.shape[0] // 2, picture.shape[1] // 2].tolist() == [255, 0, 0]


@given(st.integers(1, 9), st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 40), st.integers(1, 12))
@settings(max_examples=20)
def test_every_grid_is_wide_enough_and_holds_every_image(n: int, channels: int, height: int, width: int, columns: int) -> None:
    grid = _grid(torch.ones(n, channels, height, width), columns)
    assert grid.shape[1] >= WIDTH and grid.shape[2] == channels
    factor = -(-WIDTH // (min(n, columns) * width))
    assert int((grid[:, :, 0] == 255).sum()) == n * height * width * factor**2


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Image.Image, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_grid(torch.zeros(1, 1, 8, 8), tmp_path / "grid.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 2, 8, 8), (0, 1, 8, 8)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match="a grid needs images"):
        save_grid(torch.zeros(shape), tmp_path / "grid.png")
