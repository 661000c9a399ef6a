"""Population based training (Jaderberg et al. 2017): the worst members go on from the weights of the best, with other λ.

All members train to a milestone and wait there. Then each of the worst quantile ends, and a new member takes its place. It starts from what
one of the best quantile has become, and its knobs are those of that one, moved. So λ moves in training along a line of members, and the
line of the best one is a schedule. The answer trains this schedule from scratch, beside λ off and the best constant λ.

Only knobs move that multiply a term of the loss or a step: numbers that change no tensor's shape. Members of one arm are compared.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from objectives.base import Config, Knob, Value
from search.asking.space import at
from search.schedulers import Change, SchedulerInfo
from search.schedulers._evolving import IntervalShare, Quantile, Replacing, inside

SCHEDULER = SchedulerInfo(
    name="pbt",
    summary="at each milestone the worst members go on from the weights of the best ones, with λ moved; a schedule of λ is found",
    formula="λ ← λ·factor or λ/factor, or with probability `resample` a fresh draw; within the range",
    source="Jaderberg et al. 2017, arXiv 1711.09846",
)
EXAMPLES = ({"interval_share": 0.1, "quantile": 0.5, "factor": 1.5, "resample": 0.0},)


class Scheduler(Replacing):
    """Knobs move by a factor, or are drawn afresh."""

    def __init__(
        self,
        epochs: int,
        *,
        interval_share: IntervalShare = 0.2,
        quantile: Quantile = 0.25,
        factor: Annotated[float, Field(gt=1, description="by how much a knob moves, up or down")] = 1.25,
        resample: Annotated[float, Field(ge=0, le=1, description="how likely a knob is drawn afresh instead")] = 0.25,
    ) -> None:
        super().__init__(epochs, interval_share, quantile)
        self._factor, self._resample = factor, resample

    def explored(self, knobs: Sequence[Knob], config: Config, draws: random.Random, told: Sequence[Change]) -> dict[str, Value]:
        """Other values of the knobs that may move."""
        del told
        found: dict[str, Value] = {}
        for knob in knobs:
            if draws.random() < self._resample:
                found[knob.name] = at(knob, draws.random())
            else:
                found[knob.name] = inside(knob, float(config[knob.name]) * draws.choice((self._factor, 1 / self._factor)))
        return found if math.isfinite(sum(map(float, found.values()))) else dict(config)
