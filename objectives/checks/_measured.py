"""One λ on one batch, measured: what it adds to the loss, along which directions, and where its gradient goes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from objectives import regularizers
from objectives.base import Config, Knob, Objective, Probe, Value
from objectives.lazy import Tensor, torch
from objectives.terms import Terms

EPSILON = 1e-5  # step of a finite difference along a direction of length 1, in double precision
AGREE = 1e-3  # how far a derivative and a finite difference may be apart, relative to the larger
OWN = "(trained by regularizers)"  # where these are an adversary, the penalty holds them still and a loss of their own moves them


@dataclass(frozen=True)
class Slope:
    """How the part of the loss that λ adds changes along a direction: by autograd and by finite difference."""

    derivative: float
    difference: float

    @property
    def agree(self) -> bool:
        return math.isclose(self.derivative, self.difference, rel_tol=AGREE, abs_tol=1e-7)


class Measured:
    """A λ with everything else at its default, and the batches that it is looked at on."""

    def __init__(self, objective: Objective, knob: Knob) -> None:
        self.objective, self.knob, self.name = objective, knob, knob.name
        self.low, self.high = _values(knob)
        self.built_in = _built_in(objective, self.name)
        self.off: dict[str, Value] = {self.name: off_value(knob)}
        self.on: dict[str, Value] = {self.name: self.low}
        self.probes: Mapping[str, Probe] = objective.probes(self.on)
        self.base: Mapping[str, Probe] = objective.probes(self.off) if knob.structural else self.probes

    def difference(self, probe: Probe, config: Config) -> float:
        """What a config adds to the loss over λ off."""
        return number(probe.loss(config)) - number(probe.loss(self.off))

    def part(self, probe: Probe) -> Tensor:
        """What λ adds to the loss."""
        loss: Tensor = probe.loss(self.on)
        if self.knob.structural:
            return loss
        without: Tensor = probe.loss(self.off)
        return loss - without

    def slope(self, probe: Probe, seed: int) -> Slope:
        """Along a random direction, small where parameters are small so that few units switch."""
        adversary = self.built_in is not None and self.built_in.has("auxiliary")
        parameters = [value for name, value in probe.parameters().items() if not (adversary and name == OWN)]
        generator = torch.Generator().manual_seed(seed)
        direction = [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p) for p in parameters]
        length = math.sqrt(sum(float(d.square().sum()) for d in direction))
        direction = [d / length for d in direction]
        part = self.part(probe)
        gradient = (
            torch.autograd.grad(part, parameters, allow_unused=True, retain_graph=True) if part.requires_grad else [None] * len(parameters)
        )
        derivative = sum(number((g * d).sum()) for g, d in zip(gradient, direction, strict=True) if g is not None)
        ends = []
        for sign in (1, -1):
            with _moved(parameters, direction, sign * EPSILON):
                ends.append(number(self.part(probe)))
        return Slope(float(derivative), (ends[0] - ends[1]) / (2 * EPSILON))

    def frozen_part(self, probe: Probe) -> bool:
        """Whether what λ adds moves with tensors that are not trained."""
        frozen = list(getattr(probe, "frozen", dict)().values())
        if not frozen:
            return False
        before = [self.difference(probe, {self.name: value}) for value in (self.low, self.high)]
        with _moved(frozen, [torch.ones_like(p) for p in frozen], 0.1):
            after = [self.difference(probe, {self.name: value}) for value in (self.low, self.high)]
        return any(not math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(before, after, strict=True))

    def foreign_leaves(self, probe: Probe) -> bool:
        """Whether the graph of what λ adds ends in leaves that are not the trained parameters."""
        part = self.part(probe)
        known = {id(p) for p in probe.parameters().values()}
        return any(id(leaf) not in known for leaf in _leaves(part))

    def is_penalty(self) -> bool:
        """Whether Lagrange has a penalty of this name."""
        return self.built_in is not None and self.built_in.has("penalty") and not self.built_in.has("weights")

    def reference(self, probe: Probe) -> float | None:
        """Lagrange's own penalty of this name on the probe's kernels, if it needs nothing but kernels."""
        if self.built_in is None:
            return None
        kernels = {name: value.detach() for name, value in probe.parameters().items() if value.ndim > 1}
        try:
            return float(self.built_in.module.penalty(Terms(torch.zeros((), dtype=torch.float64), kernels=kernels)))
        except (KeyError, AttributeError, TypeError):  # it needs the batch, the network or a memory
            return None


def off_value(knob: Knob) -> Value:
    """The value at which a λ does not regularize."""
    assert knob.off is not None
    return knob.off if isinstance(knob.off, str) or knob.integer else float(knob.off)


def number(loss: Tensor) -> float:
    """A loss as a number."""
    return float(loss.detach())


def shown(value: Value) -> str:
    """A value as a message shows it."""
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
def always_create_graph() -> Iterator[None]:
    """As if every call of torch.autograd.grad inside a loss had asked for a graph."""
    ordinary: Callable[..., Any] = torch.autograd.grad

    def patched(*args: Any, **options: Any) -> Any:
        return ordinary(*args, **{**options, "create_graph": True})

    torch.autograd.grad = patched
    try:
        yield
    finally:
        torch.autograd.grad = ordinary
