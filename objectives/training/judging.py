"""What members are worth after an epoch: their metrics, how they ended, and the final score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from objectives import base, detectors, metrics, regularizers
from objectives.base import OUT_OF_MEMORY, SPOILED, Report, SpoiledError, State, out_of_memory
from objectives.data._kinds import ImageSet
from objectives.draws import Fixed
from objectives.metrics._subject import Subject
from objectives.terms import Values
from objectives.traces import shown
from objectives.training.mathematics import Mathematics
from objectives.training.members import Crew, Living
from objectives.training.population import each
from objectives.training.precision import products
from objectives.training.regularization import Memories, Regularization

BLOW_UP = 1e3  # a member has diverged if its training loss is this many times its first value (or this large, if that was below 1)
TOGETHER = 4_000  # images that members evaluate as one program, at most: a convolution's activations are many times larger than its input


class Judge:
    """The judge of one run's members."""

    def __init__(self, family: Mathematics, images: ImageSet, options: base.Config, regularization: Regularization, crew: Crew) -> None:
        self.family, self.settings, self.images, self.options = family, family.settings, images, options
        self.regularization, self.crew, self.device = regularization, crew, crew.clock.epochs.device

    def reports(self, trained: Values) -> list[Report]:
        """Evaluate every living member and report. A member that has diverged or is done gets its state."""
        with torch.no_grad(), products("float32", self.settings.device):
            columns = {**trained, **self.evaluated_together()}
            # Only here, once per epoch, the host waits for the device.
            table = torch.stack([column.to(self.crew.clock.epochs) for column in columns.values()]).T.tolist()
            return [self._report(k, dict(zip(columns, row, strict=True)) | self._asked(k)) for k, row in enumerate(table)]

    def _asked(self, k: int) -> dict[str, float]:
        """What is measured of the living member at position k after every epoch, because a spec asks for it."""
        cheap = [file for file in self.family.measured[base.Phase.SEARCH] if metrics.cheap(file)]
        if not cheap:
            return {}
        return metrics.measured(Subject(self.family, self.regularization.plain(self.current(k)), self.images, "val"), cheap)

    def evaluated_together(self) -> Values:
        """What every living member reports after an epoch, (K,) each. It is one program where the family's `evaluate` can be mapped."""
        if len(self.crew.living) > 1 and self.family.evaluates_together:
            crew = self.crew
            state = (crew.thetas, crew.averages, crew.knobs, crew.memories)
            return each(self._evaluated, state, TOGETHER // self.family.evaluated_images(self.images, self.options))
        found = [self.evaluated(k) for k in range(len(self.crew.living))]
        return {name: torch.stack([torch.as_tensor(values[name], device=self.device) for values in found]) for name in found[0]}

    @torch.no_grad()
    def evaluated(self, k: int) -> dict[str, Tensor | float]:
        """The metrics that the living member at position k reports after an epoch."""
        return self.family.evaluate(self.regularization.plain(self.current(k)), self.images)

    def _evaluated(self, *own: Any) -> Values:
        """The metrics of one model, from its θ, averages, knobs and memories."""
        found = self.family.evaluate(self.regularization.plain(self.working(*own)), self.images)
        return {name: torch.as_tensor(value, device=self.device) for name, value in found.items()}

    def _report(self, k: int, metrics: dict[str, float]) -> Report:
        living = self.crew.living[k]
        cheap = self.family.cheap or self.family.score
        rung = metrics[cheap]
        loss = sum(abs(value) for name, value in metrics.items() if name.startswith("train_loss"))
        report = Report(living.member.number, self.crew.epoch, rung, metrics)
        if math.isnan(living.first_loss):
            living.first_loss = loss
        if not math.isfinite(loss) or not math.isfinite(rung):
            what = "training loss" if not math.isfinite(loss) else cheap
            return replace(report, state=State.DIVERGED, reason=f"{what} was not finite in epoch {self.crew.epoch}")
        if loss > BLOW_UP * max(1.0, living.first_loss):
            return replace(report, state=State.DIVERGED, reason=f"training loss rose from {living.first_loss:.4g} to {loss:.4g}")
        if self.settings.score == "best_epoch" and not any(before <= rung for before in living.rungs):
            living.best = self.current(k)
        living.rungs.append(rung)
        living.history.append({name: metrics[name] for name in detectors.reads(self.family.name) if name in metrics})
        if evidence := self._collapse(living):
            return replace(report, state=State.COLLAPSED, reason=evidence)
        return self._complete(k, report) if self.crew.epoch >= self.settings.epochs else report

    def _collapse(self, living: Living) -> str:
        """The evidence that a member has collapsed. A member that is scored by an epoch before its collapse is sound."""
        settings, config = self.settings, living.member.config_after(self.crew.epoch)
        on = regularizers.acting_on(self.family.name, tuple(self.family.players))
        values = {name: config.get(name, found.knob.default) for name, found in on.items() if found.has("rest")}
        rests = [on[name].module.rest(value, settings.epochs) for name, value in values.items() if not on[name].idle(value)]
        history = detectors.History(living.history, settings.epochs, config, max([*rests, *living.member.moves], default=0.0))
        sound = living.best is not None and scored_epoch(living) <= self.crew.epoch - history.length()
        return "" if sound else detectors.find(self.family.name, history)

    def _complete(self, k: int, report: Report) -> Report:
        """The last report of a member that trained to the end: every metric of the scored weights."""
        living = self.crew.living[k]
        rungs = [min(living.rungs)] if living.best is not None else living.rungs
        try:
            net = self.regularization.plain(self.scored(k))
            asked = metrics.measured(Subject(self.family, net, self.images, "val"), self.family.measured[living.member.phase])
            final = {**asked, **self.family.finish(net, self.images, rungs)}
        except Exception as error:
            return replace(failure(report.number, report.epoch, error), metrics=report.metrics)
        score = final[self.family.deciding]
        numbers = {**report.metrics, **final, "scored_epoch": float(scored_epoch(living))}
        if not math.isfinite(score):
            reason = f"{self.family.deciding} was not finite in epoch {self.crew.epoch}"
            return replace(report, metrics=numbers, rung_score=math.nan, state=State.DIVERGED, reason=reason)
        return replace(report, metrics=numbers, state=State.COMPLETE, score=score)

    # Weights ----------------------------------------------------------------------------------------------------------------------------

    def current(self, k: int) -> dict[str, Tensor]:
        """Member k's weights as they are evaluated, by player."""
        crew = self.crew
        thetas, averages, knobs = ({name: value[k] for name, value in found.items()} for found in (crew.thetas, crew.averages, crew.knobs))
        memories = {name: {key: value[k] for key, value in memory.items()} for name, memory in crew.memories.items()}
        with torch.no_grad():
            return self.working(thetas, averages, knobs, memories)

    def scored(self, k: int) -> dict[str, Tensor]:
        """Member k's scored weights: of its best epoch if the settings say so, else the current ones."""
        best = self.crew.living[k].best
        return self.current(k) if best is None else best

    def working(
        self, thetas: Mapping[str, Tensor], averages: Mapping[str, Tensor], knobs: Mapping[str, Tensor], memories: Memories
    ) -> dict[str, Tensor]:
        """One model's weights as they are evaluated: averaged where the family averages, and with every reparametrization applied."""
        # A weight that a regularizer holds at exactly 0 is set to 0 in the average too. Otherwise the average would only creep towards 0.
        kept = {player: averages[player] * (theta != 0) if player in averages else theta for player, theta in thetas.items()}
        return self.regularization.evaluated(kept, knobs, memories, self.crew.clock, Fixed("evaluation", self.crew.clock.epochs))


def failure(number: int, epoch: int, error: Exception) -> Report:
    """The report of a member whose training raised."""
    known = SPOILED if isinstance(error, SpoiledError) else OUT_OF_MEMORY if out_of_memory(error) else ""
    reason = f"{known or type(error).__name__}: {error}"
    return Report(number, epoch, math.nan, state=State.FAILED, reason=reason, traceback=shown(error))


def scored_epoch(living: Living) -> int:
    """The epoch whose weights are scored."""
    return living.rungs.index(min(living.rungs)) + 1 if living.best is not None else len(living.rungs)
