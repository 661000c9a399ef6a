"""Features of a classifier that is trained once per data set, cached and hashed: what `classifier`, `lenet` and `stacked` share.

Two numbers in such features can be compared only if the classifier is the same. So the hash of its weights and its accuracy stand in every
record beside the number. Inception's features are of no use on small gray images; the authors of KID score MNIST with a LeNet for this
reason.
Source: LeCun et al., Gradient-based learning applied to document recognition, 1998; Binkowski et al., arXiv 1801.01401, section 5.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectives._files import replaced
from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import CHUNK, Extractor, tensor_hash, whole
from objectives.lazy import Tensor, nn, torch
from objectives.parts import first

_LEAK = 0.1  # slope below zero: with a plain ReLU up to half of so few features die in training, and their covariance is singular


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


def labelled(images: ImageSet) -> bool:
    """Whether the images have labels to classify."""
    return images.train_labels is not None and images.val_labels is not None and images.classes is not None


def extractor(images: ImageSet, cache: Path | None, recipe: Recipe) -> Extractor:
    """What a classifier of this recipe computes before its last layer, together with the class scores that follow from it.

    Raises:
        ObjectiveError: the data set has no labels.
    """
    network, facts = classifier(images, cache, recipe)
    body, last = network[:-1], network[-1]
    return Extractor(label_of(recipe, facts), images.shape, recipe.features, lambda part: body(centred(part)), facts, last)


def label_of(recipe: Recipe, facts: Mapping[str, Any]) -> str:
    """Kind, dimension and the hash of the weights: `lenet-512@1f3a2b1c`."""
    return f"{recipe.kind}-{recipe.features}@{facts['sha256'][:8]}"


def classifier(images: ImageSet, cache: Path | None, recipe: Recipe) -> tuple[nn.Sequential, dict[str, Any]]:
    """The classifier of a data set, on the device of its images, and its facts. It is read from `cache`, or trained and written there.

    It is trained on the data set's own training images: the first `most_images`, whatever `train_size` says. So sweeps that train models
    on fewer images are scored in the same features. Processes that share `cache` may call this at once.

    Raises:
        ObjectiveError: the data set has no labels.
    """
    if not labelled(images):
        name = images.record.get("name", "this data set")
        raise ObjectiveError(
            f"classifier features need labelled images; got {name!r}, which has no labels. Choose features: randconv or pca, or leave "
            "them out."
        )
    path = None if cache is None else Path(cache) / f"features-{_key(images, recipe)}.safetensors"
    found = _read(path, images, recipe) if path else None
    if found is None:
        found = trained(images, recipe)
        if path:
            _write(path, *found)
    network, facts = found
    network.to(images.val.device).eval().requires_grad_(False)
    return network, facts


def _key(images: ImageSet, recipe: Recipe) -> str:
    """Name of a cached classifier: the data set, its hash and everything that training depends on."""
    source = images.record.get("source_sha256") or tensor_hash({"train": images.train})
    content = repr((source, images.shape, images.classes, recipe))
    # A data set of a user's own has a name that is no file's: `../mine.py:images`. The hash tells it from others.
    name = re.sub(r"[^\w-]+", "_", str(images.record.get("name", "images")))[-60:]
    return f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _network(shape: tuple[int, int, int], classes: int, recipe: Recipe) -> nn.Sequential:
    """Layers from centred images (n, C, H, W) to classes. The last layer is linear; its input are the features."""
    channels, height, width = shape
    if recipe.kind == "mlp":
        body: list[nn.Module] = [nn.Flatten(), nn.Linear(channels * height * width, 128), nn.ReLU(), nn.Linear(128, recipe.features)]
    elif recipe.kind == "lenet":
        flat = 64 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
        first = [nn.Conv2d(channels, 32, 5), nn.ReLU(), nn.MaxPool2d(2)]
        second = [nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2)]
        body = [*first, *second, nn.Flatten(), nn.Linear(flat, recipe.features)]
        return nn.Sequential(*body, nn.ReLU(), nn.Linear(recipe.features, classes))
    else:
        flat = 32 * (height // 4) * (width // 4)
        first = [nn.Conv2d(channels, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]  # (n, 16, H/2, W/2)
        second = [nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]  # (n, 32, H/4, W/4)
        body = [*first, *second, nn.Flatten(), nn.Linear(flat, recipe.features)]
    return nn.Sequential(*body, nn.LeakyReLU(_LEAK), nn.Linear(recipe.features, classes))


def trained(images: ImageSet, recipe: Recipe) -> tuple[nn.Sequential, dict[str, Any]]:
    """Train on the CPU with one thread and a fixed seed. So any process on the same machine gets the same weights."""
    full = whole(images, recipe.most_images)
    if full.train_labels is None or full.val_labels is None or full.classes is None:
        raise ObjectiveError("classifier features need labelled images; got none.")
    y = full.train_labels[: recipe.most_images].cpu()
    x, y = picked(full.train, (y >= 0).nonzero().flatten()), y[y >= 0]
    network = fitted(x, y, images.shape, full.classes, recipe)
    with one_thread(), torch.no_grad():
        _rescale(network, x)
        found = torch.cat([network(centred(part)).argmax(1) for part in _chunks(full.val)])
    truth = full.val_labels.cpu()
    right = (found == truth)[truth >= 0]
    facts = {
        "dataset": str(images.record.get("name", "images")),
        "recipe": f"{recipe.kind}-{recipe.features}-v{recipe.version}",
        "dim": recipe.features,
        "val_accuracy": float(right.double().mean()),
        "sha256": tensor_hash(network.state_dict()),
    }
    return network, facts


def fitted(x: Tensor, y: Tensor, shape: tuple[int, int, int], classes: int, recipe: Recipe) -> nn.Sequential:
    """A network of the recipe, trained on the CPU on images x (n, C, H, W) and classes y (n,). Leaves the global generator alone."""
    with one_thread(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(recipe.seed)
        network = _network(shape, classes, recipe)
        _fit(network, x, y, recipe)
    return network


def _fit(network: nn.Sequential, x: Tensor, y: Tensor, recipe: Recipe) -> None:
    """Cross-entropy by gradient descent with momentum 0.9. The learning rate falls along a line to zero.

    The steps are written out here, because importing torch.optim takes longer than training on the digits.
    """
    parameters = list(network.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    order = [part for _ in range(recipe.epochs) for part in torch.split(torch.randperm(len(x)), recipe.batch)]
    for step, chosen in enumerate(order):
        loss = torch.nn.functional.cross_entropy(network(centred(x[chosen].cpu())), y[chosen])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                velocity.mul_(0.9).add_(gradient)
                parameter.sub_(recipe.learning_rate * (1 - step / len(order)) * velocity)


def _rescale(network: nn.Sequential, x: Tensor) -> None:
    """Give features a mean square of 1 over the training images, and undo it in the last layer: the class scores stay as they are.

    KID's kernel adds 1 to x·y/d. So KID depends on the scale of features, and training leaves this scale to chance.
    """
    before, last = network[-3], network[-1]
    with torch.no_grad():
        squares = torch.cat([network[:-1](centred(part)).square().mean(1) for part in _chunks(x)])
        scale = float(squares.mean().rsqrt())
        for tensor in before.parameters():
            tensor.mul_(scale)
        last.get_parameter("weight").div_(scale)


def picked(images: Tensor, rows: Tensor) -> Tensor:
    """Some images; where they are the first ones, nothing is read or copied."""
    return first(images, len(rows)) if bool((rows == torch.arange(len(rows))).all()) else images[rows.to(images.device)]


def _chunks(x: Tensor) -> Iterator[Tensor]:
    """A thousand images at a time, on the CPU."""
    return (x[start : start + CHUNK].cpu() for start in range(0, len(x), CHUNK))


def centred(images: Tensor) -> Tensor:
    """[0, 1] to [−½, ½]."""
    return images.float() - 0.5


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread: with more threads sums are ordered differently, and then weights differ in the last digit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write(path: Path, network: nn.Sequential, facts: Mapping[str, Any]) -> None:
    """Write weights and record as one file, completely or not at all."""
    from safetensors.torch import save_file

    with replaced(path) as temporary:
        save_file(network.state_dict(), temporary, {key: str(value) for key, value in facts.items()})


def _read(path: Path, images: ImageSet, recipe: Recipe) -> tuple[nn.Sequential, dict[str, Any]] | None:
    """The cached classifier. None where there is none, or where its weights do not have the hash that was written with them."""
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
