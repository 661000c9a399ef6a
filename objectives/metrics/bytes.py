"""Bytes: how long a file with the trained weights is, where a lossless coding makes it as short as it can."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor
from objectives.metrics._estimate import Estimate
from objectives.metrics._subject import Subject

METRIC = Metric(
    name="bytes",
    summary="Length of a file with the weights that are used after training, in 32-bit floats; each tensor in the shorter of two codings",
    formula="Σ over tensors of min(coded values, coded bitmap of what is not 0 + coded values that are not 0)",
    unit="bytes",
    source="Han, Mao and Dally, arXiv 1510.00149 (Huffman codes of pruned weights); the coding: objectives/small_file.py",
    better="lower",
)
NEEDS = ("weights",)
CHEAP = True


def measure(subject: Subject) -> dict[str, Estimate]:
    """The length of the file. Nothing is pruned and nothing is rounded: only weights that training left at 0 make it shorter."""
    return {"bytes": estimate(*subject.weights.values())}


def estimate(*weights: Tensor) -> Estimate:
    """The length of the file with these tensors, of any shapes. A length has no standard error."""
    from objectives import small_file

    tensors = {str(place): tensor.detach().cpu().float() for place, tensor in enumerate(weights)}
    return Estimate(float(len(small_file.encoded(tensors, 32))))
