"""Exponential moving average of the generator's weights: the average is scored; the trained weights are not changed.

The decay warms up, min(a, (1 + t)/(10 + t)) after t steps, so that the first weights are forgotten soon. Without the average (a = 0) a GAN
is scored on the last step of a game that swings. So the average is on by default.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.regularizers._truths import Effect, squared_norm

KNOB = Knob(
    name="ema",
    summary="decay of the generator's moving average, which is what is scored",
    formula="θ̄ ← aθ̄ + (1 − a)θ",
    unit="per step",
    default=0.999,
    low=0.9,
    high=0.9999,
    off=0.0,
    more="high",
    where="generator",
    cost="1 %",
    source="Yazıcı et al. 2019; Karras et al. 2018",
)
ON = ("gan.generator",)
DEFAULT_ON = "the last iterate of a GAN swings, and scores with it"
# The averaging itself is `TrainingRun._average`: it changes which weights are scored, not how they are trained.
ELSEWHERE = True


def effect() -> Effect:
    """Weights that are scored lie nearer to where they began: they are an average over the way."""
    # Seen after one epoch, in which weights grow from the start: 1.5 % less. After two epochs it is not seen, and after eight it is again.
    # So this shows that an average is scored, not that averages have smaller norms.
    return Effect("gan", {"ema": 0.999}, squared_norm("generator"), rises=False, least=0.005, always={"ema": 0.0}, epochs=1)
