"""Where is λ alive? A pilot of seconds finds the range in which a λ that multiplies a penalty does something, and does not kill the model.

Of the loss L(λ) = D + λP on one batch, D is the *data term* and P the penalty. Two measurements give both at any weights, without a λ of 0:
D = 2L(λ) − L(2λ), λP = L(2λ) − L(λ); and their gradients in the same way.

- *Lower end*: the largest λ with λ‖∇P‖ < 10⁻³ ‖∇D‖, at the first weights and after a short training with next to no λ. Below it the penalty
  does not move the weights.
- *Upper end*: the smallest λ at which 95 % of what a short training gains in D is lost, or the training itself. The gain is counted from
  the D that is left under the strongest penalty: for a penalty of the weights, and for β, that of a constant prediction. It is found by
  halving the interval of log λ, with one short training a step. In a game of several players D says nothing of the kind (in the
  equilibrium of a GAN the discriminator is a constant), so there only lost trainings count.

A probe may have `trained(config, epochs)`, a short training. (Ours train a few hundred images as they train all.) Where it has none, the
pilot descends the loss of each probe itself, by Adam.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from objectives.base import Config, Knob, Objective, Probe
from objectives.lazy import torch

LEAST = 1e-3  # of the gradient of the data term: a penalty with a smaller one is as good as off
LOST = 0.95  # of the gain of training: a penalty that takes more of it kills the model
REACH = 100.0  # how far beyond a knob's own range the pilot looks
HALVINGS = 7
WIDTH = 3.0  # a range that is narrower than this factor is no range
EPOCHS, SHORTEST, SECONDS = 30, 5, 15.0  # of a short training: how long it is, and how short it may be where it would take more seconds
STEPS, STEP_SIZE = 200, 0.05  # of a descent where the objective has no short training


@dataclass(frozen=True)
class Found:
    """The range that a pilot found, and in words how; NaN where the knob keeps its own."""

    low: float
    high: float
    said: str

    @staticmethod
    def none(why: str) -> Found:
        """The knob keeps its own range."""
        return Found(math.nan, math.nan, why)


class UnfitError(Exception):
    """Why no range can be found for a λ."""


def find(objective: Objective, configs: Mapping[str, Config]) -> dict[str, dict[str, Any]]:
    """The range of each λ in `configs`, as plain data: `low`, `high` (both None where none was found) and `said`.

    Args:
        objective: what is trained.
        configs: for each λ the config in which it is looked at: other λ off, and choices under which it acts.
    """
    found = {}
    for name, config in configs.items():
        try:
            one = _Pilot(objective, objective.knobs[name], config).found()
        except UnfitError as why:
            one = Found.none(str(why))
        except Exception as error:  # a user's loss may raise anything at a λ that nobody would train
            one = Found.none(f"the pilot raised {type(error).__name__}: {error}")
        plain = asdict(one)
        found[name] = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in plain.items()}
    return found


@dataclass(frozen=True)
class _Seen:
    """A λ at some weights: its data term D, and the norms of ∇D and ∇P, over the players in whose loss it is."""

    data: float
    gradient: float
    penalty: float


class _Pilot:
    """One λ."""

    def __init__(self, objective: Objective, knob: Knob, config: Config) -> None:
        self._objective, self._knob, self._config = objective, knob, dict(config)
        if knob.integer or knob.choices or knob.structural or not knob.log or not knob.low or not knob.high:
            raise UnfitError("it has no range of orders of magnitude")
        self._low, self._high, self._own = knob.low / REACH, knob.high * REACH, float(knob.high)
        self._unit = math.sqrt(knob.low * knob.high)  # the λ at which loss and penalty are told apart
        self._epochs = EPOCHS

    def found(self) -> Found:
        """The range.

        Raises:
            UnfitError: there is none to be found.
        """
        first = self._objective.probes(self._at(self._unit))
        if not first:
            raise UnfitError("the objective has no probes (see base.Probe)")
        weak = self._trained(self._low, timed=True)
        if weak is None:
            raise UnfitError("a short training with hardly any of it was lost")
        # A penalty may be 0 at the first weights.
        players = [player for player, probe in first.items() if self._acts(probe) or self._acts(weak[player])]
        start, after = self._seen(first, players), self._seen(weak, players)
        ends = [LEAST * one.gradient / one.penalty for one in (start, after) if one.penalty > 0 and one.gradient > 0]
        if not ends:
            raise UnfitError("its penalty has no gradient")
        low = max(min(ends), self._low)
        game = len(first) > 1
        high, why = self._lost(players, low) if game else self._upper(players, start.data, after.data, low)
        if high < WIDTH * low:
            raise UnfitError(f"its gradient counts from {low:.2g} on, and its range would end at {high:.2g}: nothing to search")
        why += f" (by trainings of {self._epochs} short epochs only)" if self._epochs < EPOCHS else ""
        return Found(float(f"{low:.2g}"), float(f"{high:.2g}"), why)

    def _upper(self, players: list[str], untrained: float, trained: float, low: float) -> tuple[float, str]:
        """The upper end, and why it is there."""
        strongest = self._data(self._high, players)
        gain = (min(untrained, strongest) if strongest is not None else untrained) - trained
        if gain <= 0 or (strongest is not None and strongest - trained < 0.1 * abs(untrained - trained)):
            return self._own, f"no {self._knob.name} up to {self._high:g} kills the model; its own upper end stays"

        def killed(value: float) -> bool:
            data = self._data(value, players)
            return data is None or data > trained + LOST * gain

        return _halved(killed, low, self._high), "beyond it a short training is lost, or learns no more than a constant"

    def _lost(self, players: list[str], low: float) -> tuple[float, str]:
        """The upper end in a game, and why it is there."""
        if self._data(self._own, players) is not None:
            return self._own, "its own upper end stays: the losses of a game do not say when a model is dead"
        return _halved(lambda value: self._data(value, players) is None, low, self._own), "beyond it a short training is lost"

    def _data(self, value: float, players: list[str]) -> float | None:
        """The data term after a short training with this λ; None where the training was lost."""
        probes = self._trained(value)
        data = self._seen(probes, players, gradients=False).data if probes is not None else math.nan
        return data if math.isfinite(data) else None

    def _trained(self, value: float, timed: bool = False) -> Mapping[str, Probe] | None:
        """The probes after a short training. The first one says how long the others may be."""
        config = self._at(value)
        probes = self._objective.probes(config)
        short: Callable[[Config, int], Mapping[str, Probe]] | None = getattr(next(iter(probes.values())), "trained", None)
        if short is None:
            return _descended(probes, config)
        if timed:
            started = time.monotonic()
            short(config, 2)
            self._epochs = min(EPOCHS, max(SHORTEST, int(2 * SECONDS / (time.monotonic() - started))))
        return short(config, self._epochs) or None

    def _at(self, value: float) -> dict[str, Any]:
        return {**self._config, self._knob.name: value}

    def _acts(self, probe: Probe) -> bool:
        """Whether this player's loss has the penalty.

        Raises:
            UnfitError: λ is in the loss, and does not multiply a penalty.
        """
        losses = [float(probe.loss(self._at(times * self._unit)).detach()) for times in (1, 2, 3)]
        once, twice = losses[1] - losses[0], losses[2] - losses[0]
        if once == 0.0 and twice == 0.0:
            return False
        if not math.isclose(twice, 2 * once, rel_tol=1e-6, abs_tol=1e-9 * max(1.0, abs(losses[0]))):
            raise UnfitError("it does not multiply a penalty")
        return True

    def _seen(self, probes: Mapping[str, Probe], players: list[str], *, gradients: bool = True) -> _Seen:
        if not players:
            raise UnfitError("it is in no loss")
        data, squares = 0.0, [0.0, 0.0]
        for probe in (probes[player] for player in players):
            once, twice = (probe.loss(self._at(times * self._unit)) for times in (1, 2))
            data += float((2 * once - twice).detach())
            if gradients:
                for place, term in enumerate((2 * once - twice, (twice - once) / self._unit)):
                    squares[place] += _square(term, probe)
        return _Seen(data, math.sqrt(squares[0]), math.sqrt(squares[1]))


def _halved(killed: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest λ that kills, nearly."""
    below, above = math.log(low), math.log(high)
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        below, above = (below, middle) if killed(math.exp(middle)) else (middle, above)
    return math.exp(above)


def _square(term: Any, probe: Probe) -> float:
    """‖∇term‖² over the probe's parameters."""
    if not term.requires_grad:
        return 0.0
    found = torch.autograd.grad(term, list(probe.parameters().values()), allow_unused=True, retain_graph=True)
    return sum(float(one.square().sum()) for one in found if one is not None)


def _descended(probes: Mapping[str, Probe], config: Config) -> Mapping[str, Probe] | None:
    """The probes after some steps of Adam on their own loss; None where a loss was not finite."""
    for probe in probes.values():
        parameters = list(probe.parameters().values())
        optimizer = torch.optim.Adam(parameters, lr=STEP_SIZE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = probe.loss(config)
            if not math.isfinite(float(loss.detach())):
                return None
            loss.backward()
            optimizer.step()
    return probes
