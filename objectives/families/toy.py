"""The toy: ridge shrinkage of a noisy mean, whose best λ is known in closed form. Pure Python; trains in microseconds.

An unknown mean s, drawn with E[s²] = S, is seen n times through noise of variance σ², and estimated by minimizing
Σᵢ ½(xᵢ − m)²/n + ½λm², hence m = x̄/(1 + λ). Its risk splits into squared bias and variance:

    m − s = (x̄ − s)/(1 + λ) − λs/(1 + λ)   ⇒   R(λ) = E(m − s)² = (λ²S + σ²/n) / (1 + λ)².

dR/dλ = 0 gives 2λS(1 + λ) = 2(λ²S + σ²/n), so **λ\\* = σ²/(nS)** and R(λ\\*) = S·λ\\*/(1 + λ\\*). The off value has R(0) = σ²/n, which
is larger by the factor 1 + λ\\*: the relative gain of regularizing is λ\\*/(1 + λ\\*).

A second number, the expected square of the estimate, E m² = (S + σ²/n) / (1 + λ)², falls with λ. So of the two together the Pareto front
is λ ≥ λ\\*: below λ\\* more λ is better for both.

The rest imitates training. The learning rate has an optimum of its own and adds a penalty that is quadratic in log lr. Epochs approach the
risk geometrically. A seed shifts all configs alike (common random numbers), so differences between configs of one seed are free of this
shift.

Options of the data set `none`: `signal` S, `noise` σ²/n, `seed_spread` and `own_spread` (standard deviations of the shift that a seed
gives to all configs, and of the shift that each config draws alone), `seconds_per_epoch`, and planted faults: `fault` (one of raise, nan,
hang, oom, exit), `fault_at` (an epoch, default 2), `fault_members` (member numbers, default all), `fault_above` (a fault only for λ above
this value).
"""

from __future__ import annotations

import json
import math
import os
import random
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from objectives import base, registry
from objectives.base import OUT_OF_MEMORY, Knob, Member, Metric, ObjectiveError, Report, State, out_of_memory
from objectives.families._computed import ComputedRun, option_faults

BEST_LR = 1e-2
FIRST_EXCESS = 3.0  # how far above its risk a member starts, in units of S
HALVING_EPOCHS = 1.0
LR_COST = 0.05  # excess risk, in units of S, per squared factor e between lr and its optimum
OPTIONS: dict[str, Any] = {
    "name": "none",
    "root": None,
    "train_size": None,
    "signal": 1.0,
    "noise": 0.1,
    "seed_spread": 0.02,
    "own_spread": 0.0,
    "seconds_per_epoch": 0.0,
    "fault": None,
    "fault_at": 2,
    "fault_members": None,
    "fault_above": None,
}
FAULTS = ("raise", "nan", "hang", "oom", "exit")


def risk(lam: float, signal: float = 1.0, noise: float = 0.1) -> float:
    """R(λ) = (λ²S + σ²/n) / (1 + λ)²; see the derivation above."""
    return (lam**2 * signal + noise) / (1 + lam) ** 2


def size(lam: float, signal: float = 1.0, noise: float = 0.1) -> float:
    """E m² = (S + σ²/n) / (1 + λ)²."""
    return (signal + noise) / (1 + lam) ** 2


def best_lambda(signal: float = 1.0, noise: float = 0.1) -> float:
    """λ\\* = σ²/(nS)."""
    return noise / signal


class Toy(base.Objective):
    """Ridge shrinkage of a noisy mean: the stand-in for a training in the tests of search."""

    knobs: ClassVar[Mapping[str, Knob]] = {
        "l2": Knob(
            name="l2",
            summary="ridge penalty on the estimated mean",
            formula="½λm²",
            unit="1",
            default=0.0,
            low=1e-3,
            high=1e1,
            log=True,
            off=0.0,
            more="high",
            source="closed form in objectives/families/toy.py",
        ),
        "lr": Knob(name="lr", summary="learning rate", formula="η", unit="1", default=BEST_LR, low=1e-4, high=1.0, log=True),
    }
    metrics: ClassVar[Mapping[str, Metric]] = {
        "val_risk": Metric(
            "val_risk", "Squared error of the estimated mean, with what the seed and the learning rate add", "R(λ) + …", "1", decides=True
        ),
        "val_size": Metric(
            "val_size", "Expected square of the estimate, with what the seed adds", "(S + σ²/n)/(1 + λ)² + …", "1", better="lower"
        ),
        "train_loss": Metric("train_loss", "The validation risk without a seed's shift: stands in for a training loss", "R(λ) + …", "1"),
    }
    score: ClassVar[str] = "val_risk"
    default_search: ClassVar[tuple[str, ...]] = ("l2",)
    default_epochs: ClassVar[int] = 8
    models: ClassVar[tuple[str, ...]] = ("none",)
    datasets: ClassVar[tuple[str, ...]] = ("none",)
    likelihoods: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: base.Settings) -> None:
        self.settings = settings
        if faults := self.dataset_faults(settings.dataset):
            raise ObjectiveError("\n".join(faults))
        self.options = {**OPTIONS, **settings.dataset}

    @classmethod
    def dataset_faults(cls, options: Mapping[str, Any]) -> list[str]:
        """Options that do not exist, or with values that they cannot have."""
        faults = option_faults("toy", OPTIONS, options)
        if options.get("signal") == 0:  # λ* = σ²/(nS)
            faults.append(f"dataset.signal must be above 0; got {options['signal']!r}. The default is {OPTIONS['signal']!r}.")
        if options.get("fault") not in (None, *FAULTS):
            faults.append(registry.unknown("fault", str(options["fault"]), FAULTS))
        above, members = options.get("fault_above"), options.get("fault_members")
        if above is not None and (isinstance(above, bool) or not isinstance(above, int | float)):
            faults.append(f"dataset.fault_above must be a number; got {above!r}. Leave it out for a fault at every λ.")
        if members is not None and not isinstance(members, list | tuple):
            faults.append(f"dataset.fault_members must be a list of numbers; got {members!r}. Leave it out for a fault of every member.")
        return faults

    def prepare(self) -> dict[str, Any]:
        """The options and the known answer."""
        return {
            "dataset": {key: value for key, value in self.options.items() if value is not None},
            "model": "none",
            "best_lambda": best_lambda(self.options["signal"], self.options["noise"]),
        }

    def start(self, members: Sequence[Member]) -> ComputedRun:
        """Begin training."""
        return ComputedRun("toy", members, self._report)

    def read_test(self, config: base.Config, weights: Path) -> dict[str, float]:
        """The risk with another shift of the seed than in validation."""
        saved = json.loads(weights.read_text())
        value = self.final(config, int(saved["seed"]), "test")
        return {"score": value, "test_risk": value}

    def final(self, config: base.Config, seed: int, split: str) -> float:
        """The score that a member approaches: R(λ), plus what the learning rate adds, plus the shifts of its seed."""
        o = self.options
        lam, lr = (float(config.get(name, self.knobs[name].default)) for name in ("l2", "lr"))
        shift = random.Random(f"{seed}/{split}").gauss(0, o["seed_spread"])
        own = random.Random(f"{seed}/{split}/{lam!r}/{lr!r}").gauss(0, o["own_spread"])
        excess = LR_COST * math.log(lr / BEST_LR) ** 2
        total: float = risk(lam, o["signal"], o["noise"]) + o["signal"] * (excess + shift + own)
        return total

    def size(self, config: base.Config, seed: int, epoch: int) -> float:
        """E m² with a shift of its seed, and what its training has not yet taken away."""
        o = self.options
        lam = float(config.get("l2", 0.0))
        shift = random.Random(f"{seed}/size").gauss(0, o["seed_spread"])
        own = random.Random(f"{seed}/size/{lam!r}").gauss(0, o["own_spread"])
        excess = FIRST_EXCESS * 0.5 ** (epoch / HALVING_EPOCHS) if epoch < self.settings.epochs else 0.0
        found: float = size(lam, o["signal"], o["noise"]) + o["signal"] * (shift + own + excess)
        return found

    def at_epoch(self, config: base.Config, seed: int, epoch: int) -> float:
        """The score after some epochs: the excess over the final value halves every epoch."""
        excess = FIRST_EXCESS * 0.5 ** (epoch / HALVING_EPOCHS)
        signal: float = self.options["signal"]
        return self.final(config, seed, "val") + signal * (excess if epoch < self.settings.epochs else 0.0)

    def _report(self, member: Member, epoch: int) -> Report:
        time.sleep(self.options["seconds_per_epoch"])
        try:
            value = math.nan if self._fault(member, epoch) else self.at_epoch(member.config, member.seed, epoch)
        except Exception as error:
            reason = f"{OUT_OF_MEMORY}: {error}" if out_of_memory(error) else f"{type(error).__name__}: {error}"
            return Report(member.number, epoch, math.nan, {}, State.FAILED, reason, traceback=traceback.format_exc())
        metrics = {"val_risk": value, "val_size": self.size(member.config, member.seed, epoch), "train_loss": value}
        if math.isnan(value):
            return Report(member.number, epoch, value, metrics, State.DIVERGED, f"val_risk was not finite in epoch {epoch}")
        done = epoch >= self.settings.epochs
        return Report(member.number, epoch, value, metrics, State.COMPLETE if done else None, score=value if done else None)

    def _fault(self, member: Member, epoch: int) -> bool:
        """Cause the fault that is planted for this member and epoch. Returns True if its score becomes NaN."""
        o = self.options
        spared = o["fault_members"] is not None and member.number not in o["fault_members"]
        if o["fault_above"] is not None and float(member.config.get("l2", 0.0)) <= o["fault_above"]:
            spared = True
        if o["fault"] is None or spared or epoch != o["fault_at"]:
            return False
        if o["fault"] in _ACTIONS:
            _ACTIONS[o["fault"]]()
        return True


def _raise() -> None:
    raise ValueError("a planted fault")


def _oom() -> None:
    """Ask for 64 GiB. This fails under a limit on the process's memory. Without a limit it costs nothing: nobody uses the memory."""
    bytearray(2**36)


_ACTIONS: dict[str, Callable[[], object]] = {
    "raise": _raise,
    "oom": _oom,
    "hang": lambda: time.sleep(1e6),
    "exit": lambda: os._exit(1),
}


OBJECTIVE = Toy
