"""Constant output of an autoencoder: whatever the image is, its reconstruction is the mean image.

The variance of reconstructions, summed over pixels, is below a thousandth of that of the images, for a fifth of the training at its end,
and does not rise. So ends a penalty on weights or codes that is larger than what the data have to say: a linear autoencoder is dead where
λ passes the largest eigenvalue of its data (Kunin et al., arXiv 1901.08168).
"""

from __future__ import annotations

from objectives.detectors import History

SUMMARY = "constant output of an autoencoder: reconstructions vary by less than a thousandth of what images do"
ON = ("autoencoder",)
READS = ("val_output_spread",)
SPREAD = 1e-3
PLANTED = {"l2": 3.0, "lr": 5e-3}


def find(history: History) -> str:
    """The evidence, or nothing."""
    count = history.length()
    seen = [one["val_output_spread"] for one in history.last(count)]
    if not seen or not max(seen) < SPREAD or not history.settled("val_output_spread", count):
        return ""
    return f"constant output: reconstructions have at most {max(seen):.2g} of the images' variance in {history.span(count)}"
