"""Whether a model can reach the values of a table. Most decoders of images end in [0, 1], and real values are not there."""

from __future__ import annotations

from objectives import models
from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.draws import initialized
from objectives.lazy import torch
from objectives.training.mathematics import Mathematics

LATENT = 4
CODES = 256  # codes that a decoder is tried on
WIDE = 100.0  # their standard deviation: what can leave [0, 1] does so for such codes
MAKERS = ("generator", "decoder")  # the parts that make an image


def of_tables(family: Mathematics, images: ImageSet) -> None:
    """Refuse a model whose outputs stay in [0, 1] for a table with values elsewhere, and name those that fit.

    Raises:
        ObjectiveError: no output of the model can be like a row of the table.
    """
    if not images.record.get("table") or family.likelihood == "bernoulli":
        return  # a Bernoulli likelihood refuses such values by itself, and its decoder makes logits
    low, high = float(images.train.min()), float(images.train.max())
    if 0 <= low <= high <= 1 or _leaves(family, family.model, images):
        return
    others = [name for name in models.serving(family.name) if not models.faults(name, family.name, images.shape)]
    fitting = [name for name in others if _leaves(family, name, images)]
    rule = f"model {family.model!r} makes values in [0, 1]"
    remedy = f"Choose one that makes any values: model: {' or '.join(fitting) or '(none)'}."
    raise ObjectiveError(f"{rule}, and {images.record.get('name')} has {low:.3g} to {high:.3g}. {remedy}")


def _leaves(family: Mathematics, name: str, images: ImageSet) -> bool:
    """Whether the outputs of a fresh model leave [0, 1] for some large codes."""
    parts = initialized(0, lambda: models.build(name, family.name, images.shape, LATENT, family.parts(images.shape, LATENT)))
    codes = WIDE * torch.randn(CODES, LATENT, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = [part(codes) for key, part in parts.items() if key in MAKERS]
    return any(float(out.min()) < 0 or float(out.max()) > 1 for out in made)
