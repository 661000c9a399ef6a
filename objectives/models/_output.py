"""What the numbers of a user's decoder or generator are: logits, probabilities, or pixels. Found out where it can be.

A sigmoid or a tanh at the end shows itself where inputs and weights are large: nothing else keeps all outputs in [0, 1] or [−1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from objectives.draws import Live
from objectives.models._borrowed import Link
from objectives.state import Answers, apart

Meaning = Literal["", "logits", "pixels", "codes", "posterior"]
Kind = Literal["unit", "signed", "positive", "free"]
ROWS = 32
TRIALS = ((1.0, 1.0), (100.0, 1.0), (3.0, 10.0), (3.0, 30.0))  # size of random inputs, factor on the weights


def samples(module: nn.Module, takes: int) -> Iterator[Tensor]:
    """What a part gives for large random inputs, with its own weights and with larger ones."""
    like = next(module.parameters())
    for seed, (size, factor) in enumerate(TRIALS):
        generator = torch.Generator().manual_seed(seed)
        with apart(module) as values, torch.no_grad():
            for value in values.values() if factor > 1 else ():
                value.add_(0.1 * torch.randn(value.shape, generator=generator).to(value)).mul_(factor)
            # Batch normalization by the batch keeps large weights from meeting larger ones.
            module.train(factor > 1)
            x = size * torch.randn(ROWS, takes, generator=generator)
            with Answers(Live(seed)):
                yield module(x.to(like))


def kind(samples: Iterator[Tensor]) -> tuple[Kind, float, float]:
    """Whether outputs never leave [0, 1] (unit), [−1, 1] (signed), or the positive numbers; with the least and the largest."""
    low, high = float("inf"), float("-inf")
    for sample in samples:
        finite = sample[sample.isfinite()]
        if finite.numel():
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if 0 <= low <= high <= 1:
        return "unit", low, high
    if -1 <= low <= high <= 1:
        return "signed", low, high
    return ("positive" if low >= 0 else "free"), low, high


def link(
    part: str, meaning: Meaning, reached: tuple[Kind, float, float], asked: str | None, shape: tuple[int, int, int]
) -> tuple[Link, str]:
    """What makes of a part's output what the family expects (`meaning`), and the fault of what the user says about it (`asked`)."""
    found, low, high = reached
    if asked == "logits":
        return ("as it is" if meaning == "logits" else "sigmoid"), ""
    if asked is not None and (meaning == "logits" or asked == "probabilities"):
        if found != "unit":
            told = f"on large random codes they reach {low:.3g} to {high:.3g}"
            return "as it is", f"output: {asked} says that the {part} gives numbers in [0, 1]; {told}. Say output: logits, or leave it out."
        return ("logit" if meaning == "logits" else "as it is"), ""
    if asked == "pixels":
        return "as it is", ""
    if part == "discriminator":
        return ("logit" if found == "unit" else "as it is"), ""
    picture = min(shape[1:]) > 1  # points of a plane may well lie in [−1, 1]
    if meaning == "logits":
        return ("logit" if found == "unit" else "logit of centred" if found == "signed" and picture else "as it is"), ""
    return ("centred" if found == "signed" and picture else "as it is"), ""


SAID: dict[Link, str] = {
    "logit": "gives probabilities (it never leaves [0, 1]): the loss takes their log-odds",
    "sigmoid": "gives logits: their sigmoid are pixels",
    "centred": "gives numbers in [−1, 1]: moved to the images' [0, 1]",
    "logit of centred": "gives numbers in [−1, 1]: moved to [0, 1], and the loss takes their log-odds",
}
