"""Features of a small classifier, in which generated images are compared: trained once per data set, cached and hashed.

A number in these features means nothing without the classifier, so its weights' hash and its accuracy belong in every record beside it.
Inception's features are no use on small gray images; the authors of KID score MNIST with a LeNet for the same reason.
Source: LeCun et al., Gradient-based learning applied to document recognition, 1998; Binkowski et al., arXiv 1801.01401, section 5.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.base import ObjectiveError, names
from objectives.features import CHUNK, Extractor, tensor_hash

if TYPE_CHECKING:
    from torch import Tensor, nn

    from objectives.data import ImageSet

SUMMARY = "last hidden layer of a small classifier, trained once per labelled data set"


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained. `version` is part of the cache key: raise it when anything about training or layers changes."""

    version: int
    kind: str
    features: int
    epochs: int
    learning_rate: float
    batch: int = 64
    most_images: int = 20_000
    seed: int = 0


SMALL = Recipe(version=1, kind="mlp", features=32, epochs=40, learning_rate=0.05, batch=32)
LARGE = Recipe(version=1, kind="conv", features=64, epochs=3, learning_rate=0.05)
_LEAK = 0.1  # below zero: with a plain ReLU up to half of the features die in training, and their covariance is singular
_SMALLEST_CONV = 16  # pixels a side: below this, pooling twice leaves nothing to see


def faults(options: Mapping[str, Any]) -> list[str]:
    """It has no options."""
    return [f"features 'classifier' has no options; got {key!r}. Remove it." for key in options]


def suits(images: ImageSet) -> bool:
    """Labelled images."""
    return images.train_labels is not None and images.val_labels is not None and images.classes is not None


def make(images: ImageSet, cache: Path | None, options: Mapping[str, Any]) -> Extractor:
    """The feature extractor of a data set, on the device of its images: from `cache` if it is there, else trained and put there.

    It is trained on the data set's own training images, all of them up to 20,000 whatever `train_size` says, so that sweeps which train
    models on fewer images are scored in the same features. Processes that share `cache` may call this at once.

    Raises:
        ObjectiveError: the data set has no labels.
    """
    if not suits(images):
        name = images.record.get("name", "this data set")
        raise ObjectiveError(
            f"classifier features need labelled images; got {name!r}, which has no labels. Choose a metric without features."
        )
    recipe = SMALL if min(images.shape[1:]) < _SMALLEST_CONV else LARGE
    path = None if cache is None else Path(cache) / f"features-{_key(images, recipe)}.safetensors"
    found = _read(path, images, recipe) if path else None
    if found is None:
        found = _trained(images, recipe)
        if path:
            _write(path, *found)
    network, facts = found
    network.to(images.val.device).eval().requires_grad_(False)
    label = f"{recipe.kind}-{recipe.features}@{facts['sha256'][:8]}"
    body, last = network[:-1], network[-1]
    return Extractor(label, images.shape, recipe.features, lambda part: body(_centred(part)), facts, last)


def _key(images: ImageSet, recipe: Recipe) -> str:
    """Name of a cached classifier: the data set, its hash and everything that training depends on."""
    source = images.record.get("source_sha256") or tensor_hash({"train": images.train})
    content = repr((source, images.shape, images.classes, recipe))
    return f"{images.record.get('name', 'images')}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _network(shape: tuple[int, int, int], classes: int, recipe: Recipe) -> nn.Sequential:
    """Layers from centred images (n, C, H, W) to classes; the last is linear, and what enters it are the features."""
    from torch import nn

    channels, height, width = shape
    if recipe.kind == "mlp":
        body: list[nn.Module] = [nn.Flatten(), nn.Linear(channels * height * width, 128), nn.ReLU(), nn.Linear(128, recipe.features)]
    else:
        flat = 32 * (height // 4) * (width // 4)
        first = [nn.Conv2d(channels, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]  # (n, 16, H/2, W/2)
        second = [nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]  # (n, 32, H/4, W/4)
        body = [*first, *second, nn.Flatten(), nn.Linear(flat, recipe.features)]
    return nn.Sequential(*body, nn.LeakyReLU(_LEAK), nn.Linear(recipe.features, classes))


def _trained(images: ImageSet, recipe: Recipe) -> tuple[nn.Sequential, dict[str, Any]]:
    """Train on the CPU with one thread and a fixed seed: the same weights on the same machine, whoever trains them."""
    import torch

    full = _whole(images)
    if full.train_labels is None or full.val_labels is None or full.classes is None:
        raise ObjectiveError("classifier features need labelled images; got none.")
    x, y = full.train[: recipe.most_images].cpu(), full.train_labels[: recipe.most_images].cpu()
    with _one_thread(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(recipe.seed)
        network = _network(images.shape, full.classes, recipe)
        _fit(network, x, y, recipe)
        _rescale(network, x)
        right = (
            torch.cat([network(_centred(part)).detach().argmax(1) for part in torch.split(full.val.cpu(), CHUNK)]) == full.val_labels.cpu()
        )
    facts = {
        "dataset": str(images.record.get("name", "images")),
        "recipe": f"{recipe.kind}-{recipe.features}-v{recipe.version}",
        "dim": recipe.features,
        "val_accuracy": float(right.double().mean()),
        "sha256": tensor_hash(network.state_dict()),
    }
    return network, facts


def _fit(network: nn.Sequential, x: Tensor, y: Tensor, recipe: Recipe) -> None:
    """Cross-entropy by gradient descent with momentum 0.9, the learning rate falling along a line to zero.

    Written out, for importing torch.optim takes longer than training on the digits.
    """
    import torch

    parameters = list(network.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    order = [part for _ in range(recipe.epochs) for part in torch.split(torch.randperm(len(x)), recipe.batch)]
    for step, chosen in enumerate(order):
        loss = torch.nn.functional.cross_entropy(network(_centred(x[chosen])), y[chosen])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                velocity.mul_(0.9).add_(gradient)
                parameter.sub_(recipe.learning_rate * (1 - step / len(order)) * velocity)


def _rescale(network: nn.Sequential, x: Tensor) -> None:
    """Give features a mean square of 1 over the training images, and undo it in the last layer: the class scores stay as they are.

    KID's kernel adds 1 to x·y/d, so it depends on the scale of features, which training leaves to chance.
    """
    import torch

    before, last = network[-3], network[-1]
    with torch.no_grad():
        squares = torch.cat([network[:-1](_centred(part)).square().mean(1) for part in torch.split(x, CHUNK)])
        scale = float(squares.mean().rsqrt())
        for tensor in before.parameters():
            tensor.mul_(scale)
        last.get_parameter("weight").div_(scale)


def _whole(images: ImageSet) -> ImageSet:
    """The data set without `train_size` and with every class, loaded again where only part of it is in memory."""
    from objectives import data

    options = images.record.get("options", {})
    part = any(options.get(key) is not None for key in ("train_size", "hold_out"))
    if not part or images.record.get("name") not in names("dataset"):
        return images
    options = {key: value for key, value in options.items() if key != "hold_out"}
    return data.load({**options, "name": images.record["name"], "train_size": None})


def _centred(images: Tensor) -> Tensor:
    """[0, 1] to [−½, ½]."""
    return images.float() - 0.5


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are ordered differently with more threads, and then weights differ in the last digit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write(path: Path, network: nn.Sequential, facts: Mapping[str, Any]) -> None:
    """Write weights and record as one file, which appears whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(network.state_dict(), temporary, {key: str(value) for key, value in facts.items()})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path, images: ImageSet, recipe: Recipe) -> tuple[nn.Sequential, dict[str, Any]] | None:
    """The cached classifier, or None where there is none or its weights do not have the hash that was written with them."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file() or images.classes is None:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts, weights = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        network = _network(images.shape, images.classes, recipe)
        network.load_state_dict(weights)
    except (SafetensorError, OSError, RuntimeError):
        return None
    if facts.get("sha256") != tensor_hash(weights):
        return None
    return network, {**facts, "dim": int(facts["dim"]), "val_accuracy": float(facts["val_accuracy"])}
