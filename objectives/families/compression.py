"""Compression: a GAN whose generator is judged after it was made small. The score is its quality *at a given number of bytes*.

"L2 compresses a generator" is a claim about files, so this objective measures files. The scored generator goes through a ladder:

    magnitude pruning to s ∈ {0, 0.5, 0.7, 0.8, 0.9, 0.95} of all its kernel weights (what is exactly 0 already counts among them)
    × kernels in 32-bit floats or in int8 (symmetric, one scale per tensor, after training)
    → written to a file as short as a lossless coding makes it → read back → evaluated: KID on the noise that is always the same

Each precision has one rung more, the *budget rung*: the generator is pruned just so far that the file has at most `byte_budget` times the
bytes of the model in floats. The lower KID of the two budget rungs is the score, `val_kid_at_bytes`. So every member is compared at the
same number of bytes (within one per cent below the budget). There is no rung that one member just reaches and another just misses. The
score contains no λ.

After every epoch schedulers see `val_kid_pruned`: the KID of the generator after pruning, in memory, by about what the budget will need. So
the members that go on are those that lose least by pruning. They are not always those that are best before it.

The budget is counted from the model at its default structure, so that members which differ in `latent_dim` have the same budget. The knob
`byte_budget` is part of the question and must not be searched: more bytes are always better.

What the λ of a generator do for compression: `l2_g` makes weights small, not 0, which helps only where pruning follows; `l1_prox_g` makes
exact zeros, `group_lasso` small rows, `l0` columns of zeros. Each is searched alone, all in one sweep.

Sources: Han et al. 2015 (magnitude pruning); Krishnamoorthi 2018 (int8 after training); Binkowski et al. 2018 (KID).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from objectives import base
from objectives.data._kinds import ImageSet
from objectives.draws import initialized
from objectives.families.gan import GAN
from objectives.lazy import Tensor, nn, torch
from objectives.metrics import kid
from objectives.metrics._subject import Subject
from objectives.terms import Net

if TYPE_CHECKING:
    from objectives.training.loop import TrainingRun

PART = "generator"
SHARES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
PRECISIONS = {32: "fp32", 8: "int8"}
CLOSE = 0.01  # how far below the budget the file of a budget rung may end
TRIES = 24
FLOAT_BYTES = 4
CODE_BITS = 7.0  # entropy of an int8 code that is not 0, about

BUDGET = base.Knob(
    name="byte_budget",
    summary="bytes that the encoded generator may have, as a share of the model's in 32-bit floats; says what is asked, not to be searched",
    formula="bytes ≤ share · 4 · parameters",
    unit="share of bytes",
    default=0.1,
    low=0.02,
    high=1.0,
    log=True,
    structural=True,
    where="generator",
)


def rung(share: float, bits: int) -> str:
    """The name of a rung of the ladder, `s90_int8`; it follows `val_kid_` and `bytes_`."""
    return f"s{100 * share:.0f}_{PRECISIONS[bits]}"


def fit(bits: int) -> str:
    """The name of the budget rung in this precision."""
    return f"fit_{PRECISIONS[bits]}"


def _metrics() -> Iterator[base.Metric]:
    kid, label = "MMD² with k(x, y) = (x·y/d + 1)³", "KID[{features}, n={n}] at byte_budget"
    yield base.Metric(
        "val_kid_at_bytes",
        "KID of the generator pruned until its file fits the budget, in floats or in int8, whichever is better; re-evaluated from the file",
        f"min over bits of {kid}",
        "1",
        decides=True,
        costly=True,
        source="Binkowski et al. 2018; Han et al. 2015",
        label=label,
    )
    pruned = "KID of the generator pruned by about what the budget asks; no file is written: what schedulers compare"
    yield base.Metric("val_kid_pruned", pruned, kid, "1", label="KID[{features}, n={n}] after pruning")
    for bits, kind in PRECISIONS.items():
        named = [(rung(share, bits), f"pruned to {100 * share:.0f} %") for share in SHARES] + [(fit(bits), "pruned to fit the budget")]
        for name, how in named:
            yield base.Metric(f"val_kid_{name}", f"KID of the generator {how}, in {kind}, from its file", kid, "1", costly=True)
            yield base.Metric(f"bytes_{name}", f"Size of the file of the generator {how}, in {kind}", "bytes on disk", "bytes", costly=True)
    yield base.Metric("packed_bits", "Bits per kernel weight of the file that is scored", "32 or 8", "bits", costly=True)
    yield base.Metric("packed_bytes", "Size of the file that is scored", "bytes on disk", "bytes", costly=True)
    yield base.Metric("packed_zeros", "Share of kernel weights that are 0 in the file that is scored", "#{w = 0}/n", "1", costly=True)
    yield base.Metric("budget_bytes", "What the file may have", "⌊byte_budget · bytes of the default model⌋", "bytes", costly=True)
    yield base.Metric("dense_bytes", "The generator's parameters in 32-bit floats", "4 · parameters", "bytes", costly=True)
    yield base.Metric("zeros", "Share of the generator's kernel weights that training left exactly 0", "#{w = 0}/n", "1", costly=True)
    yield base.Metric("effective_parameters", "The generator's parameters that training left other than 0", "#{θ ≠ 0}", "1", costly=True)
    yield base.Metric("macs", "Multiply-adds of the generator's kernels for one image", "Σ weights · places", "1", costly=True)
    yield base.Metric(
        "macs_nonzero", "The same, of weights that are not 0 in the file that is scored", "Σ [w ≠ 0] · places", "1", costly=True
    )


class Compression(GAN):
    """KID of the generator within a budget of bytes."""

    knobs = GAN.knobs | {BUDGET.name: BUDGET}
    metrics = GAN.metrics | {metric.name: metric for metric in _metrics()}
    score = "val_kid_at_bytes"
    cheap = "val_kid_pruned"
    default_search = ("l2_g", "l1_prox_g", "group_lasso", "l0")
    default_alone = True  # one λ at a time is on, because the question is which λ compresses
    trade: ClassVar[tuple[str, str, str]] = ("val_kid", "bytes", "budget_bytes")  # quality, cost, and the metric that holds the budget

    @classmethod
    def conflicts(cls, intent: base.Intent) -> list[base.Conflict]:
        """The conflicts of a GAN, and an error if the budget is searched."""
        message = f"{BUDGET.name} says at how many bytes the score is taken, and more are always better: fix it instead of searching it."
        searched = [base.Conflict("error", "searched_budget", message)] if BUDGET.name in intent.searched else []
        return [*searched, *super().conflicts(intent)]

    def start(self, members: Sequence[base.Member]) -> TrainingRun:
        """Begin training.

        Raises:
            ObjectiveError: the parts that are never pruned (biases, norms) fill the budget already.
        """
        run = super().start(members)
        if members:
            self._refuse_small_budget(run.images.shape, run.options)
        return run

    def evaluate(self, net: Net, images: ImageSet) -> dict[str, Tensor | float]:
        """KID of the generator as it is, and pruned by about what the budget asks."""
        from objectives import small_file

        small = net.having(PART, small_file.pruned(net.parameters[PART], likely_share(float(net.options[BUDGET.name]))))
        return {**super().evaluate(net, images), "val_kid_pruned": super().evaluate(small, images)["val_kid"]}

    def finish(self, net: Net, images: ImageSet, rungs: Sequence[float]) -> dict[str, float]:
        """The whole ladder, and the score at the budget."""
        budget = self.budget_bytes(images.shape, net.options)
        with tempfile.TemporaryDirectory() as folder:
            press = Press(net, Path(folder))
            found = {**press.facts(), "budget_bytes": float(budget)}
            for bits in PRECISIONS:
                shares = {**{rung(share, bits): share for share in SHARES}, fit(bits): press.fit(bits, budget)}
                for name, share in shares.items():
                    file = press.file(share, bits)
                    found[f"bytes_{name}"] = float(file.stat().st_size)
                    found[f"val_kid_{name}"] = self._kid(press.read(file), images)
            bits = _better(found)
            scored = press.read(press.file(press.fit(bits, budget), bits))
        kernels = list(_kernels(scored).values())
        found["packed_bits"], found["packed_bytes"] = float(bits), found[f"bytes_{fit(bits)}"]
        found["packed_zeros"] = 1 - _nonzero(kernels) / sum(kernel.numel() for kernel in kernels)
        found["macs_nonzero"] = multiply_adds(scored, nonzero=True)
        return {**found, "val_kid_at_bytes": found[f"val_kid_{fit(bits)}"]}

    def test(self, net: Net, images: ImageSet) -> dict[str, float]:
        """KID on the test split of the file within the budget, in the precision that is better on validation images."""
        budget = self.budget_bytes(images.shape, net.options)
        with tempfile.TemporaryDirectory() as folder:
            press = Press(net, Path(folder))
            fits = {bits: press.read(press.file(press.fit(bits, budget), bits)) for bits in PRECISIONS}
        bits = _better({f"val_kid_{fit(bits)}": self._kid(one, images) for bits, one in fits.items()})
        return {"test_kid_at_bytes": kid.measure(Subject(self, fits[bits], images, "test"))["kid"].value}

    def _kid(self, net: Net, images: ImageSet) -> float:
        return float(super().evaluate(net, images)["val_kid"])

    def budget_bytes(self, shape: tuple[int, int, int], options: base.Config) -> int:
        """The bytes that an encoded generator may have: the same for every member, counted from the model at its default structure."""
        from objectives.training.built import parameter_counts

        return int(float(options[BUDGET.name]) * FLOAT_BYTES * parameter_counts(self, shape)[PART])

    def _refuse_small_budget(self, shape: tuple[int, int, int], options: base.Config) -> None:
        from objectives import small_file
        from objectives.training.built import built

        budget = self.budget_bytes(shape, options)
        parameters = initialized(0, lambda: built(self, shape, options))[PART].named_parameters()
        # NewMembers biases and norms may be constants, which take no room. Trained ones are ordinary numbers.
        shaped = {name: torch.randn(value.shape, generator=torch.Generator().manual_seed(0)) for name, value in parameters}
        least = len(small_file.encoded(small_file.pruned(shaped, 1.0), 8))
        if least > budget:
            raise base.ObjectiveError(
                f"{BUDGET.name} must leave room for what is never pruned, {least} bytes of biases and the like in this model; "
                f"{options[BUDGET.name]:g} is {budget} bytes. Raise it, or choose a larger model."
            )


def likely_share(budget: float) -> float:
    """The share that must be pruned for a budget of so many bytes for four. A weight may have H₂(p) + 7p bits, of place and int8 code.

    p is the share that is kept, H₂ the entropy of a coin with that chance. Found by halving, because the left side rises with p up to 0.99.
    """
    low, high = 0.0, 0.99
    for _ in range(30):
        p = (low + high) / 2
        bits = CODE_BITS * p - p * math.log2(p) - (1 - p) * math.log2(1 - p)
        low, high = (p, high) if bits < 8 * FLOAT_BYTES * budget else (low, p)
    return 0.0 if low > 0.98 else 1 - low


class Press:
    """One generator on its way into files in `folder`. The bytes of the files count, and what is read back is evaluated."""

    def __init__(self, net: Net, folder: Path) -> None:
        self._net, self._folder = net, folder
        self._tensors = {name: value.detach().cpu().float() for name, value in net.parameters[PART].items()}
        self._kernels = list(_kernels(net).values())
        self._count = sum(kernel.numel() for kernel in self._kernels)

    def facts(self) -> dict[str, float]:
        """The result of training alone: sizes, zeros, work."""
        parameters = sum(value.numel() for value in self._tensors.values())
        return {
            "dense_bytes": float(FLOAT_BYTES * parameters),
            "zeros": 1 - _nonzero(self._kernels) / self._count,
            "effective_parameters": float(_nonzero(list(self._tensors.values()))),
            "macs": multiply_adds(self._net),
        }

    def file(self, share: float, bits: int) -> Path:
        """The generator pruned to `share`, in this precision, on disk."""
        from objectives import small_file

        path = self._folder / f"{round(share * self._count)}-{bits}"
        if not path.exists():
            path.write_bytes(small_file.encoded(small_file.pruned(self._tensors, share), bits))
        return path

    def read(self, file: Path) -> Net:
        """The network with the generator that a file holds."""
        from objectives import small_file

        before = self._net.parameters[PART]
        read = small_file.decoded(file.read_bytes())
        return self._net.having(PART, {name: read[name].to(value) for name, value in before.items()})

    def fit(self, bits: int, budget: int) -> float:
        """The least pruning whose file has at most `budget` bytes, to within a hundredth of `budget`.

        The search between two known sizes takes false position and halving in turn: sizes fall with pruning in nearly a straight line.
        """

        def size(share: float) -> int:
            return self.file(share, bits).stat().st_size

        steps = [*SHARES, 1.0]
        reached = next((index for index, share in enumerate(steps) if size(share) <= budget), len(SHARES))
        if reached == 0:
            return 0.0
        low, high = steps[reached - 1], steps[reached]
        above, below = size(low), size(high)
        for turn in range(TRIES):
            if (1 - CLOSE) * budget <= below <= budget or (high - low) * self._count < 1:
                break
            slope = (above - (1 - CLOSE / 2) * budget) / max(above - below, 1)
            share = low + (high - low) * (min(max(slope, 0.02), 0.98) if turn % 2 == 0 else 0.5)
            found = size(share)
            low, above, high, below = (low, above, share, found) if found <= budget else (share, found, high, below)
        return high


def multiply_adds(net: Net, nonzero: bool = False) -> float:
    """Multiply-adds of the generator's kernels for one image. With `nonzero`, only of the weights that are not 0.

    A weight of a linear layer acts once. A weight of a convolution acts at every place of its output (transposed: of its input).
    """
    kernels = _kernels(net)
    places = dict.fromkeys(kernels, 1.0)
    module = net.module(PART)

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen = inputs[0] if getattr(layer, "transposed", False) else output
            places[name] = float(seen.shape[2:].numel()) if kernels[name].ndim > 2 else 1.0

        return hook

    layers = {name.removesuffix(".weight"): name for name in kernels if name.endswith(".weight")}
    handles = [layer.register_forward_hook(watch(layers[path])) for path, layer in module.named_modules() if path in layers]
    try:
        with torch.no_grad():
            net(PART, torch.zeros(2, net.latent_dim).to(next(iter(kernels.values()))))
    finally:
        for handle in handles:
            handle.remove()
    return sum(places[name] * (_nonzero([kernel]) if nonzero else kernel.numel()) for name, kernel in kernels.items())


def _kernels(net: Net) -> dict[str, Tensor]:
    from objectives import small_file

    return {name: value for name, value in net.parameters[PART].items() if small_file.is_kernel(value)}


def _nonzero(tensors: Sequence[Tensor]) -> int:
    return sum(int(tensor.count_nonzero()) for tensor in tensors)


def _better(found: Mapping[str, float]) -> int:
    """The precision whose file within the budget has the lower KID."""
    return min(PRECISIONS, key=lambda bits: found[f"val_kid_{fit(bits)}"])


OBJECTIVE = Compression
