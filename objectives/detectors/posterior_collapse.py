"""Posterior collapse: the encoder says nothing about the image, and the decoder is a model without latents.

No unit is active: no posterior mean varies from image to image by a variance of 0.01. And the whole KL is below 0.05 nats. Both hold for
the last fifth of the training. Before half of the training, in a warm-up or a cycle of β, or while the KL rises, it may still be a slow
start. A collapse is a finding, not always a failure: for data whose largest eigenvalue is below β times the decoder's variance, it is the
optimum.
Source: Bowman et al. 2016; threshold of linear models: Lucas et al., arXiv 1911.02469.
"""

from __future__ import annotations

from objectives.detectors import History

SUMMARY = "posterior collapse of a VAE: no active unit and a KL below 0.05 nats"
ON = ("vae",)
READS = ("val_kl_nats", "val_active_units")
NATS = 0.05
PLANTED = {"beta": 10.0, "lr": 5e-3}


def find(history: History) -> str:
    """The evidence, or an empty string."""
    count = history.length()
    seen = history.last(count)
    if not seen or any(one["val_active_units"] > 0 or not one["val_kl_nats"] < NATS for one in seen):
        return ""
    if not history.settled("val_kl_nats", count):
        return ""
    most = max(one["val_kl_nats"] for one in seen)
    return f"posterior collapse: no active unit and a KL of at most {most:.2g} nats in {history.span(count)}"
