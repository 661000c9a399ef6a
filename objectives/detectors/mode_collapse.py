"""Mode collapse of a GAN: the generator makes one image, or a few, whatever its noise is.

`val_diversity` compares how much generated images differ with how much real images differ, in the features of the score. There are two
forms:

- *one point*: below 0.001 for the last fifth of the training. No generator starts so low (a fresh one has about 0.01). Where all samples
  are one, the gradient of their differences is gone;
- *lost*: below 0.05 for that long, after more than 0.25. Samples that begin to differ only after half of the training were never lost.

A GAN swings and may recover. So the second form is reported only of a member that is done.
"""

from __future__ import annotations

from objectives.detectors import History

SUMMARY = "mode collapse of a GAN: samples differ by less than 0.001 of what images do, or by less than 0.05 after more than 0.25"
ON = ("gan",)
READS = ("val_diversity",)
POINT = 0.001
LOST, ONCE = 0.05, 0.25
PLANTED = {"l2_g": 10.0, "lr": 1e-2}


def find(history: History) -> str:
    """The evidence, or an empty string."""
    count = history.length()
    seen = [one["val_diversity"] for one in history.last(count)]
    if not seen:
        return ""
    where = f"diversity at most {max(seen):.2g} of that of real images in {history.span(count)}"
    if max(seen) < POINT and history.settled("val_diversity", count):
        return f"mode collapse: one image; {where}"
    best = max(one["val_diversity"] for one in history.metrics)
    if history.over and max(seen) < LOST and best > ONCE:
        return f"mode collapse: {where}, after {best:.2g}"
    return ""
