"""B7: how many of the nats that fixed binarization loses does a searched regularizer win back?

Burda et al. 2016 report that a VAE trained on one fixed binarization of MNIST overfits (a gap of 3.5 nats between training and test, at
most 0.75 where every batch is binarized anew) and ends about 2 nats worse. Here the same network is trained both ways, and on the fixed
images with each of four λ, searched one at a time by sweeps of this service: `l2`, `dropout`, `bit_flip` noise and `beta`.

Fair to all arms: every training keeps the weights of its best validation epoch; nothing is stopped early by a scheduler, which would
favour the arms that learn fastest; all sweeps confirm on the same seeds, so differences are paired; every arm is judged on the same binary
images (validation, test), by IWAE-100 on 2,000 of them. Which λ is best is chosen on validation; the test split is read once, and its
intervals hold for all λ at once (Bonferroni).

By default on 5,000 training images; `--full` takes all 50,000 on a GPU. `--folder` keeps the sweeps: the same command goes on where it
stopped.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import cluster
from infra.catalogue import Catalogue
from infra.storage import Home
from objectives._family import loaded
from objectives.vae import VAE
from search import Answer, resume, run
from search.selection import paired
from tests.published import results
from tests.published.results import Gate

if TYPE_CHECKING:
    from torch import nn

    from objectives.data import ImageSet
    from objectives.models import Shape

SOURCE = "Burda et al. 2016, appendix on overfitting"
FIXED = "tests.published.binarization:FixedVAE"
# Ranges around what can matter for a few thousand images, rather than a knob's whole range: there are few trials.
SEARCHED: Mapping[str, Mapping[str, float]] = {
    "l2": {"low": 1e-4, "high": 1e-1},
    "dropout": {"low": 0.05, "high": 0.5},
    "bit_flip": {"low": 0.02, "high": 0.3},
    "beta": {"low": 0.3, "high": 3.0},
}
SMALL = {"train_size": 5000, "epochs": 80, "lr": 3e-3, "trials": 6, "gpu": 0}
FULL = {"train_size": None, "epochs": 400, "lr": 1e-3, "trials": 12, "gpu": 1}
WORTH = 1.0  # nats; what a regularizer must win back at least to be worth the name


def iwae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """The VAE of the importance-weighted autoencoder: D - 200 - 200 - z - 200 - 200 - D with tanh, Glorot's weights, biases of 0."""
    from torch import nn, tanh

    from objectives.models._layers import Chain

    size = math.prod(shape)
    encoder, decoder = Chain([size, 200, 200, 2 * latent_dim], tanh), Chain([latent_dim, 200, 200, size], tanh)
    for layer in (*encoder.layers, *decoder.layers):
        assert isinstance(layer, nn.Linear)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return {"encoder": encoder, "decoder": decoder}


class FixedVAE(VAE):
    """A VAE that sees one binarization of every training image. It is judged on the binary images that every VAE is judged on."""

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


def spec(objective: str, searched: str, data: str, size: Mapping[str, Any], seeds: int) -> dict[str, Any]:
    """A sweep over one λ."""
    return {
        "objective": objective,
        "model": "tests.published.binarization:iwae",
        "dataset": {"name": "mnist", "root": data, "train_size": size["train_size"]},
        "search": {searched: dict(SEARCHED[searched])},
        "fixed": {"lr": size["lr"], "latent_dim": 50},
        "sampler": "grid",
        "scheduler": "none",
        "score": "best_epoch",
        "budget": {"trials": size["trials"], "epochs": size["epochs"]},
        "confirm": {"configs": 2, "seeds": seeds},
        "resources": {"cpu": 1, "gpu": size["gpu"]},
        "batch_size": 100,
    }


def answered(name: str, wanted: Mapping[str, Any], home: Home) -> Answer:
    """The answer of a sweep: of one that is there, or that goes on, or that is run now."""
    with Catalogue(home.catalogue_url) as catalogue:
        known = catalogue.has_sweep(name)
    print(f"binarization: {name} {'goes on' if known else 'begins'}", file=sys.stderr, flush=True)
    outcome = resume(name, home=home, tracking=False) if known else run(dict(wanted), name=name, home=home, tracking=False)
    if outcome.answer is None or outcome.answer.test is None or "error" in outcome.answer.test:
        raise SystemExit(f"the sweep {name} has no answer: {outcome.status} {outcome.problem}")
    said = outcome.answer.sentence()
    print(f"binarization: {name}: {said} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)
    return outcome.answer


def on_test(answer: Answer, arm: str) -> list[float]:
    """The test NLL of an arm by seed, in the order of the seeds, which are the same in all sweeps."""
    assert answer.test is not None
    found: list[float] = answer.test[arm]["scores"]
    return found


def gap(name: str, home: Home) -> float:
    """The generalization gap of the off arm, mean over seeds: −ELBO of validation less that of training images, in nats."""
    with Catalogue(home.catalogue_url) as catalogue:
        rows = [row for row in catalogue.members(name, phase="confirm") if row.arm == "off"]
    return statistics.fmean(row.metrics["generalization_gap_nats"] for row in rows)


def measure(data: str, folder: Path | None = None, full: bool = False, seeds: int = 5, workers: int = 2) -> list[Gate]:
    """The nats that fixed binarization loses, and the share of them that the best of four λ wins back."""
    size = FULL if full else SMALL
    with (
        tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as kept,
        cluster.connect(workers=workers, gpu=size["gpu"]),
    ):
        home = Home.open(Path(kept))
        dynamic = answered("dynamic-l2", spec("vae", "l2", data, size, seeds), home)
        answers = {name: answered(f"fixed-{name}", spec(FIXED, name, data, size, seeds), home) for name in SEARCHED}
        gaps = {"fixed": gap("fixed-l2", home), "dynamic": gap("dynamic-l2", home)}
    return judged(dynamic, answers, gaps, "all 50,000" if full else "5,000")


def judged(dynamic: Answer, answers: Mapping[str, Answer], gaps: Mapping[str, float], images: str) -> list[Gate]:
    """The gates; a table of all arms goes to the standard output."""
    off = on_test(answers["l2"], "off")
    strange = [name for name, answer in answers.items() if on_test(answer, "off") != off]
    if strange:
        raise SystemExit(f"the off arms of all sweeps must be the same trainings; that of {strange[0]} differs")
    lost = paired(_less(off, on_test(dynamic, "off")))
    won = {name: paired(_less(off, on_test(answer, "chosen")), len(answers)) for name, answer in answers.items()}
    best = max(answers, key=lambda name: answers[name].effect.mean)
    value = answers[best].lambdas[0].value
    rows = [("every batch anew", on_test(dynamic, "off"), ""), ("fixed", off, "")]
    for name, answer in answers.items():
        said = f"{won[name].mean:.2f} [{won[name].low:.2f}, {won[name].high:.2f}]"
        rows.append((f"fixed, {name} = {answer.lambdas[0].value:.3g}", on_test(answer, "chosen"), said))
    print("| training images | test NLL, k = 100 | won back, nats |\n| --- | --- | --- |")
    for what, scores, said in rows:
        print(f"| {what} | {statistics.fmean(scores):.2f} ± {statistics.stdev(scores) / len(scores) ** 0.5:.2f} | {said} |")
    parts = {"lost": asdict(lost), "won": {name: asdict(one) for name, one in won.items()}, "gaps_nats": gaps, "seeds": len(off)}
    title = f"VAE 784-200-200-50 on {images} images"
    return [
        Gate(f"{title}: lost by fixed binarization", "nats", None, lost.mean, 0.0, SOURCE, parts),
        Gate(f"{title}: won back by {best} = {value:.3g}, lower end of the interval", "nats", None, won[best].low, WORTH, "ours"),
    ]


def _less(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]


if __name__ == "__main__":
    options = results.parser(__doc__)
    options.add_argument("--folder", type=Path, help="where the sweeps are kept; without it they are not")
    options.add_argument("--full", action="store_true", help="all training images, on a GPU")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    results.main(options, measure)
