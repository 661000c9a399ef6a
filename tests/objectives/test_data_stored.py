"""Images that are kept as bytes, or by index in a mapped file: the numbers are those of the float32 tensor that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from objectives import base, data
from objectives.data import _image_set
from objectives.data._kinds import SPLITS
from objectives.data._stored import ByIndex, InMemory, Stored, decoded
from objectives.families import _family
from objectives.registry import load

PIXELS = np.random.RandomState(0).randint(0, 256, (30, 3, 4, 5), dtype=np.uint8)
FLOATS = torch.from_numpy(PIXELS).float() / 255


def kept(how: str) -> Stored:
    order = np.arange(len(PIXELS))[::-1].copy()
    source = InMemory(torch.from_numpy(PIXELS), 255) if how == "bytes" else ByIndex(PIXELS[::-1].__getitem__, order, 255, "cpu")
    return Stored.of(source, len(PIXELS), PIXELS.shape[1:], "cpu")


@pytest.mark.parametrize("how", ["bytes", "by index"])
def test_whatever_is_asked_of_kept_images_is_answered_by_the_float_tensor(how: str) -> None:
    x: torch.Tensor = kept(how)
    assert (x.shape, x.dtype, x.device, len(x), x.ndim) == (FLOATS.shape, FLOATS.dtype, FLOATS.device, len(FLOATS), 4)
    order = torch.tensor([[3, 1, 4], [1, 5, 9]])
    for index in (slice(5), slice(4, 20, 3), slice(-3, None), 7, [2, 3], order, FLOATS.mean((1, 2, 3)) > 0.5, (None, slice(2)), ...):
        assert torch.equal(x[index], FLOATS[index]) and type(x[index]) is torch.Tensor
    assert torch.equal(x.flatten(1)[order], FLOATS.flatten(1)[order])
    assert torch.equal(x, FLOATS) and torch.equal(x + 1, FLOATS + 1) and torch.equal(x.min(), FLOATS.min())
    assert torch.equal(torch.cat([x, x[:2]]), torch.cat([FLOATS, FLOATS[:2]])) and torch.ones(1).double().to(x).dtype == torch.float32
    assert torch.equal(x.to(torch.float64), FLOATS.double()) and torch.equal(x.contiguous(), FLOATS)


def test_what_gets_past_the_interface_is_no_number() -> None:
    with torch._C.DisableTorchFunctionSubclass():
        assert bool(torch.isnan(torch.add(kept("bytes"), 0)).all())


@pytest.mark.parametrize("white", [1, 16, 255])
def test_bytes_become_the_nearest_float32_of_their_quotient(white: int) -> None:
    whole = torch.arange(white + 1, dtype=torch.uint8)
    exact = (np.arange(white + 1, dtype=np.float64) / white).astype(np.float32)
    assert np.array_equal(decoded(whole, white).numpy(), exact)


def test_an_index_reads_no_other_image() -> None:
    asked: list[int] = []

    def take(positions: Any) -> Any:
        asked.extend(positions.tolist())
        return PIXELS[positions]

    rows = Stored.of(ByIndex(take, np.arange(10, 20), 255, "cpu"), 10, PIXELS.shape[1:], "cpu").flatten(1)
    assert rows.shape == (10, 60) and not asked
    assert rows[torch.tensor([2, 0])].shape == (2, 60) and rows[7:].shape == (3, 60)
    assert asked == [12, 10, 17, 18, 19]


@pytest.mark.trains
@pytest.mark.parametrize("name", ["autoencoder", "vae", "gan"])
def test_a_training_does_not_notice_how_its_images_are_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family: Any = load(name)
    settings = base.Settings({"name": "digits", "train_size": 130}, epochs=1)
    members = [base.Member(number, {}, seed) for number, seed in ((0, 1), (1, 2))]
    ends = []
    for small in (_image_set.SMALL, 0):
        monkeypatch.setattr(_image_set, "SMALL", small)
        _family.loaded.cache_clear()
        run = family(settings).start(members)
        assert isinstance(run.images.train, Stored) == (small == 0)
        ends.append([(report.rung_score, report.score, report.metrics) for report in run.step()])
    _family.loaded.cache_clear()
    assert ends[0] == ends[1]


def test_many_bytes_stay_bytes_and_few_become_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    floats = data.load({"name": "digits"})
    assert not any(isinstance(getattr(floats, split), Stored) for split in SPLITS)
    monkeypatch.setattr(_image_set, "SMALL", 0)
    stored = data.load({"name": "digits"})
    assert all(
        isinstance(getattr(stored, split), Stored) and torch.equal(getattr(stored, split), getattr(floats, split)) for split in SPLITS
    )
    assert stored.record == floats.record
