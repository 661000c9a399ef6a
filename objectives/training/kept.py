"""What a trained model needs beside its weights to be used without its data: a file beside the weights, where there is something to keep.

- The density of its codes, where samples are drawn from a fitted one (`latents`).
- Fixed moments for each normalization by the batch. Training and evaluation take those of the batch; a model that is used alone must give
  an image the same code, whatever stands beside it. The moments are those of one batch, as large as those that are evaluated: training
  images for an encoder, their codes for a decoder, codes of the prior for a generator.
- The σ² of a decoder that has one of its own (`optimal_sigma`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from objectives import latents, regularizers
from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.draws import Fixed
from objectives.metrics._subject import Subject
from objectives.models._borrowed import Borrowed
from objectives.parts import AT_ONCE
from objectives.terms import Net, as_is
from objectives.training import checkpoint
from objectives.training.mathematics import Mathematics

NAME = "evaluation.safetensors"
LEAST = 256  # images whose moments are taken, where there are so many
LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
Moments = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Kept:
    """What such a file holds: the density's name and tensors, moments by part and layer, σ². `missing`: why there is no density."""

    latents: str = ""
    density: Mapping[str, Tensor] = field(default_factory=dict)
    moments: Mapping[str, Tensor] = field(default_factory=dict)
    variance: float | None = None
    missing: str = ""

    def hidden(self, part: str) -> list[Moments]:
        """The moments of the hidden activations of a part, in the order in which it passes them through its hook."""
        found: list[Moments] = []
        while f"{part}/{len(found)}/mean" in self.moments:
            found.append((self.moments[f"{part}/{len(found)}/mean"], self.moments[f"{part}/{len(found)}/variance"]))
        return found


def beside(weights: Path) -> Path:
    """The file of what is kept beside a file of weights."""
    return weights.with_name(NAME)


def write(family: Mathematics, net: Net, images: ImageSet, weights: Path, **facts: Any) -> None:
    """Write weights, with facts of their training as metadata, and what is kept beside them."""
    settings = family.settings
    facts |= {"objective": family.name, "model": family.model, "likelihood": family.likelihood, "shape": list(images.shape)}
    facts |= {"output": settings.output, "latents": settings.latents, "dataset": images.record.get("name")}
    write_beside(family, net, images, weights)
    checkpoint.write_weights(checkpoint.tensors(net), facts, weights)


def decoded(family: Mathematics, net: Net, z: Tensor) -> Tensor:
    """What the decoder or generator makes of codes (n, z), in pixel values: (n, D). Of a VAE the expected pixels."""
    out = net.in_chunks(("generator" if "generator" in net.parameters else "decoder",), z)
    expected: Tensor = getattr(family, "_expected", as_is)(out)
    return expected


def write_beside(family: Mathematics, net: Net, images: ImageSet, weights: Path) -> None:
    """Write the file beside the weights; none where nothing is needed. A density that cannot be fitted is no failure of the training."""
    file = beside(weights)
    file.unlink(missing_ok=True)
    density = family.settings.latents or family.prior
    tensors: dict[str, Tensor] = {}
    facts: dict[str, Any] = {}
    with torch.no_grad():
        if density != "standard_normal" and "codes" in family.offers:
            facts["latents"] = density
            try:
                fitted = latents.fitted(density, Subject(family, net, images, "val").codes("train"))
                tensors |= {f"density/{name}": value for name, value in fitted.items()}
            except (ObjectiveError, ValueError, RuntimeError) as error:
                facts["missing"] = str(error)
        tensors |= {f"moments/{name}": value for name, value in _moments(family, net, images).items()}
        own = getattr(family, "variance", None)  # of a VAE
        if own is not None and (variance := own(net, images)) is not None:
            facts["variance"] = float(variance)
    if tensors or facts:
        checkpoint.write_weights(tensors, facts, file)


def read(weights: Path) -> Kept:
    """What is kept beside a file of weights; nothing where there is no file."""
    file = beside(weights)
    if not file.exists():
        return Kept()
    tensors, facts = checkpoint.read_weights(file)

    def under(folder: str) -> dict[str, Tensor]:
        return {name.removeprefix(f"{folder}/"): value for name, value in tensors.items() if name.startswith(f"{folder}/")}

    return Kept(facts.get("latents", ""), under("density"), under("moments"), facts.get("variance"), facts.get("missing", ""))


# Normalization by the batch --------------------------------------------------------------------------------------------------------------


def _moments(family: Mathematics, net: Net, images: ImageSet) -> dict[str, Tensor]:
    """Moments by `part/layer/mean` and `part/number of the hidden activation/variance`."""
    found: dict[str, Tensor] = {}
    parts = [part for part in family.kept or net.parameters if coupled(net, part) or couples(family, part, net.options)]
    for part in parts:
        with _watched(net.module(part)) as seen:
            own: list[Moments] = []
            watching = net.whole({part: _watching(couples(family, part, net.options), own)}) if couples(family, part, net.options) else net
            watching(part, _batch(family, net, images, part))
        moments = {**seen, **{str(index): pair for index, pair in enumerate(own)}}
        for name, (mean, variance) in moments.items():
            found |= {f"{part}/{name}/mean": mean, f"{part}/{name}/variance": variance}
    return found


def coupled(net: Net, part: str) -> list[str]:
    """The layers of a part that normalize by the batch in an evaluation, by name. A user's module is used as its author wrote it."""
    module = net.module(part)
    if isinstance(module, Borrowed):
        return []
    return [name for name, layer in module.named_modules() if isinstance(layer, LAYERS) and not layer.track_running_stats]


def couples(family: Mathematics, part: str, options: Mapping[str, Any]) -> Any:
    """The file of the regularizer that normalizes the hidden activations of a part by the batch; None where there is none."""
    for name, found in regularizers.acting_on(family.name, tuple(family.players)).items():
        value = options.get(name, found.knob.default)
        if part in family.players[found.player] and value in getattr(found.module, "COUPLES", ()):
            return found.module
    return None


def fixed(module: Any, moments: Sequence[Moments]) -> Callable[[Tensor], Tensor]:
    """A hook that normalizes each hidden activation of a call by its own moments. A call passes as many as there are moments."""
    turn = iter(range(0))

    def hook(hidden: Tensor) -> Tensor:
        nonlocal turn
        index = next(turn, None)
        if index is None:
            turn = iter(range(1, len(moments)))
            index = 0
        found: Tensor = module.fixed(hidden, *(moment.to(hidden) for moment in moments[index]))
        return found

    return hook


def fix(module: nn.Module, part: str, moments: Mapping[str, Tensor]) -> None:
    """Give the layers of a part that normalize by the batch fixed moments, in place."""
    for name, layer in module.named_modules():
        if isinstance(layer, LAYERS) and f"{part}/{name}/mean" in moments:
            layer.running_mean, layer.running_var = moments[f"{part}/{name}/mean"], moments[f"{part}/{name}/variance"]


def _batch(family: Mathematics, net: Net, images: ImageSet, part: str) -> Tensor:
    size = min(AT_ONCE, max(LEAST, len(images.val)))
    x = images.train[:size].flatten(1)
    if part == "encoder":
        return x
    if "codes" in family.offers:
        return family.codes(net, x)
    return Fixed("kept", images.val).normal((size, net.latent_dim), "latent")


def _watching(module: Any, seen: list[Moments]) -> Callable[[Tensor], Tensor]:
    def hook(hidden: Tensor) -> Tensor:
        seen.append(module.moments(hidden))
        found: Tensor = module.fixed(hidden, *seen[-1])
        return found

    return hook


@contextmanager
def _watched(module: nn.Module) -> Iterator[dict[str, Moments]]:
    """Inside, the moments of what each layer that normalizes by the batch is given, by its name."""
    seen: dict[str, Moments] = {}

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            over = (0, *range(2, inputs[0].ndim))
            seen[name] = inputs[0].mean(over), inputs[0].var(over, correction=0)

        return hook

    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, LAYERS) and not layer.track_running_stats}
    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
