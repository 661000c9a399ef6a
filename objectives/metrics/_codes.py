"""What the metrics of codes share: standardized codes."""

from __future__ import annotations

from objectives.latents._moments import alive
from objectives.lazy import Tensor, double
from objectives.metrics._subject import Subject


def standardized(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Codes (n, z) in float64: each latent minus its mean and over its standard deviation on the training codes. Dead latents are left out.

    Otherwise the weight penalty of a probe and the distance of neighbours would depend on the scale of latents. Training leaves this scale
    to chance, and λ changes it. If all latents are dead, one column of zeros is left: nothing to tell images apart by.
    """
    live = alive(train)
    x = double(train.detach())
    if not bool(live.any()):
        return [x.new_zeros(len(part), 1) for part in (train, *others)]
    centre, scale = x[:, live].mean(0), x[:, live].std(0)
    return [(double(part.detach())[:, live] - centre) / scale for part in (train, *others)]


def standardized_of(subject: Subject) -> tuple[Tensor, Tensor]:
    """The training codes, and the codes of the subject's split, of images that have a label."""
    train, own = standardized(*(subject.labelled(split, subject.codes(split)) for split in ("train", subject.split)))
    return train, own
