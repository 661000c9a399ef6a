"""A function of tensors as a list of operations: traced once, then replayed.

A gradient that is mapped over members pays for Python and for the layers of `torch.func`, for each operation in every step. That is up to a
third of the step of a small pack. `make_fx` writes down the operations on tensors of one call. Doing these operations again gives the same
numbers to the bit. On an NVIDIA GPU they are captured as one CUDA graph, which is launched as a whole.

A replay sees its arguments and nothing else. So nothing else may change what the function gives. A trace is trusted only after it has given
the same as the function at a later call. It is compared again at the 2nd, 4th, 8th, … replay of a run. This finds a loss that reads
something which changes by itself. It cannot find a loss that counts its own calls, because such a loss is no longer called.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as trees

from objectives.base import SpoiledError

# Calls before the first replay. Tracing takes half a second, and two more the first time in a process: as much as a thousand replays save
# on a processor. On an accelerator a replay saves much more, so a sixteenth of the calls is enough.
AFTER = 1024
SOONER = 16
KEPT = 64  # traces that a process keeps
CUDA_TOLERANCE = 1e-4  # relative: on a GPU sums may be taken in another order each time
Operations = Callable[..., Sequence[Tensor]]


@dataclass
class Trace:
    """What is known about one kind of call. Without `operations` it is not traced; `refused` says why it never will be."""

    calls: int = 0
    operations: Operations | None = None
    results: trees.TreeSpec | None = None
    refused: str = ""

    def record(self, function: Callable[..., Any], inputs: Sequence[Tensor], spec: trees.TreeSpec) -> None:
        """Write down the operations of `function` on `inputs`, the leaves of its arguments."""
        from torch.fx.experimental.proxy_tensor import make_fx

        def of_leaves(*leaves: Tensor) -> list[Tensor]:
            found, self.results = trees.tree_flatten(function(*trees.tree_unflatten(leaves, spec)))
            return found

        try:
            traced = make_fx(of_leaves)(*inputs)
            traced.graph.eliminate_dead_code()
            traced.recompile()
            self.operations = traced.forward
        except Exception as error:  # a function that cannot be written down is called as before
            self.refused = f"it cannot be traced ({type(error).__name__}: {str(error)[:200]})"


def hasten(traces: Mapping[Hashable, Trace]) -> None:
    """Let everything that was called be traced at its next call, after however few calls."""
    for trace in traces.values():
        trace.calls = max(trace.calls, AFTER)


class Replays:
    """The functions that one run calls again and again, by name.

    Args:
        traces: shared by all runs of a process, which add to it.
        about: everything, beside the arguments, on which the functions of a name depend.
    """

    def __init__(self, traces: dict[Hashable, Trace], about: Hashable = ()) -> None:
        self._traces, self._about = traces, about
        self._known: dict[Hashable, _Replay] = {}

    def __call__(self, name: Hashable, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of `function(*arguments)`. The next call of the same name may overwrite tensors in it.

        Args:
            name: the kind of call. Calls of one name in one run differ only in numbers, never in shapes.
            function: from trees (lists, tuples, dicts) of tensors to the same; nothing else may change its result.
            arguments: its arguments.

        Raises:
            SpoiledError: something else changed the result, after earlier comparisons had found no difference.
        """
        inputs, spec = trees.tree_flatten(arguments)
        if name not in self._known:
            forms = tuple((x.shape, x.stride(), x.dtype, x.device) for x in inputs)
            self._known[name] = _Replay(self._trace((name, self._about, str(spec), forms)))
        return self._known[name].call(function, arguments, inputs, spec)

    def captured(self) -> list[bool]:
        """For every name, whether its operations are launched as one."""
        return [known.captured is not None for known in self._known.values()]

    def _trace(self, key: Hashable) -> Trace:
        """The trace of this key, which becomes the last one used. For a new trace the one that was unused for longest is given up."""
        trace = self._traces.pop(key, None) or Trace()
        if len(self._traces) >= KEPT:
            del self._traces[next(iter(self._traces))]
        self._traces[key] = trace
        return trace


class _Replay:
    """A trace at work in one run."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.captured: Captured | None = None
        self._count = 0  # replays in this run
        self._before: Sequence[Tensor] = ()  # inputs of the first replay

    def call(self, function: Callable[..., Any], arguments: Sequence[Any], inputs: Sequence[Tensor], spec: trees.TreeSpec) -> Any:
        """Call the function itself until it is traced and trusted; then do its operations."""
        trace = self.trace
        trace.calls += 1
        if trace.calls <= (AFTER if inputs[0].device.type == "cpu" else -(-AFTER // SOONER)) or trace.refused:
            return function(*arguments)
        if trace.operations is None:
            expected = function(*arguments)
            trace.record(function, inputs, spec)
            return expected
        self._count += 1
        if not _is_power_of_two(self._count):
            assert trace.results is not None
            return trees.tree_unflatten(self._again(inputs), trace.results)
        return self._compared(function, arguments, inputs)

    def _compared(self, function: Callable[..., Any], arguments: Sequence[Any], inputs: Sequence[Tensor]) -> Any:
        """The result of the function, and a check whether its operations give the same."""
        expected = function(*arguments)
        leaves = trees.tree_leaves(expected)
        try:
            same = _same(self._again(inputs), leaves)
        except Exception:  # for example operations on another form of memory
            if self._count > 1:
                raise
            same = False
        if not same:
            self.trace.refused = "at a later call it gave something else"
            # On a GPU a function may differ from itself, because sums are taken in another order.
            if self._count > 1 and (not leaves[0].is_cuda or _same(trees.tree_leaves(function(*arguments)), leaves)):
                raise SpoiledError(
                    "a loss must depend on its arguments only, for a pack does again the operations that it came to; this one gave "
                    f"something else after {self._count} steps, so what was trained before is wrong. Mend the loss (does it count?), or "
                    "train with pack: 1."
                )
        return expected

    def _again(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The traced operations on other inputs. They are captured at the second replay, which shows which memory stays in its place."""
        operations, device = self.trace.operations, inputs[0].device.type
        assert operations is not None
        # The casts of autocast are already among the operations.
        with torch.no_grad(), torch.autocast(device, enabled=False):
            if self._before and device in CAPTURES:
                with suppress(RuntimeError):  # too little memory, or a kernel that waits: then operations are called one by one
                    self.captured = Captured(operations, inputs, self._before, CAPTURES[device])
            self._before = inputs if self._count == 1 else ()
            return self.captured(inputs) if self.captured else operations(*inputs)


Capture = Callable[[Callable[[], Sequence[Tensor]]], tuple[Callable[[], None], Sequence[Tensor]]]


class Captured:
    """Operations on memory that stays in its place: inputs are copied there, and results are always found in the same place.

    Args:
        operations: the operations to do. inputs: the inputs of this call. before: the inputs of the call before. A tensor that was the same
        then, as weights are, belongs to the program from now on and is never
            copied. A run that puts another tensor in its place begins anew.
        capture: turns an action into a function that launches it again, and its results.
    """

    def __init__(self, operations: Operations, inputs: Sequence[Tensor], before: Sequence[Tensor], capture: Capture) -> None:
        self._inputs = [now if now is then else now.clone() for now, then in zip(inputs, before, strict=True)]
        self._launch, self._results = capture(lambda: operations(*self._inputs))

    def __call__(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The results for other inputs. The next call overwrites them."""
        for kept, now in zip(self._inputs, inputs, strict=True):
            if kept is not now:
                kept.copy_(now)
        self._launch()
        return self._results


def cuda_graph(action: Callable[[], Sequence[Tensor]]) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """An action as one CUDA graph. Before that it is called twice on a stream of its own, so that libraries set themselves up."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        action(), action()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # A capture that fails leaves its own stream as the current one.
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
        results = action()
    return graph.replay, results


CAPTURES: dict[str, Capture] = {"cuda": cuda_graph}  # by type of device; elsewhere operations are called one by one


def _is_power_of_two(count: int) -> bool:
    return count & (count - 1) == 0


def _same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether two calls gave the same numbers, NaN included: to the bit, except for the sums of a GPU."""
    return all(_close(one, other) for one, other in zip(found, expected, strict=True))


def _close(one: Tensor, other: Tensor) -> bool:
    if not one.is_cuda:
        return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    # Each member is compared on its own scale, because one member's numbers may be a million times those of the others.
    rows = [x.reshape(len(x), -1) if x.ndim else x.reshape(1, 1) for x in (one, other)]
    scale = rows[1].abs().nan_to_num(0.0, 0.0, 0.0).amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    return torch.allclose(rows[0] / scale, rows[1] / scale, rtol=0, atol=CUDA_TOLERANCE, equal_nan=True)
