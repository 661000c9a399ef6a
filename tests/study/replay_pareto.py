"""Early stopping for two metrics, replayed on curves of real trainings: `python -m tests.study.replay_pareto --repeats 100`.

Two sets of whole trainings on the digits were recorded (`--record`, 20 epochs, random configs, every sixth with λ off): an autoencoder
with `l1_prox` and lr, error against bytes; and a VAE with β and lr, NLL against KL, in which a sixth collapses. A replay draws some of the
members in a random order and trains them with two workers. It says

- how many epochs were saved, and how many could have been by somebody who knows every end (`Foresight`);
- which share of the members of the true front was stopped. The true front is that of all whole trainings of the replay;
- the same where some members are planted to diverge, and how long these train after that.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives.base import Phase
from search.choosing.front import undominated
from search.running.where import IN_PROCESS
from search.schedulers import make
from search.schedulers.pareto import milestones
from search.spec.reading import read
from search.sweep import run

Array = NDArray[Any]
SHARES = (0.1, 0.3, 0.5)  # of members that are planted to diverge
CURVES = Path(__file__).with_name("curves.npz")
RECORDED: dict[str, dict[str, Any]] = {
    "bytes": {"objective": "autoencoder", "search": {"l1_prox": {}, "lr": {}}, "metric": ["val_half_sse", "bytes"]},
    "kl": {"objective": "vae", "search": {"beta": {}, "lr": {}}, "metric": {"val_nll_nats": "lower", "val_kl_nats": "lower"}},
}
COMMON = {"dataset": {"name": "digits"}, "sampler": "random", "scheduler": "none", "confirm": {"configs": 0}, "check": False}


def record(trials: int, epochs: int) -> None:
    """Train all members whole and write their curves.

    Of each member and epoch the rung score and the second metric, (members, epochs, 2); what it ended with, (members, 2), NaN where it was
    lost; and whether every λ was off in it, (members,).
    """
    found: dict[str, Any] = {}
    for name, given in RECORDED.items():
        with tempfile.TemporaryDirectory() as folder:
            home = Home.open(Path(folder))
            spec = read({**COMMON, **given, "budget": {"trials": trials, "epochs": epochs}})
            run(spec, name="recorded", home=home, address=IN_PROCESS, tracking=False)
            with Catalogue(home.catalogue_url) as catalogue:
                rows = [row for row in catalogue.members("recorded") if row.phase == Phase.SEARCH]
                curves = np.full((len(rows), epochs, 2), np.nan, dtype=np.float32)
                beside = spec.asked[1]
                for report in catalogue.reports("recorded"):
                    values = report.rung_score, beside.values(report.metrics)
                    curves[report.number, report.epoch - 1] = [np.nan if value is None else value for value in values]
        ends = [[row.score, beside.values(row.metrics)] if row.score is not None else [np.nan, np.nan] for row in rows]
        found |= {
            f"{name}_curves": curves,
            f"{name}_ends": np.array(ends, dtype=np.float32),
            f"{name}_off": [row.arm == "off" for row in rows],
        }
        print(name, curves.shape, flush=True)
    np.savez_compressed(CURVES, **found)


# Replay -----------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """Members whose whole curves are known: `curves` (members, epochs, 2), `ends` (members, 2), and the arm of each."""

    curves: Array
    ends: Array
    off: Array

    @staticmethod
    def of(name: str) -> Pool:
        """One recorded set."""
        with np.load(CURVES) as stored:
            return Pool(
                *(np.asarray(stored[f"{name}_{part}"], np.float64 if part != "off" else bool) for part in ("curves", "ends", "off"))
            )

    def drawn(self, count: int, rng: np.random.Generator) -> Pool:
        """So many of the members in a random order."""
        order = rng.permutation(len(self.ends))[:count]
        return Pool(self.curves[order], self.ends[order], self.off[order])

    def planted(self, share: float, kind: str, rng: np.random.Generator) -> tuple[Pool, Array]:
        """Some members diverge at a random epoch; and at which, (members,), infinite where they do not.

        `nan`: the score is not finite, so the worker ends the member. `stuck`: from then on the score is three times what it was after the
        first epoch and the other metric is the worst of all, both finite to the end, so that only a scheduler can end it.
        """
        curves, ends = self.curves.copy(), self.ends.copy()
        count, epochs, _ = curves.shape
        chosen = rng.permutation(count)[: round(share * count)]
        at = np.full(count, np.inf)
        at[chosen] = rng.integers(1, epochs, len(chosen))
        bad = np.array([0.0, np.nanmax(self.curves[:, :, 1])])
        for one in chosen:
            value = np.nan if kind == "nan" else bad + np.array([3 * np.nanmax(self.curves[one, 0, 0]), 0.0])
            curves[one, int(at[one]) :] = value
            ends[one] = value
        return Pool(curves, ends, self.off), at


@dataclass(frozen=True)
class Replayed:
    """One sweep: epochs with the scheduler and without, members of the true front and how many of them were stopped.

    `after` and `after_whole`: epochs of planted members after they diverged, with the scheduler and without. `regret`: the part of the
    true front's hypervolume that the complete members lack.
    """

    epochs: int
    whole: int
    front: int
    lost: int
    after: int
    after_whole: int
    regret: float

    @property
    def saved(self) -> float:
        """The share of epochs that was not trained."""
        return 1 - self.epochs / self.whole


def replayed(pool: Pool, at: Array, scheduler: Any, workers: int) -> Replayed:
    """All members through the scheduler, in their order, so many at a time; an epoch takes each the same time."""
    count, epochs, _ = pool.curves.shape
    lengths = np.where(np.isnan(pool.curves[:, :, 0]).any(axis=1), np.isnan(pool.curves[:, :, 0]).argmax(axis=1) + 1, epochs).clip(
        max=epochs
    )
    trained, stopped, queue = np.zeros(count, int), np.zeros(count, bool), list(range(count))[::-1]
    running = [queue.pop() for _ in range(min(workers, count))]
    while running:
        for one in list(running):
            trained[one] += 1
            epoch, arm, values = (
                int(trained[one]),
                "off" if pool.off[one] else "search",
                tuple(map(float, pool.curves[one, trained[one] - 1])),
            )
            if np.isfinite(values[0]) and epoch < epochs:
                stopped[one] = bool(scheduler.decide(one, arm, epoch, values)) if epoch in scheduler.milestones else False
            elif np.isfinite(pool.ends[one, 0]):
                scheduler.hear([(one, arm, epochs, tuple(map(float, pool.ends[one])))])
            if stopped[one] or epoch >= lengths[one]:
                running.remove(one)
                running += [queue.pop()] if queue else []
    sound = np.asarray(np.isfinite(pool.ends).all(axis=1))
    true = sound.copy()
    true[sound] = undominated(pool.ends[sound])
    corner = np.maximum(pool.ends[true].max(axis=0) + 0.1 * np.ptp(pool.ends[true], axis=0), np.median(pool.ends[sound], axis=0))
    volumes = [area(pool.ends[kept], corner) for kept in (true, sound & ~stopped)]
    planted = np.isfinite(at)
    after = [int((count_[planted] - at[planted]).clip(min=0).sum()) for count_ in (trained, lengths)]
    if np.isnan(pool.ends[planted]).any():
        after = [0, 0]  # the worker ends them
    return Replayed(
        int(trained.sum()),
        int(lengths.sum()),
        int(true.sum()),
        int((true & stopped).sum()),
        after[0],
        after[1],
        1 - volumes[1] / volumes[0],
    )


class Foresight:
    """The most that can be saved: it knows every end, and stops at the first milestone whom a complete member of the arm will dominate."""

    def __init__(self, ends: Array, epochs: int, fewest: int) -> None:
        self.milestones = milestones(epochs, 0.1)
        self._ends, self._fewest, self._complete = ends, fewest, dict[str, list[int]]()

    def hear(self, reports: Sequence[tuple[int, str, int, Any]]) -> None:
        """Note who is complete."""
        for number, arm, _, _ in reports:
            self._complete.setdefault(arm, []).append(number)

    def decide(self, number: int, arm: str, epoch: int, score: Any) -> str:
        """A reason, or an empty string."""
        known = self._complete.get(arm, [])
        beaten = len(known) >= self._fewest and not undominated(self._ends[[number, *known]])[0]
        return f"foresight at epoch {epoch}" if beaten else ""


def area(points: Array, corner: Array) -> float:
    """The area that points (n, 2) dominate below a corner, by a sweep along the first metric."""
    found, height = 0.0, float(corner[1])
    for x, y in sorted(map(tuple, points.tolist())):
        if x < corner[0] and y < height:
            found += (corner[0] - x) * (height - y)
            height = y
    return found


def row(name: str, found: Sequence[Replayed], what: str) -> str:
    """One line: means over the replays; lost members of all fronts together, with the 95 % upper end of their share."""
    front, lost = sum(one.front for one in found), sum(one.lost for one in found)
    after, whole = sum(one.after for one in found), sum(one.after_whole for one in found)
    some = 100 * sum(one.lost > 0 for one in found) / len(found)
    return (
        f"{name:6s} {what}: saved {100 * (1 - sum(one.epochs for one in found) / sum(one.whole for one in found)):.0f} %"
        + f" · lost {lost} of {front} members of the true front ({100 * lost / front:.1f} %; in {some:.0f} % of the replays any)"
        + f" · regret {100 * statistics.fmean(one.regret for one in found):.2f} % of the hypervolume"
        + (f" · epochs after divergence {after / whole * 100:.0f} % of {whole / len(found):.0f}" if whole else "")
    )


def replays(
    name: str, options: Mapping[str, Any], count: int, repeats: int, workers: int, share: float = 0.0, kind: str = ""
) -> list[Replayed]:
    """Replays of random members in random orders; the same ones whatever the options are."""
    found, whole = [], Pool.of(name)
    for seed in range(repeats):
        rng = np.random.default_rng([seed, count])
        pool, at = whole.drawn(count, rng).planted(share, kind, rng)
        epochs = pool.curves.shape[1]
        foresight = options.get("foresight")
        found.append(
            replayed(pool, at, Foresight(pool.ends, epochs, 4) if foresight else make({"name": "pareto", **options}, epochs), workers)
        )
    return found


def main() -> None:
    """Print what was saved and what was lost; or record the curves anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="train anew and write the curves, in some minutes")
    parser.add_argument("--members", type=int, default=120, help="how many are recorded")
    parser.add_argument("--epochs", type=int, default=20, help="of the recorded members")
    parser.add_argument("--pools", default=",".join(RECORDED))
    parser.add_argument("--trials", default="24,60,120", help="members of a replay")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the scheduler")
    given = parser.parse_args()
    if given.record:
        record(given.members, given.epochs)
        return
    options = {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in given.option)}
    for name in given.pools.split(","):
        for count in map(int, given.trials.split(",")):
            print(row(name, replays(name, options, count, given.repeats, given.workers), f"{count} members"), flush=True)
            known = replays(name, {"foresight": True}, count, given.repeats, given.workers)
            print(row(name, known, f"{count} members with foresight"), flush=True)
        for kind in ("stuck", "nan"):
            for share in SHARES:
                found = replays(name, options, 60, given.repeats, given.workers, share, kind)
                print(row(name, found, f"60 members, {100 * share:.0f} % {kind}"), flush=True)


if __name__ == "__main__":
    main()
