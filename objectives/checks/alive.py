"""Is λ alive? The check proves on one batch that every λ does what its place in the loss says.

Before that it looks for what makes every answer worthless, whatever λ is: a loss that is not finite, a loss or a score that is another one
at the next call, and what a probe itself knows of its model (`Probe.faults`). Where it finds such a fault, no λ is tried.

For each λ it proves five things. λ changes the loss and its gradient. The gradient agrees with a finite difference of the loss, second
derivatives included. The off value equals the penalty's absence. A λ that multiplies a penalty does so linearly; where Lagrange has a
penalty of that name, the penalty agrees with its definition. And at fixed weights the score does not change with λ.

The batch and its random draws are held fixed by a *probe* (`base.Probe`). Every objective here that trains with PyTorch has probes. A
user's own objective may have them: `probes(config) -> {player: Probe}`. What cannot be proven without a probe is reported as not proven.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from objectives import base, registry
from objectives.base import Check, Knob, Objective, Probe
from objectives.checks._measured import Measured, Slope, always_create_graph, number, off_value, shown
from objectives.guests import IgnoredError

WHOLE = "(model)"  # stands for the name of a knob where something is wrong whatever λ is
IGNORED = "nothing to act on"  # the fault of a λ that a user's model does not let act
SEEDS = 3  # directions tried before two numbers are said to differ: a kink of a ReLU may lie on one


def check(objective: Objective, names: Sequence[str] | None = None) -> list[Check]:
    """One verdict for each λ in `names` (None: for every λ of the objective).

    Raises:
        base.ObjectiveError: a name is no λ of the objective.
    """
    lambdas = {name: knob for name, knob in objective.knobs.items() if knob.off is not None}
    strange = [name for name in names or () if name not in lambdas]
    if strange:
        raise base.ObjectiveError(registry.unknown("a λ to check", strange[0], list(lambdas)))
    if (tried := objective.tried(list(names or lambdas))) is not None:
        return tried
    wanted = list(lambdas) if names is None else list(names)
    if _has_no_probes(objective):
        missing = "nothing was proven: the objective has no `probes` (see base.Probe)"
        own = (
            str(getattr(type(objective).start, "__module__", "")).partition(".")[0] != "objectives"
        )  # of ours without probes all is known in closed form
        return [Check(name, True, "", missing, proven=False, free=not own) for name in wanted]
    if whole := _whole(objective):
        return [*whole, *(Check(name, True, "", "not tried: the model is at fault", proven=False) for name in wanted)]
    return [_checked(objective, lambdas[name]) for name in wanted]


def _whole(objective: Objective) -> list[Check]:
    """What is wrong whatever λ is, looked at with every knob at its default. An error in a loss is reported for each λ instead."""
    found: list[Check] = []
    try:
        probes = objective.probes({})
        for place, (player, probe) in enumerate(probes.items()):
            at = f" of the {player}" if len(probes) > 1 else ""
            losses = [number(probe.loss({})) for _ in range(2)]
            if not all(map(math.isfinite, losses)):
                said = f"the loss{at} is {losses[0]:g} on the first batch, before any training"
                found.append(Check(WHOLE, False, "loss not finite", f"{said}. Look for log(0), a division by 0 or NaN in the data."))
                continue
            if losses[0] != losses[1]:
                said = f"at one config, on one batch, the loss{at} is {losses[0]:.6g} and then {losses[1]:.6g}"
                remedy = "Does it draw its own random numbers (nn.Dropout, randn_like), or change its own state?"
                found.append(Check(WHOLE, False, "random loss", f"{said}. {remedy} Take them from the probe's own generator."))
                continue
            scores = [probe.score({}) for _ in range(2)] if place == 0 else [0.0, 0.0]  # of the whole model
            if scores[0] != scores[1] and not all(map(math.isnan, scores)):
                said = f"at one config and the same weights the score is {scores[0]:.6g} and then {scores[1]:.6g}"
                remedy = "Does it draw its own random numbers (nn.Dropout that stays on, randn_like)? Score with fixed ones"
                found.append(Check(WHOLE, False, "random score", f"{said}. {remedy}; else this is taken for an effect of λ."))
                continue
            found += [Check(WHOLE, False, *fault) for fault in getattr(probe, "faults", list)()]
    except Exception:
        return found
    return list(dict.fromkeys(found))


def _has_no_probes(objective: Objective) -> bool:
    """Whether nothing can be proven. An error with every λ at its default is a mistake in the settings. Other errors are reported per λ."""
    try:
        return not objective.probes({})
    except base.ObjectiveError:
        raise
    except Exception:
        return False


def _checked(objective: Objective, knob: Knob) -> Check:
    try:
        return _Subject(objective, knob).verdict()
    except IgnoredError as error:
        return Check(knob.name, False, IGNORED, str(error))
    except base.ObjectiveError as error:  # the knob cannot be used here (an instance norm without feature maps): reported as not proven
        return Check(knob.name, True, "", f"not applicable: {error}", proven=False)
    except Exception as error:
        return Check(knob.name, False, "raises", f"the loss with {knob.name} on raised {type(error).__name__}: {error}")


class _Subject(Measured):
    """One λ under examination."""

    def verdict(self) -> Check:
        """The first fault found, or what was proven."""
        for probe in self.probes.values():
            fault = self._score(probe) or self._counted_twice(probe)
            if fault:
                return fault
        if self._acts_outside_the_loss():
            return self._passed("it changes the weights beside the optimizer, and the score does not contain it")
        alive = [player for player, probe in self.probes.items() if self._alive(probe, self.base[player])]
        if not alive:
            return self._dead()
        for player in alive:
            fault = self._absence(self.probes[player]) or self._linear(self.probes[player]) or self._gradient(self.probes[player])
            if fault:
                return fault
        return self._passed(
            "it changes the loss and its gradient, which agrees with finite differences; off is absence; the score is free of it"
        )

    # Faults -----------------------------------------------------------------------------------------------------------------------------

    def _score(self, probe: Probe) -> Check | None:
        """At fixed weights the score is the same for every λ. (A structural knob is part of the scored model.)"""
        if self.knob.structural:
            return None
        scores = [probe.score({self.name: value}) for value in (off_value(self.knob), self.low, self.high)]
        if len(set(scores)) == 1 or all(math.isnan(score) for score in scores):
            return None
        said = f"at fixed weights the score is {scores[0]:.6g} with {self.name} off and {scores[1]:.6g} at {self.low:g}"
        return self._failed("λ in the score", f"{said}. Score the model without its penalties.")

    def _counted_twice(self, probe: Probe) -> Check | None:
        """A weight decay of the optimizer beside a penalty on the weights in the loss."""
        optimizer = getattr(probe, "optimizer", None)
        decays = {}
        for label, config in (("off", self.off), ("on", self.on)):
            found = optimizer(config) if optimizer else None
            decays[label] = max((float(group.get("weight_decay", 0.0)) for group in found.param_groups), default=0.0) if found else 0.0
        if decays["on"] == decays["off"]:
            return None
        self.decayed = True
        if self.difference(probe, self.on) == 0.0:
            return None
        said = f"the optimizer's weight_decay is {decays['on']:g} and the loss contains a penalty of {self.name} too"
        return self._failed("doubled weight decay", f"{said}. Keep one of the two.")

    decayed = False

    def _acts_outside_the_loss(self) -> bool:
        """For regularizers that move the weights themselves, or are averaged in: a step with them and a step without them differ."""
        found = self.built_in
        if self.decayed:
            return True
        if found is None or not (found.has("before_step") or found.has("after_step") or hasattr(found.module, "ELSEWHERE")):
            return False
        moved = [probe.moved(self.off, self.on) for probe in self.probes.values() if hasattr(probe, "moved")]
        return any(moved)

    def _alive(self, probe: Probe, without: Probe) -> bool:
        """Whether this player's loss changes with λ."""
        before = number(without.loss(self.off))
        return any(number(probe.loss({self.name: value})) != before for value in (self.low, self.high))

    def _dead(self) -> Check:
        values = f"{shown(off_value(self.knob))} to {shown(self.low)} and {shown(self.high)}"
        said = f"moving {self.name} from {values} changes the loss of no player"
        for probe in self.probes.values():
            if self.frozen_part(probe):
                return self._failed("penalty on frozen parameters", f"{said}, but for parameters that are not trained")
        return self._failed("unused coefficient", f"{said}. Multiply the penalty by the knob's value.")

    def _absence(self, probe: Probe) -> Check | None:
        """The loss with λ computed at its off value equals, to the bit, the loss without λ."""
        absent = getattr(probe, "absent", None)
        if absent is None or self.knob.structural:
            return None
        off, without = number(probe.loss(self.off)), number(absent(self.off))
        if off == without:
            return None
        said = f"at {self.name} = {shown(off_value(self.knob))} the loss is {off!r}, without the regularizer it is {without!r}"
        return self._failed("off is not absence", said)

    def _linear(self, probe: Probe) -> Check | None:
        """A λ that multiplies a penalty is linear in the loss, and off is the penalty's absence."""
        if not self.is_penalty():
            return None
        assert isinstance(self.low, float) and isinstance(self.knob.off, int | float)
        # From a λ that is on: switching one on may also switch another term off (a capacity replaces β·KL).
        first, second, third = (number(probe.loss({self.name: times * self.low})) for times in (1, 2, 3))
        once, twice = second - first, third - first
        noise = 1e-9 * max(1.0, abs(first))
        if not math.isclose(twice, 2 * once, rel_tol=1e-6, abs_tol=noise):
            said = f"twice a change of {self.name} adds {twice:.6g} to the loss where once adds {once:.6g}"
            return self._failed(
                "λ on an activation", f"{said}: it enters otherwise than as the factor of a penalty. Add λ·penalty to the loss."
            )
        return self._definition(probe, once / self.low) or self._once(probe, once / self.low)

    def _once(self, probe: Probe, slope: float) -> Check | None:
        """One unit of λ adds its penalty, and nothing else of the loss holds λ."""
        unit = getattr(probe, "unit", None)
        penalty = unit({self.name: self.low}, self.name) if unit else slope
        if math.isclose(slope, penalty, rel_tol=1e-6, abs_tol=1e-9):
            return None
        said = f"one unit of {self.name} adds {slope:.6g} to the loss, and the penalty that it multiplies is {penalty:.6g}"
        return self._failed("counted twice", f"{said}: the loss holds {self.name} by itself, too. Leave λ to the penalty.")

    def _definition(self, probe: Probe, slope: float) -> Check | None:
        """The penalty against Lagrange's own of that name, where it is one of the weights alone."""
        reference = self.reference(probe)
        if reference is None or math.isclose(slope, reference, rel_tol=1e-6):
            return None
        kernels = [value for value in probe.parameters().values() if value.ndim > 1]
        ratio = slope / reference if reference else math.inf
        said = f"one unit of {self.name} adds {slope:.6g} to the loss; {self.knob.formula} is {reference:.6g}"
        if ratio < 0:
            return self._failed("wrong sign", f"{said}. Add the penalty instead of subtracting it.")
        counts = {"the number of weights": sum(w.numel() for w in kernels), "the number of kernels": len(kernels)}
        for what, count in counts.items():
            if count > 1 and math.isclose(ratio * count, 1.0, rel_tol=0.02):
                return self._failed("mean for sum", f"{said}, which is {what}, {count}, times as much. Sum instead of averaging.")
        if self.frozen_part(probe):
            return self._failed("penalty on frozen parameters", f"{said}: part of it is of parameters that are not trained")
        hint = " The factor ½ is missing: it counts twice." if math.isclose(ratio, 2.0, rel_tol=1e-3) else ""
        name = "doubled weight decay" if hint else "another penalty"
        return self._failed(name, f"{said} ({ratio:.4g} times).{hint}")

    def _gradient(self, probe: Probe) -> Check | None:
        """The gradient of what λ adds against a finite difference; where they differ, why."""
        found = [self.slope(probe, seed) for seed in range(SEEDS)]
        if any(slope.agree and slope.difference != 0.0 for slope in found):
            return None
        slope = max(found, key=lambda one: abs(one.derivative) + abs(one.difference))
        said = (
            f"along a direction the part of {self.name} in the loss changes by {slope.difference:.6g}, autograd says {slope.derivative:.6g}"
        )
        if abs(slope.difference) < 1e-9:
            return self._unmoved(probe, slope, said)
        with always_create_graph():
            whole = [self.slope(probe, seed) for seed in range(SEEDS)]
        if any(one.agree for one in whole):
            return self._failed("double backward without create_graph", f"{said}; with create_graph=True in torch.autograd.grad they agree")
        if abs(slope.derivative) < 1e-9:
            return self._failed("detached penalty", f"{said}. Do not detach it, nor compute it under no_grad or from .data.")
        return self._failed("wrong gradient", said)

    def _unmoved(self, probe: Probe, slope: Slope, said: str) -> Check:
        """The penalty does not follow the trained parameters."""
        if self.frozen_part(probe):
            return self._failed("penalty on frozen parameters", f"{said}; it moves with parameters that are not trained")
        if abs(slope.derivative) < 1e-9 and self.foreign_leaves(probe):
            return self._failed("penalty on a copy", f"{said}; its gradient goes to tensors that are not the trained parameters")
        if self.is_penalty() or self.built_in is None:
            return self._failed("stale closure", f"{said}: the penalty was computed once, from weights that have moved since")
        return self._passed("it changes the loss; its part does not depend on the weights at this batch")

    def _passed(self, said: str) -> Check:
        return Check(self.name, True, "", said)

    def _failed(self, fault: str, said: str) -> Check:
        return Check(self.name, False, fault, said)
