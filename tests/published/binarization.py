"""B7: how many of the nats that fixed binarization loses does a searched regularizer win back?

Burda et al. 2016 report that a VAE trained on one fixed binarization of MNIST overfits (a gap of 3.5 nats between training and test, at
most 0.75 where every batch is binarized anew) and ends about 2 nats worse. Here the same network is trained both ways, and on the fixed
images with each of four λ alone: `l2`, `dropout`, `bit_flip` noise and `beta`. Two sweeps of this service: `anew` and `fixed`.

Fair to all arms: every training keeps the weights of its best validation epoch; nothing is stopped early by a scheduler, which would
favour the arms that learn fastest; both sweeps confirm on the same seeds, so differences are paired; every arm is judged on the same binary
images (validation, test), by IWAE-100 on 2,000 of them. Which λ is best is chosen on validation; the test split is read once, and its
intervals hold for all λ at once (Bonferroni).

By default on 5,000 training images; `--full` takes all 50,000 on a GPU. `--folder` keeps the sweeps: the same command goes on where it
stopped.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.catalogue import Catalogue
from infra.ray import cluster
from infra.ray.nodes import Need
from infra.storage import Home
from objectives.families._family import loaded
from objectives.families.vae import VAE
from search import Answer, resume, run
from search.choosing.arms import paired
from search.choosing.findings import Effect
from tests.published import results
from tests.published.results import Gate

if TYPE_CHECKING:
    from objectives.data._kinds import ImageSet

SOURCE = "Burda et al. 2016, appendix on overfitting"
FIXED = "tests.published.binarization:FixedVAE"
# Ranges around what can matter for a few thousand images, rather than a knob's whole range: there are few trials.
SEARCHED: Mapping[str, Mapping[str, float]] = {
    "l2": {"low": 1e-5, "high": 3e-3},
    "dropout": {"low": 0.05, "high": 0.5},
    "bit_flip": {"low": 0.02, "high": 0.3},
    "beta": {"low": 0.3, "high": 3.0},
}
SMALL = {"train_size": 5000, "epochs": 80, "lr": 3e-3, "trials": 20, "gpu": 0}
FULL = {"train_size": None, "epochs": 400, "lr": 1e-3, "trials": 40, "gpu": 1}
WORTH = 1.0  # nats; what a regularizer must win back at least to be worth the name


class FixedVAE(VAE):
    """A VAE that sees one binarization of every training image.

    `binarize: static` of the data set would draw other validation and test images than those that every VAE here is judged on; these stay.
    """

    def load_data(self) -> ImageSet:
        """Training images whose pixels are drawn once; redrawing a pixel that is 0 or 1 changes nothing."""
        return fixed(self.options_key(), self.settings.device)


@lru_cache(maxsize=1)
def fixed(options: str, device: str) -> ImageSet:
    """A data set with binary training images; `options` is JSON."""
    from objectives.draws import Fixed

    images = loaded(options, device)
    drawn = Fixed("published/binarization", images.train).uniform(images.train.shape) < images.train
    return replace(images, train=drawn.to(images.train.dtype))


def spec(objective: str, searched: Sequence[str], trials: int, data: str, size: Mapping[str, Any], seeds: int) -> dict[str, Any]:
    """A sweep over every λ alone; the off arm and the best of each λ are confirmed."""
    return {
        "objective": objective,
        "model": "vae_iwae",
        "dataset": {"name": "mnist", "root": data, "train_size": size["train_size"]},
        "search": {name: dict(SEARCHED[name]) for name in searched},
        "alone": True,
        "fixed": {"lr": size["lr"], "latent_dim": 50},
        "sampler": "qmc",
        "scheduler": "none",
        "score": "best_epoch",
        "budget": {"trials": trials, "epochs": size["epochs"]},
        "confirm": {"configs": 1 + len(searched), "seeds": seeds},
        "resources": {"cpu": 1, "gpu": size["gpu"]},
        "batch_size": 100,
    }


def answered(name: str, wanted: Mapping[str, Any], home: Home) -> Answer:
    """The answer of a sweep: of one that is there, or that goes on, or that is run now."""
    with Catalogue(home.catalogue_url) as catalogue:
        known = catalogue.has_sweep(name)
    print(f"binarization: the sweep {name} {'goes on' if known else 'begins'}", file=sys.stderr, flush=True)
    outcome = resume(name, home=home, tracking=False) if known else run(dict(wanted), name=name, home=home, tracking=False)
    if outcome.answer is None or outcome.answer.test is None or "error" in outcome.answer.test:
        raise SystemExit(f"the sweep {name} has no answer: {outcome.status} {outcome.problem}")
    print(f"binarization: {outcome.answer.sentence()} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)
    return outcome.answer


def gap(name: str, home: Home) -> float:
    """The generalization gap of the off arm, mean over seeds: −ELBO of validation less that of training images, in nats."""
    with Catalogue(home.catalogue_url) as catalogue:
        rows = [row for row in catalogue.members(name, phase="confirm") if row.arm == "off"]
    return statistics.fmean(row.metrics["generalization_gap_nats"] for row in rows)


def measure(data: str, folder: Path | None = None, full: bool = False, seeds: int = 5, workers: int = 2) -> list[Gate]:
    """The nats that fixed binarization loses, and those that the best of four λ wins back."""
    size = FULL if full else SMALL
    with (
        tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as kept,
        cluster.connect(workers=workers, need=Need(gpu=size["gpu"])),
    ):
        home = Home.open(Path(kept))
        # Only its off arm is asked for; a sweep needs a λ.
        anew = answered("anew", spec("vae", ["l2"], 4, data, size, seeds), home)
        fixed = answered("fixed", spec(FIXED, list(SEARCHED), size["trials"], data, size, seeds), home)
        gaps = {name: gap(name, home) for name in ("anew", "fixed")}
    return judged(anew, fixed, gaps, "all 50,000" if full else "5,000")


def judged(anew: Answer, fixed: Answer, gaps: Mapping[str, float], images: str) -> list[Gate]:
    """The gates; a table of all arms goes to the standard output."""
    assert anew.test is not None and fixed.test is not None
    lost = paired([a - b for a, b in zip(fixed.test["off"]["scores"], anew.test["off"]["scores"], strict=True)])
    won = {name: Effect(**effect) for name, effect in fixed.test["alone"].items()}
    arms = {one.name: "chosen" if one.arm == fixed.arm else one.arm for one in fixed.lambdas}
    values = {one.name: one.value for one in fixed.lambdas}
    rows = [("binarized anew", anew.test["off"], ""), ("fixed", fixed.test["off"], "")]
    for name, effect in won.items():
        said = f"{effect.mean:.2f} [{effect.low:.2f}, {effect.high:.2f}]"
        rows.append((f"fixed, {name} = {values[name]:.3g}", fixed.test[arms[name]], said))
    print("| training images | test NLL, k = 100 | won back, nats |\n| --- | --- | --- |")
    for what, found, said in rows:
        print(f"| {what} | {found['mean']:.2f} ± {found['se']:.2f} | {said} |")
    print(f"lost by fixed binarization: {lost.mean:.2f} [{lost.low:.2f}, {lost.high:.2f}] nats; generalization gaps: {gaps}", flush=True)
    best = next(one.name for one in fixed.lambdas if arms[one.name] == "chosen")
    parts = {"lost": asdict(lost), "won": {name: asdict(one) for name, one in won.items()}, "gaps_nats": gaps, "seeds": lost.seeds}
    title = f"VAE 784-200-200-50 on {images} images"
    by = f"{best} = {values[best]:.3g}"
    return [
        Gate(f"{title}: lost by fixed binarization", "nats", None, lost.mean, 0.0, SOURCE, parts),
        Gate(f"{title}: won back by {by}, lower end of the interval", "nats", None, won[best].low, WORTH, "ours"),
    ]


if __name__ == "__main__":
    options = results.parser(__doc__)
    options.add_argument("--folder", type=Path, help="where the sweeps are kept; without it they are not")
    options.add_argument("--full", action="store_true", help="all training images, on a GPU")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    results.main(options, measure)
