"""Constant output of an autoencoder: for every image the reconstruction is the mean image.

The variance of reconstructions, summed over pixels, is below a thousandth of the variance of the images. It is so for the last fifth of the
training, and it does not rise. The cause is a penalty on weights or codes that is larger than what the data can outweigh: a linear
autoencoder has a constant output where λ is above the largest eigenvalue of its data (Kunin et al., arXiv 1901.08168).
"""

from __future__ import annotations

from objectives.detectors import History

SUMMARY = "constant output of an autoencoder: reconstructions vary by less than a thousandth of what images do"
ON = ("autoencoder",)
READS = ("val_output_spread",)
SPREAD = 1e-3
PLANTED = {"l2": 3.0, "lr": 5e-3}


def find(history: History) -> str:
    """The evidence, or an empty string."""
    count = history.length()
    seen = [one["val_output_spread"] for one in history.last(count)]
    if not seen or not max(seen) < SPREAD or not history.settled("val_output_spread", count):
        return ""
    return f"constant output: reconstructions have at most {max(seen):.2g} of the images' variance in {history.span(count)}"
