"""Splits are scored in parts: the numbers are those of one part, and no tensor is larger than a part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from objectives import base, data, metrics, parts
from objectives.data._kinds import ImageSet
from objectives.data._stored import InMemory, Stored
from objectives.families import vae
from objectives.metrics._subject import Subject
from objectives.registry import load

pytestmark = pytest.mark.turns(4)

PIXELS = 64
FAMILIES: dict[str, dict[str, Any]] = {
    "vae": {},
    "gaussian vae": {"likelihood": "gaussian"},
    "autoencoder": {},
    "noisy_linear": {"model": "linear", "dataset": {"name": "noisy_linear", "rank": 5, "n_train": 500}},
    "gan": {},
}
CONFIGS: dict[str, dict[str, Any]] = {"gaussian vae": {"optimal_sigma": 1}, "noisy_linear": {"latent_dim": 5}}
ASKED = {
    "vae": ("bits_per_dim", "kid", "active_units", "linear_probe"),
    "gaussian vae": ("bits_per_dim", "anomaly"),
    "autoencoder": ("kid", "anomaly", "linear_probe"),
    "noisy_linear": (),
    "gan": ("kid", "fid", "diversity", "anomaly"),
}


def family_of(case: str, dtype: str = "float64", **more: Any) -> Any:
    kind = load({"gaussian vae": "vae", "noisy_linear": "autoencoder"}.get(case, case))
    held_out = {"hold_out": 9} if "anomaly" in ASKED[case] else {}
    given = {"dataset": {"name": "digits", **held_out}, "epochs": 1, **FAMILIES[case], **more}
    typed: Any = type("Typed", (kind,), {"dtype": dtype})
    return typed(base.Settings(**given))


def numbers(family: Any, net: Any, images: ImageSet, asked: Any) -> dict[str, float]:
    """All that is scored of one network."""
    with torch.no_grad():
        found = {f"rung {name}": float(value) for name, value in family.evaluate(net, images).items()}
        found |= family.finish(net, images, [1.0])
        found |= family.test(net, images)
        for split in ("val", "test"):
            found |= metrics.measured(Subject(family, net, images, split), asked)
        if constant := getattr(family, "constant", None):
            found |= {f"constant {name}": value for name, value in constant(images).items()}
    return found


@pytest.mark.trains
@pytest.mark.parametrize("case", FAMILIES)
def test_many_parts_score_as_one(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = family_of(case)
    run = family.start([base.Member(0, CONFIGS.get(case, {}), 1)])
    run.step()
    net = run.regularization.plain(run.ended[0])
    whole = numbers(family, net, run.images, ASKED[case])
    size = run.images.train[:1].numel()
    monkeypatch.setattr(parts, "FLOATS", 100 * size)
    assert parts.rows(size) == 100 < len(run.images.val)
    in_parts = numbers(family, net, run.images, ASKED[case])
    assert in_parts.keys() == whole.keys() and len(whole) > 4
    # Features are float32, and are computed of fewer images at once: a network sums in another order. The rest is float64.
    compared = ("kid", "fid", "diversity")
    for name, value in whole.items():
        tolerance = {"rel": 1e-3, "abs": 1e-5} if any(one in name for one in compared) else {"rel": 1e-9, "abs": 1e-12}
        assert in_parts[name] == pytest.approx(value, nan_ok=True, **tolerance), name


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes, in numbers. A view makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            made = [one.numel() for one in tree_leaves(found) if isinstance(one, torch.Tensor) and floats(one)]
            self.numbers = max([self.numbers, *made])
        return found


def floats(one: torch.Tensor) -> bool:
    return one.is_floating_point() and all(one.stride())  # an expanded number takes no memory


def stored_images(n: int) -> ImageSet:
    """As many images in each split, kept as bytes, with labels."""
    found = data.load({"name": "digits"})
    splits = {}
    for k, split in enumerate(("train", "val", "test")):
        pixels = torch.randint(0, 256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(k), dtype=torch.uint8)
        splits[split] = Stored.of(InMemory(pixels, 255), n, (1, 8, 8), "cpu")
        splits[f"{split}_labels"] = torch.arange(n) % 10
    return replace(found, **splits)


@pytest.mark.trains
@pytest.mark.parametrize("case", ["vae", "autoencoder", "gan"])
def test_no_tensor_is_larger_than_a_part(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,600 images in each split, in parts of 400. Without parts a split is four times as large, which the test can see."""
    model = {"vae": "linear", "autoencoder": "linear", "gan": "mlp_small"}[case]
    family = family_of(case, "float32", model=model, dataset={"name": "digits"}, likelihood="bernoulli" if case == "vae" else None)
    images = stored_images(1600)
    run = family.start([base.Member(0, {"latent_dim": 2}, 1)])
    run.step()
    net = run.regularization.plain(run.ended[0])
    monkeypatch.setattr(type(net), "__call__", quietly(type(net).__call__))  # what a network keeps inside is its own
    monkeypatch.setattr(vae, "IWAE_SAMPLES", 10)  # 100 importance weights are more than the 64 pixels of an image
    for most in (400, 1600):
        monkeypatch.setattr(parts, "FLOATS", most * PIXELS)
        family.features()._kept.clear()
        with torch.no_grad(), Largest() as seen:
            if case == "gan":  # a kernel distance has matrices of a thousand by a thousand images
                subject = Subject(family, net, images, "test")
                assert len(subject.real_features) == len(subject.sample_features) == len(family.anomaly(net, images, images.val))
            else:
                numbers(family, net, images, ASKED[case][:1] if case == "vae" else ())
        kept = len(images.val) * family.features().dim if case == "gan" else 0  # features of all images
        assert seen.numbers == max(400 * PIXELS, kept) if most == 400 else seen.numbers >= len(images.val) * PIXELS


def quietly(call: Any) -> Any:
    """A call whose inner tensors are not counted; its result is."""

    def counted(net: Any, part: str, x: torch.Tensor) -> Any:
        with torch.utils._python_dispatch._disable_current_modes():
            found = call(net, part, x)
        return found.clone()

    return counted
