"""B3: pythae's reproduction of a VAE 784-400-40 on fixed binary MNIST: test NLL 89.78 (200 importance samples), reference 89.9.

Adam at 1e-4, batch 100, 500 epochs, the learning rate × 10^(−1/5) after epochs 200 and 350, the weights of the best validation epoch.
pythae reads the binarization of Larochelle & Murray; here every pixel is drawn once, with its gray value as probability and a fixed seed.
Hours on one thread: a checkpoint is written every few epochs, and the same command goes on from it. `--minutes` ends it early: the gate is
then `unfinished` and says what was reached.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from infra.machine import return_memory
from objectives import data
from objectives.base import Member, Report, Settings
from objectives.data import _kinds
from objectives.data._kinds import ImageSet
from objectives.draws import Draws, Fixed
from objectives.families._importance import posterior
from objectives.families.vae import VAE
from objectives.metrics import iwae
from objectives.terms import Net
from tests.published import results
from tests.published.results import Gate

SOURCE = "pythae, reproducibility table; reference: Rezende & Mohamed 2015"
PUBLISHED, TOLERANCE = 89.78, 0.5
EPOCHS, SAMPLES = 500, 200
DROPS = (200, 350)  # epochs after which the learning rate is lowered
KEEP_EVERY = 5  # epochs between checkpoints
CONFIG = {"lr": 1e-4, "latent_dim": 40}


@lru_cache(maxsize=1)
def binary(root: str) -> ImageSet:
    """MNIST, every pixel drawn once."""
    found = data.load({"name": "mnist", "root": root})
    splits: dict[str, Tensor] = {name: getattr(found, name) for name in _kinds.SPLITS}
    drawn = {name: (Fixed(f"binary/{name}", x).uniform(x.shape) < x).to(x.dtype) for name, x in splits.items()}
    return replace(found, **drawn)


class BinaryVAE(VAE):
    """A VAE on images that are binary already, with a learning rate that falls and a test of 200 samples on every test image."""

    factor = 1.0

    def load_data(self) -> ImageSet:
        """Binary images."""
        return binary(str(self.settings.dataset["root"]))

    def rate(self, player: str, columns: dict[str, Tensor | float]) -> Tensor | float:
        """The learning rate of this epoch."""
        return columns["lr"] * self.factor

    def evaluate(self, net: Net, images: ImageSet) -> dict[str, Tensor | float]:
        """−ELBO on all validation images, by which the epoch is picked."""
        nats, rate, _ = self._bound(net, images.val, "val")
        return {"val_neg_elbo_nats": (nats + rate).mean()}

    def test(self, net: Net, images: ImageSet) -> dict[str, float]:
        """−log p(x) of all test images."""
        draws = Fixed("published/iwae", images.test)
        log_w = torch.cat([self._weigh(net, part.flatten(1), draws) for part in torch.split(images.test, 50)])
        return iwae.estimate(log_w).as_metrics("test_nll_nats")

    def _observed(self, x: Tensor, draws: Draws) -> Tensor:
        return x

    def _weigh(self, net: Net, x: Tensor, draws: Draws) -> Tensor:
        """log p(x, z) − log q(z|x) for 200 samples of z (n, k); the constants ½ log 2π cancel."""
        mean, log_variance = (value[:, None] for value in posterior(net, x))  # (n, 1, z)
        noise = draws.normal((len(x), SAMPLES, mean.shape[-1]))
        z = mean + (0.5 * log_variance).exp() * noise
        log_ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(-1)
        return log_ratio - self._neg_log_likelihood(net("decoder", z), x[:, None])


def measure(data: str, folder: Path | None = None, minutes: float = math.inf, epochs: int = EPOCHS, seed: int = 0) -> list[Gate]:
    """The test NLL of the best validation epoch, after all epochs or as many as the time allows."""
    return_memory()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(folder or scratch) / "static_vae.checkpoint"
        objective = BinaryVAE(Settings({"name": "mnist", "root": data}, epochs, "mlp400", score="best_epoch", batch_size=100))
        run = objective.start([Member(0, CONFIG, seed)])
        if kept.exists():
            run.restore(kept)
            print(f"static_vae: goes on after epoch {run.epoch}", file=sys.stderr, flush=True)
        rungs = list(run.living[0].rungs) if run.living else []
        while run.living and time.monotonic() - started < 60 * minutes:
            objective.factor = 10 ** (-0.2 * sum(run.epoch >= drop for drop in DROPS))
            report = run.step()[0]
            rungs.append(report.rung_score)
            _say(report, rungs, started)
            if run.epoch % KEEP_EVERY == 0 or report.state is not None:
                run.save(kept)
        run.save(kept)
        weights = Path(scratch) / "weights.safetensors"
        run.save_weights(0, weights)
        found = objective.read_test(CONFIG, weights)
    unfinished = "" if run.epoch >= epochs == EPOCHS else f"{run.epoch} of {EPOCHS} epochs"
    parts = {"epochs": run.epoch, "standard_error_over_images": found["test_nll_nats_se"], "hours": (time.monotonic() - started) / 3600}
    what = f"VAE 784-400-40 on fixed binary MNIST, test NLL, k = {SAMPLES}"
    return [Gate(what, "nats", PUBLISHED, found["test_nll_nats"], TOLERANCE, SOURCE, parts, unfinished)]


def _say(report: Report, rungs: list[float], started: float) -> None:
    if report.epoch % KEEP_EVERY == 0 or report.epoch < KEEP_EVERY:
        best = f"best {min(rungs):.3f}"
        passed = f"{time.monotonic() - started:.0f} s"
        print(f"static_vae: epoch {report.epoch}, validation −ELBO {report.rung_score:.3f}, {best}, {passed}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    options = results.parser(__doc__)
    options.add_argument("--folder", type=Path, help="where the checkpoint is kept; without it, an interrupted run is lost")
    options.add_argument("--minutes", type=float, default=math.inf, help="stop after so many minutes and test what is there")
    options.add_argument("--epochs", type=int, default=EPOCHS, help="fewer than 500 only to try the script")
    results.main(options, measure)
