"""Is λ alive? Proof on one batch that every λ does what its place in the loss says.

For each λ: it changes the loss and its gradient; the gradient agrees with a finite difference of the loss, second derivatives included;
its off value equals the penalty's absence; a λ that multiplies a penalty does so linearly, and with the penalty's own definition where
Lagrange has one of that name; and at fixed weights the score does not move with it.

The batch and its random draws are held still by a *probe* (`base.Probe`), which every objective that trains with PyTorch here has, and a
user's own objective may have: `probes(config) -> {player: Probe}`. What cannot be proven without one is said so.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from objectives import base, registry, regularizers
from objectives.base import Check, Config, Knob, Objective, Probe, Value
from objectives.lazy import Tensor, torch
from objectives.terms import Terms

EPSILON = 1e-5  # step of a finite difference along a direction of length 1, in double precision
AGREE = 1e-3  # how far a derivative and a finite difference may be apart, relative to the larger
OWN = "(trained by regularizers)"  # where these are an adversary, the penalty holds them still and a loss of their own moves them
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
    if _has_no_probes(objective):
        missing = "nothing was proven: the objective has no `probes` (see base.Probe)"
        return [Check(name, True, "", missing, proven=False) for name in names or lambdas]
    return [_checked(objective, lambdas[name]) for name in names or lambdas]


def _has_no_probes(objective: Objective) -> bool:
    """What is refused with every λ at its default is a mistake in the settings, and no fault of a λ. Anything else is told of each λ."""
    try:
        return not objective.probes({})
    except base.ObjectiveError:
        raise
    except Exception:
        return False


def _checked(objective: Objective, knob: Knob) -> Check:
    try:
        return _Subject(objective, knob).verdict()
    except base.ObjectiveError as error:  # the knob cannot be used here (an instance norm without feature maps): said, not proven
        return Check(knob.name, True, "", f"not applicable: {error}", proven=False)
    except Exception as error:
        return Check(knob.name, False, "raises", f"the loss with {knob.name} on raised {type(error).__name__}: {error}")


@dataclass(frozen=True)
class _Slope:
    """How the part of the loss that λ adds changes along a direction: by autograd and by finite difference."""

    derivative: float
    difference: float

    @property
    def agree(self) -> bool:
        return math.isclose(self.derivative, self.difference, rel_tol=AGREE, abs_tol=1e-7)


class _Subject:
    """One λ under examination, with everything else at its default."""

    def __init__(self, objective: Objective, knob: Knob) -> None:
        self.objective, self.knob, self.name = objective, knob, knob.name
        self.low, self.high = _values(knob)
        self.built_in = _built_in(objective, self.name)
        self.off: dict[str, Value] = {self.name: _off(knob)}
        self.on: dict[str, Value] = {self.name: self.low}
        self.probes: Mapping[str, Probe] = objective.probes(self.on)
        self.base: Mapping[str, Probe] = objective.probes(self.off) if knob.structural else self.probes

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
        """At fixed weights the score is the same for every λ; a structural knob is part of the model that is scored."""
        if self.knob.structural:
            return None
        scores = [probe.score({self.name: value}) for value in (_off(self.knob), self.low, self.high)]
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
        if self._difference(probe, self.on) == 0.0:
            return None
        said = f"the optimizer's weight_decay is {decays['on']:g} and the loss contains a penalty of {self.name} too"
        return self._failed("doubled weight decay", f"{said}. Keep one of the two.")

    decayed = False

    def _acts_outside_the_loss(self) -> bool:
        """Regularizers that move the weights themselves, or are averaged in: a step with and without them differs."""
        found = self.built_in
        if self.decayed:
            return True
        if found is None or not (found.has("before_step") or found.has("after_step") or hasattr(found.module, "ELSEWHERE")):
            return False
        moved = [probe.moved(self.off, self.on) for probe in self.probes.values() if hasattr(probe, "moved")]
        return any(moved)

    def _alive(self, probe: Probe, without: Probe) -> bool:
        """Whether this player's loss changes with λ."""
        before = _number(without.loss(self.off))
        return any(_number(probe.loss({self.name: value})) != before for value in (self.low, self.high))

    def _dead(self) -> Check:
        values = f"{_shown(_off(self.knob))} to {_shown(self.low)} and {_shown(self.high)}"
        said = f"moving {self.name} from {values} changes the loss of no player"
        for probe in self.probes.values():
            if self._frozen_part(probe):
                return self._failed("penalty on frozen parameters", f"{said}, but for parameters that are not trained")
        return self._failed("unused coefficient", f"{said}. Multiply the penalty by the knob's value.")

    def _absence(self, probe: Probe) -> Check | None:
        """The loss with λ computed at its off value is, to the bit, the loss without it."""
        absent = getattr(probe, "absent", None)
        if absent is None or self.knob.structural:
            return None
        off, without = _number(probe.loss(self.off)), _number(absent(self.off))
        if off == without:
            return None
        said = f"at {self.name} = {_shown(_off(self.knob))} the loss is {off!r}, without the regularizer it is {without!r}"
        return self._failed("off is not absence", said)

    def _linear(self, probe: Probe) -> Check | None:
        """A λ that multiplies a penalty is linear in the loss, and off is the penalty's absence."""
        if not self._is_penalty():
            return None
        assert isinstance(self.low, float) and isinstance(self.knob.off, int | float)
        # From a λ that is on: switching one on may also switch another term off (a capacity replaces β·KL).
        first, second, third = (_number(probe.loss({self.name: times * self.low})) for times in (1, 2, 3))
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
        reference = self._reference(probe)
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
        if self._frozen_part(probe):
            return self._failed("penalty on frozen parameters", f"{said}: part of it is of parameters that are not trained")
        hint = " The factor ½ is missing: it counts twice." if math.isclose(ratio, 2.0, rel_tol=1e-3) else ""
        name = "doubled weight decay" if hint else "another penalty"
        return self._failed(name, f"{said} ({ratio:.4g} times).{hint}")

    def _gradient(self, probe: Probe) -> Check | None:
        """The gradient of what λ adds against a finite difference; where they differ, why."""
        found = [self._slope(probe, seed) for seed in range(SEEDS)]
        if any(slope.agree and slope.difference != 0.0 for slope in found):
            return None
        slope = max(found, key=lambda one: abs(one.derivative) + abs(one.difference))
        said = (
            f"along a direction the part of {self.name} in the loss changes by {slope.difference:.6g}, autograd says {slope.derivative:.6g}"
        )
        if abs(slope.difference) < 1e-9:
            return self._unmoved(probe, slope, said)
        with _always_create_graph():
            whole = [self._slope(probe, seed) for seed in range(SEEDS)]
        if any(one.agree for one in whole):
            return self._failed("double backward without create_graph", f"{said}; with create_graph=True in torch.autograd.grad they agree")
        if abs(slope.derivative) < 1e-9:
            return self._failed("detached penalty", f"{said}. Do not detach it, nor compute it under no_grad or from .data.")
        return self._failed("wrong gradient", said)

    def _unmoved(self, probe: Probe, slope: _Slope, said: str) -> Check:
        """The penalty does not follow the trained parameters."""
        if self._frozen_part(probe):
            return self._failed("penalty on frozen parameters", f"{said}; it moves with parameters that are not trained")
        if abs(slope.derivative) < 1e-9 and self._foreign_leaves(probe):
            return self._failed("penalty on a copy", f"{said}; its gradient goes to tensors that are not the trained parameters")
        if self._is_penalty() or self.built_in is None:
            return self._failed("stale closure", f"{said}: the penalty was computed once, from weights that have moved since")
        return self._passed("it changes the loss; its part does not depend on the weights at this batch")

    # Measuring --------------------------------------------------------------------------------------------------------------------------

    def _difference(self, probe: Probe, config: Config) -> float:
        return _number(probe.loss(config)) - _number(probe.loss(self.off))

    def _part(self, probe: Probe) -> Tensor:
        """What λ adds to the loss."""
        loss: Tensor = probe.loss(self.on)
        if self.knob.structural:
            return loss
        without: Tensor = probe.loss(self.off)
        return loss - without

    def _slope(self, probe: Probe, seed: int) -> _Slope:
        """Along a random direction, small where parameters are small so that few units switch."""
        adversary = self.built_in is not None and self.built_in.has("auxiliary")
        parameters = [value for name, value in probe.parameters().items() if not (adversary and name == OWN)]
        generator = torch.Generator().manual_seed(seed)
        direction = [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p) for p in parameters]
        length = math.sqrt(sum(float(d.square().sum()) for d in direction))
        direction = [d / length for d in direction]
        part = self._part(probe)
        gradient = (
            torch.autograd.grad(part, parameters, allow_unused=True, retain_graph=True) if part.requires_grad else [None] * len(parameters)
        )
        derivative = sum(_number((g * d).sum()) for g, d in zip(gradient, direction, strict=True) if g is not None)
        ends = []
        for sign in (1, -1):
            with _moved(parameters, direction, sign * EPSILON):
                ends.append(_number(self._part(probe)))
        return _Slope(float(derivative), (ends[0] - ends[1]) / (2 * EPSILON))

    def _frozen_part(self, probe: Probe) -> bool:
        """Whether what λ adds moves with tensors that are not trained."""
        frozen = list(getattr(probe, "frozen", dict)().values())
        if not frozen:
            return False
        before = [self._difference(probe, {self.name: value}) for value in (self.low, self.high)]
        with _moved(frozen, [torch.ones_like(p) for p in frozen], 0.1):
            after = [self._difference(probe, {self.name: value}) for value in (self.low, self.high)]
        return any(not math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(before, after, strict=True))

    def _foreign_leaves(self, probe: Probe) -> bool:
        """Whether the graph of what λ adds ends in leaves that are not the trained parameters."""
        part = self._part(probe)
        known = {id(p) for p in probe.parameters().values()}
        return any(id(leaf) not in known for leaf in _leaves(part))

    def _is_penalty(self) -> bool:
        return self.built_in is not None and self.built_in.has("penalty") and not self.built_in.has("weights")

    def _reference(self, probe: Probe) -> float | None:
        """Lagrange's own penalty of this name on the probe's kernels, if it needs nothing but kernels."""
        if self.built_in is None:
            return None
        kernels = {name: value.detach() for name, value in probe.parameters().items() if value.ndim > 1}
        try:
            return float(self.built_in.module.penalty(Terms(torch.zeros((), dtype=torch.float64), kernels=kernels)))
        except (KeyError, AttributeError, TypeError):  # it needs the batch, the network or a memory
            return None

    def _passed(self, said: str) -> Check:
        return Check(self.name, True, "", said)

    def _failed(self, fault: str, said: str) -> Check:
        return Check(self.name, False, fault, said)


def _off(knob: Knob) -> Value:
    assert knob.off is not None
    return knob.off if isinstance(knob.off, str) or knob.integer else float(knob.off)


def _number(loss: Tensor) -> float:
    return float(loss.detach())


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _values(knob: Knob) -> tuple[Value, Value]:
    """Two values at which the knob is on: the geometric or arithmetic middle of its range, and its more regularized end.

    Where the middle is the off value (a β of 0.1 to 10), the value halfway from it to that end stands for it.
    """
    if knob.choices:
        others = [choice for choice in knob.choices if choice != knob.off]
        return others[0], others[-1]
    assert knob.low is not None and knob.high is not None
    end = knob.high if knob.more == "high" else knob.low
    if knob.integer:
        other = knob.low if knob.more == "high" else knob.high
        return (other if other != knob.off else end), end

    def between(a: float, b: float) -> float:
        return math.sqrt(a * b) if knob.log else 0.5 * (a + b)

    middle = between(knob.low, knob.high)
    if isinstance(knob.off, int | float) and math.isclose(middle, knob.off):
        middle = between(middle, end)
    return middle, float(end)


def _built_in(objective: Objective, name: str) -> regularizers.Regularizer | None:
    """The regularizer of Lagrange that a knob is: the objective's own, or one of the same name."""
    players = getattr(objective, "players", {"model": ()})
    found = regularizers.acting_on(objective.name, tuple(players)).get(name)
    if found is None and name in (known := regularizers.modules()):
        found = regularizers.Regularizer(known[name].KNOB, "model", known[name])
    return found


def _leaves(value: Tensor) -> Iterator[Tensor]:
    """The leaf tensors that a gradient of `value` goes to."""
    todo, seen = [value.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            yield leaf
        todo += [following for following, _ in node.next_functions]


@contextlib.contextmanager
def _moved(parameters: Sequence[Tensor], direction: Sequence[Tensor], by: float) -> Iterator[None]:
    """The parameters a little further on, in place, and exactly as before afterwards."""
    before = [p.detach().clone() for p in parameters]
    try:
        for p, d in zip(parameters, direction, strict=True):
            p.data.add_(d, alpha=by)
        yield
    finally:
        for p, value in zip(parameters, before, strict=True):
            p.data.copy_(value)


@contextlib.contextmanager
def _always_create_graph() -> Iterator[None]:
    """As if every call of torch.autograd.grad inside a loss had asked for a graph."""
    ordinary: Callable[..., Any] = torch.autograd.grad

    def patched(*args: Any, **options: Any) -> Any:
        return ordinary(*args, **{**options, "create_graph": True})

    torch.autograd.grad = patched
    try:
        yield
    finally:
        torch.autograd.grad = ordinary
