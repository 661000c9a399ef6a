"""A trained model back: `load(weights)` is a module that takes and gives images (n, C, H, W), whatever its network takes and gives.

The weights' file says what it needs (`training/loop.py` writes config, objective, model and shape as its metadata); what else a use without
the data needs lies beside it (`training/kept.py`). Nothing in either file is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from objectives import latents, registry
from objectives.base import Config, Objective, ObjectiveError, Settings, Shape
from objectives.draws import Fixed, Live
from objectives.state import Held, State
from objectives.terms import Corrupt, Net
from objectives.training import kept
from objectives.training.built import filled
from objectives.training.checkpoint import read_weights
from objectives.training.kept import Kept

FARTHEST = 3.0  # a pixel that lies farther from 0 is none in [0, 1], not even with noise or from a linear decoder
NEEDED = ("config", "seed", "shape", "objective", "model", "likelihood")


class TrainedModel(nn.Module):
    """A trained network in evaluation mode. Images are (n, C, H, W), of the size `shape`; rows of a table may also be (n, d).

    Pixels are in [0, 1]; a linear decoder may leave this range a little, and rows of a table have the scale of their training rows. Weights
    ask for no gradient; `requires_grad_()` changes that. Normalization by the batch uses fixed moments (`training/kept.py`), so what an
    image becomes does not depend on the images beside it.

    Attributes:
        config, seed: of the training. objective, model, likelihood: names of the spec. shape: (C, H, W). latent_dim: numbers in a code.
        variance: σ² of a decoder that has one of its own, else None.
    """

    def __init__(self, family: Any, net: Net, beside: Kept, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.config: dict[str, Any] = dict(facts["config"])
        self.seed, self.objective, self.model = int(facts["seed"]), str(facts["objective"]), str(facts["model"])
        self.likelihood, self.shape, self.latent_dim = str(facts["likelihood"]), net.shape, net.latent_dim
        self.variance = beside.variance
        self.parts = nn.ModuleDict({part: net.module(part) for part in family.kept or net.parameters})
        self._family, self._net, self._beside = family, net, beside
        self._fixed: dict[str, Corrupt] = {}
        for part, module in self.parts.items():
            kept.fix(module, part, beside.moments)
            if moments := beside.hidden(part):
                self._fixed[part] = kept.fixed(kept.couples(family, part, net.options), moments)
        self.requires_grad_(False).eval()

    @property
    def codable(self) -> bool:
        """Whether the model has an encoder."""
        return "codes" in self._family.offers

    def encode(self, x: Tensor) -> Tensor:
        """Codes (n, latent_dim) of images; of a VAE the posterior means.

        Raises:
            ObjectiveError: the model has no encoder, or the images have another size.
        """
        if not self.codable:
            raise ObjectiveError(f"{self.objective} has no encoder: it makes images of codes, and nobody knows the code of an image.")
        codes: Tensor = self._family.codes(self.net, self._flat(x))
        return codes

    def decode(self, z: Tensor) -> Tensor:
        """Images (n, C, H, W) of codes (n, latent_dim): of a VAE the expected pixels E[x|z].

        Raises:
            ObjectiveError: the codes have another size.
        """
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ObjectiveError(f"codes must have the shape (n, {self.latent_dim}); got {tuple(z.shape)}.")
        return kept.decoded(self._family, self.net, z).reshape(-1, *self.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """decode(encode(x)), in the form in which x was given. Raises what `encode` raises."""
        return self.decode(self.encode(x)).reshape(x.shape)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """`n` new images (n, C, H, W): the same for the same seed.

        Their codes are drawn from N(0, I); those of an autoencoder from the density that was fitted to the codes of its training images.

        Raises:
            ObjectiveError: there is no such density.
        """
        with torch.no_grad():
            return self.decode(self.draw_codes(n, seed))

    def draw_codes(self, n: int, seed: int = 0) -> Tensor:
        """The codes (n, latent_dim) that `sample` decodes. Raises what it raises."""
        like, draws, beside = next(self.parameters()), Live(seed), self._beside
        density = self._family.settings.latents or self._family.prior
        if density == "standard_normal":
            return draws.normal((n, self.latent_dim), "latents").to(like)
        if not beside.density:
            why = beside.missing or f"the file {kept.NAME} that belongs beside the weights is not there"
            raise ObjectiveError(f"samples need the density of the codes ({density}), and there is none: {why}.")
        return latents.sampler(density, beside.density)(n, draws).to(like)

    def forward(self, x: Tensor) -> Tensor:
        """`reconstruct` for images; for a model without an encoder `decode` for codes."""
        return self.reconstruct(x) if self.codable else self.decode(x)

    def example(self, n: int = 4) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What `forward` takes and what it gives, for n rows: images for images, or codes for images where there is no encoder."""
        with torch.no_grad():
            codes = torch.zeros(n, self.latent_dim) if self.codable else self.draw_codes(n)
            takes = self.decode(codes).clamp(0, 1) if self.codable else codes
            return takes.numpy(), self(takes).numpy()

    @property
    def net(self) -> Net:
        """The network as a family sees it, with this module's weights as they are now."""
        net: Net = self._net.whole(self._fixed)
        net.parameters = {**net.parameters, **{part: dict(module.named_parameters()) for part, module in self.parts.items()}}
        if net.state is not None:
            parts = {part: net.module(part) for part in net.parameters}
            draws = Fixed("module", next(self.parameters()))
            net.state = State(net.state.held, Held(parts).first(parts), draws, training=False)
        return net

    def _flat(self, x: Tensor) -> Tensor:
        """Images as the network takes them, (n, D)."""
        if not isinstance(x, Tensor) or not x.is_floating_point():
            given = f"{x.dtype} tensor" if isinstance(x, Tensor) else type(x).__name__
            raise ObjectiveError(f"images must be a tensor of floats in [0, 1]; got a {given}. Make one: torch.as_tensor(x).float() / 255")
        if tuple(x.shape[1:]) != self.shape and (x.ndim != 2 or max(self.shape[:2]) > 1 or x.shape[1] != self.shape[2]):
            rows = f" or (n, {self.shape[2]})" if max(self.shape[:2]) == 1 else ""
            raise ObjectiveError(f"images must have the shape (n, {', '.join(map(str, self.shape))}){rows}; got {tuple(x.shape)}.")
        if max(self.shape[:2]) > 1 and not torch.compiler.is_compiling() and x.numel() and float(x.abs().max()) > FARTHEST:
            raise ObjectiveError(f"pixels must be in [0, 1]; got up to {float(x.abs().max()):g}. Divide by 255, or undo the normalization.")
        return x.flatten(1)


def load(
    weights: Path, kind: type[Objective] | None = None, settings: Settings | None = None, config: Config | None = None, called: str = ""
) -> TrainedModel:
    """The model of saved weights, on the CPU.

    Args:
        weights: a file that a training of one of our families wrote.
        kind: the objective's class, where it is not a family of ours by its name.
        settings: those of the training, where the file does not say enough (a file of an older version).
        config: likewise. called: how a spec names the objective.

    Raises:
        ObjectiveError: no network is known of the objective; the file is no such file, is older, or does not fit its model.
    """
    if kind is not None and not hasattr(kind, "players"):
        raise ObjectiveError(
            f"no network is known of the objective {called or kind.__name__}: it trains by itself. Its weights, where it keeps some, are "
            f"in {weights}."
        )
    facts: dict[str, Any] = read_weights(weights)[1]
    if missing := [key for key in NEEDED if key not in facts]:
        raise ObjectiveError(f"{weights} does not say its {', '.join(missing)}: it is not of this version. Train it again: lagrange train")
    if settings is None:
        known: dict[str, Any] = {"likelihood": facts["likelihood"] or None, "output": facts.get("output"), "latents": facts.get("latents")}
        settings = Settings({"name": facts.get("dataset")}, 1, facts["model"], **known)
    family: Any = (kind or registry.load(facts["objective"]))(replace(settings, device="cpu"))
    shape: Shape = tuple(facts["shape"])
    net = filled(family, config or facts["config"], shape, weights)
    for part, named in net.parameters.items():
        module = net.module(part)
        for name, value in named.items():
            module.get_parameter(name).data = value
        for name, value in net.state.held.of(net.state.values, part).items() if net.state is not None else ():
            module.get_buffer(name).data = value
    return TrainedModel(family, net, kept.read(weights), facts)
