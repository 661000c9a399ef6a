"""Member-epochs per second of packs of K members against one member at a time, by K.

For every width the pack and one member alone are timed in turns, a few steps each, and the gain is the median over the turns of

    gain = K · (seconds of one member alone) / (seconds of the pack),

so a machine that is slower for a while is slower for both. A long epoch is not timed whole: its seconds are those of the shuffle
(`train_steps(0)`) and so many times those of a step, from the steps that were timed. Evaluation, once an epoch, is apart, and so is what
comes before the fourth step: building the members, imports, tracing. A sweep's packs are traced after 64 steps, here after the first: what
is timed is how they train from then on. λ are on in the middle of their ranges, as a search has them.

Without `--data` the images are random ones of MNIST's number and shape: a step costs the same whatever they show. What a row reaches of the
arithmetic and the memory traffic of one large matrix product and one large copy is told beside it. On a GPU (`--device cuda`) there is
more: the best of 1, 2, 4 and 8 ordinary processes that share it.

    arithmetic   multiplications and additions of one step of one member alone, counted by torch as they are dispatched
    traffic      the least a step of Adam can move: a weight is read forth and back, its gradient written and read, the weight and two
                 moments read and written: 10 passes over the weights (activations, which a cache may hold, are left out)
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
import torch

from objectives.base import Member, Settings, Value
from objectives.data._kinds import ImageSet
from objectives.families._prepared import compares
from objectives.registry import load
from objectives.training import calibration, traced
from objectives.training.loop import TrainingRun

WIDTHS = (1, 4, 16, 64, 256)
PROCESSES = (1, 2, 4, 8)
ROUNDS, WARM_STEPS, TURN_S = 5, 3, 0.3  # TURN_S: how long one side of a turn should take
EPOCHS = 100_000  # of the settings: no member is done while it is timed
PASSES, FLOAT_BYTES = 10, 4
START_S = 300.0  # for processes to import and to take their first steps
SPARE_MEMORY = 0.6  # of what is free may be used, by an estimate that is rough
IMAGES, TEST_IMAGES = 60_000, 10_000


@dataclass(frozen=True)
class Case:
    """What is trained; `fixed` are knobs of every member."""

    family: str
    model: str | None
    dataset: str
    batch: int
    fixed: Mapping[str, Value] = field(default_factory=dict)


ROWS = {
    "vae": Case("vae", "mlp400", "mnist", 128, {"latent_dim": 20}),
    "autoencoder": Case("autoencoder", "mlp", "mnist", 128, {"latent_dim": 32}),
    "gan": Case("gan", "mlp_small", "mnist", 128),
    "dcgan32": Case("gan", "dcgan32", "mnist", 128),
    "sngan_small": Case("gan", "sngan_small", "mnist", 128),
    "vae-digits": Case("vae", None, "digits", 64),
    "autoencoder-digits": Case("autoencoder", None, "digits", 64),
    "gan-digits": Case("gan", None, "digits", 64),
}


@dataclass(frozen=True)
class Where:
    """On what a row is measured. `data` is a folder with MNIST/raw, or None; `train_size` keeps that many of its training images.

    `features` is what a GAN's samples are compared in; None: the data set's own, and for random images those of a random network.
    """

    data: str | None
    device: str
    features: str | None = None
    train_size: int | None = None
    cache: str | None = None
    precision: Any = "float32"


@dataclass
class Width:
    """One width of a row. Seconds are per member-epoch but for `first_s` (before the fourth step) and `step_s`, both of the whole pack.

    `gain` compares training alone, `gain_whole` training and evaluation; `steps` were timed in each turn, `rounds` turns taken.
    """

    members: int
    train_s: float = 0.0
    evaluate_s: float = 0.0
    step_s: float = 0.0
    shuffle_s: float = 0.0
    first_s: float = 0.0
    gain: float = 1.0
    gain_whole: float = 1.0
    steps: int = 0
    rounds: int = 0
    memory_mb: float | None = None
    skipped: str = ""

    @property
    def seconds(self) -> float:
        """Of a member-epoch, training and evaluation."""
        return self.train_s + self.evaluate_s


# One row ------------------------------------------------------------------------------


def family_of(case: Case, where: Where) -> Any:
    """The family on the row's data; without files of MNIST, on random images of its shape."""
    features = {"name": where.features} if where.features else None
    options: dict[str, Any] = {"name": case.dataset, "root": None, "train_size": where.train_size if case.dataset == "mnist" else None}
    kind: Any = load(case.family)
    if case.dataset == "mnist" and where.data is None:
        size = where.train_size or IMAGES
        own = {
            "load_data": lambda _: random_images(size, where.device),
            "features": lambda _: random_features(size, where.device, where.features or "randconv"),
        }
        kind = type("Random", (kind,), own)
    elif case.dataset == "mnist":
        options["root"] = where.data
    settings = Settings(
        options, EPOCHS, case.model, batch_size=case.batch, device=where.device, cache=where.cache, features=features, threads=1
    )
    return kind(replace(settings, precision=where.precision))


@cache
def random_images(size: int, device: str) -> ImageSet:
    """Gray images of 28 × 28, uniform."""
    draw = torch.Generator().manual_seed(0)

    def some(n: int) -> torch.Tensor:
        return torch.rand(n, 1, 28, 28, generator=draw).to(device)

    few = min(size, TEST_IMAGES)
    return ImageSet(train=some(size), val=some(few), test=some(few), shape=(1, 28, 28), record={"name": "random"})


@cache
def random_features(size: int, device: str, name: str) -> Any:
    """In what random images are compared."""
    from objectives.features import make

    return make(random_images(size, device), None, {"name": name})


def config_of(family: Any, case: Case) -> dict[str, Value]:
    """The searched λ in the middle of their ranges, beside what the row fixes."""
    return {**calibration._middle(family, family.default_search), **case.fixed}


class Timed:
    """A pack that has taken its first steps, by a clock that waits for the device."""

    def __init__(self, family: Any, config: Mapping[str, Value], width: int) -> None:
        self.device, self.width = family.settings.device, width
        started = self._now()
        self.run: TrainingRun = family.start([Member(number, dict(config), number) for number in range(width)])
        self.run.crew.epoch = 1
        self.run.train_steps(WARM_STEPS)
        self.first_s = self._now() - started
        self.steps_per_epoch = max(1, len(self.run.rows) // self.run.batch_size)

    def steps(self, count: int) -> float:
        """Seconds of so many steps of the pack and of one shuffle."""
        return self._clocked(lambda: self.run.train_steps(count))

    def evaluation(self) -> float:
        """Seconds of evaluating every member once, with the reports made of it."""
        trained = {"train_loss": torch.ones(len(self.run.crew.living), device=self.device)}
        return self._clocked(lambda: self.run.judge.reports(trained))

    def sound(self) -> bool:
        """Whether the members still have finite weights: arithmetic of NaN may be faster or slower."""
        return all(bool(torch.isfinite(theta).all()) for theta in self.run.crew.thetas.values())

    def _clocked(self, work: Callable[[], Any]) -> float:
        started = self._now()
        work()
        return self._now() - started

    def _now(self) -> float:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()


def measure_row(case: Case, where: Where, widths: Sequence[int], budget_s: float) -> dict[str, Any]:
    """Every width that time and memory allow, the best of them, and the arithmetic of a step."""
    started = time.perf_counter()
    family = family_of(case, where)
    if compares(family):
        family.features()  # a classifier may be trained here, which is no member's epoch
    config = config_of(family, case)
    prepared_s = time.perf_counter() - started
    alone = Timed(family, config, 1)
    flops, saved = count(alone.run)
    weights = sum(theta.shape[1] for theta in alone.run.crew.thetas.values())
    floor_s = min(alone.evaluation() for _ in range(2))
    found = [single(alone, floor_s, budget_s)]
    lone: list[tuple[float, float]] = []  # of one member alone in its turns with packs: seconds of training and of evaluation
    spent = time.perf_counter() - started - prepared_s
    for width in [width for width in widths if width > 1]:
        last = found[-1]
        expected = predicted(last, found[0], width, alone.steps_per_epoch)
        needed = width * (saved + 8 * FLOAT_BYTES * weights)
        why = last.skipped and "a narrower one was"
        if not why and spent + expected > budget_s:
            why = f"about {expected:.0f} s, and {max(0.0, budget_s - spent):.0f} s were left"
        if not why and needed > SPARE_MEMORY * free_memory(where.device):
            why = f"about {needed / 1e9:.1f} GB of memory, and {free_memory(where.device) / 1e9:.1f} GB were free"
        found.append(Width(width, skipped=why) if why else pack(family, config, alone, width, last, budget_s - spent, lone))
        spent = time.perf_counter() - started - prepared_s
    timed = [one for one in found if not one.skipped]
    if lone:
        found[0].train_s, found[0].evaluate_s = (statistics.median(values) for values in zip(*lone, strict=True))
    best = max(timed, key=lambda one: one.gain_whole)
    return {
        "case": asdict(case),
        "config": config,
        "parameters": weights,
        "steps_per_epoch": alone.steps_per_epoch,
        "flop_per_member_step": flops,
        "bytes_per_member_step": PASSES * FLOAT_BYTES * weights,
        "saved_bytes_per_member": saved,
        "prepared_s": prepared_s,
        "widths": [asdict(one) | {"seconds": one.seconds} for one in found],
        "best": {"members": best.members, "gain": best.gain_whole},
    }


def single(alone: Timed, evaluate_s: float, budget_s: float) -> Width:
    """One member at a time, to begin with; its turns with each pack follow."""
    rough = alone.steps(1)
    shuffle = min(alone.steps(0) for _ in range(3))
    steps = turn(rough - shuffle, alone.steps_per_epoch, min(TURN_S, budget_s / 20))
    rounds = ROUNDS if steps > 1 else 3
    step = statistics.median((alone.steps(steps) - shuffle) / steps for _ in range(rounds))
    train_s = shuffle + alone.steps_per_epoch * step
    return Width(1, train_s, evaluate_s, step, shuffle, alone.first_s, steps=steps, rounds=rounds, memory_mb=peak(alone.device))


def turn(step_s: float, most: int, seconds: float) -> int:
    """How many steps take about so many seconds: at least 1, at most an epoch's."""
    return max(1, min(most, round(seconds / max(step_s, 1e-6))))


def predicted(last: Width, alone: Width, width: int, steps_per_epoch: int) -> float:
    """Seconds that a width will take, where a member takes as long as in the last one: built, a step to see, three turns of one or more."""
    grown = width / last.members
    pack_s = (last.first_s + 4 * last.step_s + 4 * last.shuffle_s) * grown + 2 * last.evaluate_s * width
    return pack_s + 3 * (turn(alone.step_s, steps_per_epoch, TURN_S) * alone.step_s + alone.evaluate_s)


def pack(
    family: Any, config: Mapping[str, Value], alone: Timed, width: int, last: Width, left_s: float, lone_s: list[tuple[float, float]]
) -> Width:
    """A width beside one member alone, in turns; `lone_s` takes what that one took. A pack that cannot be is skipped with the reason."""
    began = time.perf_counter()
    try:
        both = Timed(family, config, width)
        rough = both.steps(1)
        steps = turn(rough, both.steps_per_epoch, TURN_S)
        alone_steps = turn(last.step_s / last.members, alone.steps_per_epoch, TURN_S)
        turns: list[tuple[float, float, float, float]] = []
        while len(turns) < ROUNDS and (len(turns) < 3 or time.perf_counter() - began < left_s):
            shuffles = both.steps(0), alone.steps(0)
            packed, lone = (both.steps(steps) - shuffles[0]) / steps, (alone.steps(alone_steps) - shuffles[1]) / alone_steps
            turns.append((packed, lone, *shuffles))
        evaluations = [(both.evaluation(), alone.evaluation()) for _ in range(2)]
        if not both.sound():
            return Width(width, skipped="its weights are not finite")
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        return Width(width, skipped=f"{type(error).__name__}: {str(error).splitlines()[0][:160]}")
    finally:
        gc.collect()
        if alone.device.startswith("cuda"):
            torch.cuda.empty_cache()
    epochs = [
        (shuffle + alone.steps_per_epoch * packed, lone_shuffle + alone.steps_per_epoch * lone)
        for packed, lone, shuffle, lone_shuffle in turns
    ]
    judged, judged_alone = (min(values) for values in zip(*evaluations, strict=True))
    lone_s += [(lone, judged_alone) for _, lone in epochs]
    train_s = statistics.median(packed for packed, _ in epochs)
    return Width(
        width,
        train_s / width,
        judged / width,
        statistics.median(packed for packed, *_ in turns),
        statistics.median(shuffle for _, _, shuffle, _ in turns),
        both.first_s,
        gain=statistics.median(width * lone / packed for packed, lone in epochs),
        gain_whole=statistics.median(width * (lone + judged_alone) / (packed + judged) for packed, lone in epochs),
        steps=steps,
        rounds=len(turns),
        memory_mb=peak(alone.device),
    )


def count(run: TrainingRun) -> tuple[int, int]:
    """Of one step of one member alone, all players: floating-point operations, and bytes that autograd keeps for the way back.

    A product of matrices of n × k and k × m counts 2nkm; what is elementwise counts nothing.
    """
    from torch.utils.flop_counter import FlopCounterMode

    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run.train_steps(1)
    return int(counter.get_total_flops()), sum(kept.values())


def mlp_flops(sizes: Sequence[int], batch: int) -> int:
    """A step of a chain of linear layers: 2B·Σ n_in·n_out forth, as much for the weights, and for the inputs of all but the first."""
    products = [a * b for a, b in pairwise(sizes)]
    return 2 * batch * (3 * sum(products) - products[0])


def free_memory(device: str) -> float:
    """Bytes that a pack may still take."""
    return float(torch.cuda.mem_get_info()[0]) if device.startswith("cuda") else float(psutil.virtual_memory().available)


def peak(device: str) -> float | None:
    """The most memory that tensors took on a GPU since this was last asked, in MB; None on a CPU, which does not say."""
    if not device.startswith("cuda"):
        return None
    found = torch.cuda.max_memory_allocated() / 1e6
    torch.cuda.reset_peak_memory_stats()
    return found


# What a device can do, and ordinary processes on it ------------------------------------


def ceilings(device: str) -> dict[str, float]:
    """FLOP/s of a large product of matrices in float32, with and without TF32 where there is such a thing, and bytes/s of a large copy."""
    on_gpu = device.startswith("cuda")
    side, length = (8192, 2**28) if on_gpu else (1536, 2**24)
    a, b = torch.rand(side, side, device=device), torch.rand(length, device=device)
    into, product = torch.empty_like(b), torch.empty_like(a)
    before = torch.get_float32_matmul_precision()
    found = {}
    for name, precision in (("flop_per_s", "highest"), *((("flop_per_s_tf32", "high"),) if on_gpu else ())):
        torch.set_float32_matmul_precision(precision)
        found[name] = 2 * side**3 / fastest(lambda: torch.mm(a, a, out=product), device)
    torch.set_float32_matmul_precision(before)
    return found | {"bytes_per_s": 2 * FLOAT_BYTES * length / fastest(lambda: into.copy_(b), device)}


def fastest(work: Callable[[], Any], device: str, times: int = 8) -> float:
    """The least seconds that `work` took, after once that does not count."""
    took = []
    for _ in range(times + 1):
        started = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        took.append(time.perf_counter() - started)
    return min(took[1:])


def shares(row: Mapping[str, Any], limits: Mapping[str, float]) -> list[dict[str, float]]:
    """What each width reaches of the ceilings, in training: FLOP/s, bytes/s, and their shares of those without TF32."""
    found = []
    for one in row["widths"]:
        if one["skipped"]:
            continue
        member_steps = one["members"] / one["step_s"]
        flops, moved = member_steps * row["flop_per_member_step"], member_steps * row["bytes_per_member_step"]
        found.append(
            {
                "members": one["members"],
                "flop_per_s": flops,
                "bytes_per_s": moved,
                "flop_share": flops / limits["flop_per_s"],
                "bytes_share": moved / limits["bytes_per_s"],
            }
        )
    return found


def process(case: Case, where: Where, barrier: Any, seconds: float, told: Any) -> None:
    """One ordinary process: a member alone, trained for so many seconds beside its like; tells its steps per second."""
    try:
        torch.set_num_threads(1)
        family = family_of(case, where)
        alone = Timed(family, config_of(family, case), 1)
        steps = turn(alone.steps(1), alone.steps_per_epoch, seconds / 10)
        barrier.wait(START_S)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            alone.steps(steps)
            done += steps
        told.put(done / (time.perf_counter() - started))
    except Exception as error:
        barrier.abort()
        told.put(f"{type(error).__name__}: {str(error)[:160]}")


def sharing(case: Case, where: Where, counts: Sequence[int], seconds: float, row: Mapping[str, Any]) -> dict[str, Any]:
    """N processes of one member each on one device, training alone: member-epochs per second for each N, and the best pack's over the best.

    The pack is timed again between the processes, so that it meets the same machine; the gain is the median of these over the best N.
    """
    context = get_context("spawn")
    widest = int(row["best"]["members"])
    family = family_of(case, where)
    best = Timed(family, config_of(family, case), widest)
    rates: dict[str, Any] = {}
    packs = []
    for number in counts:
        steps = turn(best.steps(1), best.steps_per_epoch, TURN_S)
        packs.append(widest * steps / best.steps(steps) / best.steps_per_epoch)
        barrier, told = context.Barrier(number), context.Queue()
        processes = [context.Process(target=process, args=(case, where, barrier, seconds, told)) for _ in range(number)]
        for one in processes:
            one.start()
        heard: list[float | str] = []
        for _ in processes:
            try:
                heard.append(told.get(timeout=seconds + START_S))
            except Empty:
                heard.append("a process died, or did not start in time")
                barrier.abort()
        for one in processes:
            one.join(10)
            one.kill()
        wrong = [one for one in heard if isinstance(one, str)]
        rates[str(number)] = wrong[0] if wrong else sum(float(one) for one in heard) / best.steps_per_epoch
    sound = {number: rate for number, rate in rates.items() if not isinstance(rate, str)}
    if not sound:
        return {"rates": rates}
    fastest_n = max(sound, key=lambda number: sound[number])
    rate = statistics.median(packs)
    return {"rates": rates, "best": int(fastest_n), "pack": widest, "pack_rate": rate, "gain": rate / sound[fastest_n]}


# What is said -------------------------------------------------------------------------


def machine(device: str) -> dict[str, Any]:
    """What the figures depend on beside the code. The load says how busy the machine was."""
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
    }
    if device.startswith("cuda"):
        found |= {"gpu": torch.cuda.get_device_name(), "gpu_memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 1e9)}
    return found


def missing(device: str) -> list[str]:
    """Figures that this run cannot give."""
    if device.startswith("cuda"):
        return []
    absent = "no GPU was found here" if not torch.cuda.is_available() else "the device was the CPU"
    figures = (
        "packs on a GPU",
        "N processes that share a GPU",
        "shares of a GPU's arithmetic and memory traffic",
        "TF32",
        "bfloat16 on a GPU",
    )
    return [f"not measured, for {absent}: {figure}" for figure in figures]


def table(found: Mapping[str, Any]) -> str:
    """A Markdown table: one line for each width of each row."""
    lines = [
        "| row | K | s per member-epoch | training | evaluation | gain | gain, training | first steps | of arithmetic | of traffic |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        reached = {int(one["members"]): one for one in row.get("shares", [])}
        for one in row["widths"]:
            if one["skipped"]:
                lines.append(f"| {name} | {one['members']} | skipped: {one['skipped']} | | | | | | | |")
                continue
            best = " **best**" if one["members"] == row["best"]["members"] else ""
            cells = [f"{one['seconds']:.3g}", f"{one['train_s']:.3g}", f"{one['evaluate_s']:.3g}"]
            cells += [f"{one['gain_whole']:.2f} ×{best}", f"{one['gain']:.2f} ×", f"{one['first_s']:.2g} s"]
            share = reached.get(one["members"])
            cells += [f"{100 * share['flop_share']:.1f} %", f"{100 * share['bytes_share']:.1f} %"] if share else ["", ""]
            lines.append(f"| {name} | {one['members']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shared_table(found: Mapping[str, Any]) -> str:
    """A Markdown table of the processes that share a device, for the rows that have them."""
    lines = ["| row | N: member-epochs per second, training | best pack | pack over the best N |", "|---|---|---|---|"]
    for name, row in found.items():
        if "sharing" in row:
            one = row["sharing"]
            rates = ", ".join(f"{n}: {rate if isinstance(rate, str) else f'{rate:.3g}'}" for n, rate in one["rates"].items())
            packed = f"K = {one['pack']}: {one['pack_rate']:.3g}" if "pack" in one else "–"
            lines.append(f"| {name} | {rates} | {packed} | {one['gain']:.2f} × |" if "gain" in one else f"| {name} | {rates} | – | – |")
    return "\n".join(lines) if len(lines) > 2 else ""


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Time per member-epoch against K, over that of one member alone beside it; one line a row of more than one width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(1, color="0.6", linewidth=1)
    for number, (name, row) in enumerate(found.items()):
        timed = [one for one in row["widths"] if not one["skipped"]]
        if len(timed) > 1:
            label = f"{name} (alone {timed[0]['seconds']:.2g} s)"
            points = [one["members"] for one in timed], [1 / one["gain_whole"] for one in timed]
            axes.plot(*points, marker="osD^v<>P"[number % 8], markersize=5, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    widths = sorted({one["members"] for row in found.values() for one in row["widths"] if not one["skipped"]})
    axes.set_xticks(widths, [str(width) for width in widths])
    ticks = (0.1, 0.2, 0.3, 0.5, 1, 2)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("K, members in one program")
    axes.set_ylabel("time per member-epoch, over one alone")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure the rows that are asked for, one after another; what is found so far is written after each."""
    given = arguments()
    torch.set_num_threads(1)
    traced.AFTER = 0
    with contextlib.suppress(ImportError):  # as a worker of a sweep does, where Ray is installed
        from infra.machine import return_memory

        return_memory()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("--device cuda: there is no GPU here. Choose --device cpu.")
    told: dict[str, Any] = {
        "machine": machine(given.device) | {"precision": given.precision},
        "images": "MNIST" if given.data else "random",
        "rows": {},
    }
    told["missing"] = missing(given.device)
    with tempfile.TemporaryDirectory() as kept:
        where = Where(given.data, given.device, given.features, given.train_size, given.cache or kept, given.precision)
        told["ceilings"] = ceilings(given.device)
        for name in given.rows:
            print(f"{name} …", file=sys.stderr, flush=True)
            row = measure_row(ROWS[name], where, given.widths, given.seconds)
            row["shares"] = shares(row, told["ceilings"])
            if given.processes:
                row["sharing"] = sharing(ROWS[name], where, given.processes, min(5.0, max(1.0, given.seconds / 10)), row)
            told["rows"][name] = row
            told["machine"]["load_after"] = os.getloadavg()[0]
            if given.out:
                given.out.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    say(told)
    if given.plot:
        plot(told["rows"], given.plot)


def say(told: Mapping[str, Any]) -> None:
    """The tables, and what they stand on."""
    print(", ".join(f"{key}: {value}" for key, value in told["machine"].items()))
    print(f"images of the rows on MNIST: {told['images']}; ceilings: {', '.join(f'{k} {v:.3g}' for k, v in told['ceilings'].items())}\n")
    print(table(told["rows"]))
    if shared := shared_table(told["rows"]):
        print(f"\n{shared}")
    print("".join(f"\n{line}" for line in told["missing"]))


def arguments() -> argparse.Namespace:
    """The command line."""

    def listed(text: str) -> list[int]:
        return [int(part) for part in text.split(",") if part]

    def some(known: Sequence[str]) -> Callable[[str], list[str]]:
        def read(text: str) -> list[str]:
            if strange := [one for one in text.split(",") if one not in known]:
                raise argparse.ArgumentTypeError(f"must be among {', '.join(known)}; got {', '.join(strange)}")
            return text.split(",")

        return read

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.population", description=(__doc__ or "").splitlines()[0])
    families = sorted({case.family for case in ROWS.values()})
    parser.add_argument("--rows", type=some(list(ROWS)), default=list(ROWS), help=f"default: {','.join(ROWS)}")
    parser.add_argument("--families", type=some(families), default=families, help=f"only rows of these; default: {','.join(families)}")
    parser.add_argument("--widths", type=listed, default=list(WIDTHS), help="default: 1,4,16,64,256")
    parser.add_argument("--seconds", type=float, default=120, help="for each row, about; wider packs are skipped; default: 120")
    parser.add_argument("--data", help="a folder that holds MNIST/raw; without it, random images of the same number and shape")
    parser.add_argument("--train-size", type=int, help="training images; default: all")
    parser.add_argument("--features", help="what a GAN's samples are compared in; default: the data set's own, trained first")
    parser.add_argument("--cache", help="a folder that keeps trained features for the next run")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "tf32", "bfloat16"], default="float32", help="of the products of training")
    parser.add_argument("--processes", type=listed, help="N processes that share the device; default: 1,2,4,8 on a GPU, none on a CPU")
    parser.add_argument("--out", type=Path, help="write JSON here, after every row")
    parser.add_argument("--plot", type=Path, help="write a PNG here: seconds per member-epoch against K")
    given = parser.parse_args()
    given.rows = [name for name in given.rows if ROWS[name].family in given.families]
    if given.processes is None:
        given.processes = list(PROCESSES) if given.device.startswith("cuda") else []
    return given


if __name__ == "__main__":
    main()
