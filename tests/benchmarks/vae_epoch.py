"""One epoch of the 784-400-20 VAE on as many images as MNIST has, batch 128, one thread: ours, a minimal PyTorch loop, pythae's trainer.

All draw one latent sample for every image and step Adam at 1e-3; ours and the loop binarize afresh, pythae once. Ours and the loop
alternate, so that a busy machine slows both; glibc's allocator is set for all three as a worker of a sweep sets it. pythae is measured
where it is installed and is not a dependency: `pip install --no-deps pythae`.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from infra.machine import return_memory
from objectives.base import Member, Settings
from objectives.data._kinds import ImageSet
from objectives.registry import load
from tests.benchmarks import results
from tests.benchmarks.results import Row

PIXELS, HIDDEN, LATENT, BATCH, LR = 784, 400, 20, 128, 1e-3
OURS = "an epoch of the VAE against a minimal PyTorch loop"
PYTHAE = "an epoch of pythae's trainer against ours"


def measure(images: int = 60_000, rounds: int = 5) -> list[Row]:
    """Our epoch over the loop's, and pythae's over ours (not a promise: the target is 0)."""
    torch.set_num_threads(1)
    return_memory()
    data = torch.rand(images, PIXELS, generator=torch.Generator().manual_seed(0))
    epochs = {"ours": ours(data), "loop": minimal(data)}
    took: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(rounds + 1):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            epoch()
            took[name].append(time.perf_counter() - started)
    ratio = statistics.median(a / b for a, b in list(zip(took["ours"], took["loop"], strict=True))[1:])
    seconds = {name: statistics.median(values[1:]) for name, values in took.items()}
    rows = [Row(OURS, ratio, "×", 1.05, parts=seconds)]
    if importlib.util.find_spec("pythae") is None:
        return [*rows, results.skip(PYTHAE, "×", 0, "pythae is not installed")]
    theirs = pythae(data)
    return [*rows, Row(PYTHAE, theirs / seconds["ours"], "×", 0, at_least=True, parts={"pythae": theirs})]


def ours(data: Tensor) -> Callable[[], Any]:
    """An epoch of `TrainingRun`, without evaluation."""

    @cache
    def images() -> ImageSet:
        shown = data.view(-1, 1, 28, 28)
        return ImageSet(train=shown, val=shown[:256], test=shown[:256], shape=(1, 28, 28), record={"name": "random"})

    kind: Any = load("vae")
    own = type("Measured", (kind,), {"load_data": lambda _: images()})
    run = own(Settings({"name": "digits"}, 1000, "mlp400", batch_size=BATCH)).start([Member(0, {"lr": LR, "latent_dim": LATENT}, 0)])

    def epoch() -> None:
        run.crew.epoch += 1
        run._train_epoch()

    return epoch


def minimal(data: Tensor) -> Callable[[], Any]:
    """What one would write by hand."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT))
    decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=LR)

    def epoch() -> None:
        order = torch.randperm(len(data))
        total = torch.zeros(())
        for start in range(0, len(data) - BATCH + 1, BATCH):
            gray = data[order[start : start + BATCH]]
            x = (torch.rand_like(gray) < gray).float()
            mean, log_variance = encoder(x).chunk(2, -1)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            reconstruction = binary_cross_entropy_with_logits(decoder(z), x, reduction="sum") / BATCH
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / BATCH
            loss = reconstruction + kl
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.detach()

    return epoch


def pythae(data: Tensor) -> float:
    """Seconds of an epoch by pythae's own trainer: its default VAE is 784-512-z, so the network is given."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT))

        def forward(self, x: Tensor) -> Any:
            mean, log_variance = self.body(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS), nn.Sigmoid())

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.body(z).view(-1, 1, 28, 28))

    model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce"), Encoder(), Decoder())
    binary = (torch.rand_like(data) < data).float().view(-1, 1, 28, 28)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (1, 2):  # the difference is an epoch without the start
            config = BaseTrainerConfig(
                output_dir=folder, num_epochs=epochs, learning_rate=LR, per_device_train_batch_size=BATCH, optimizer_cls="Adam"
            )
            from pythae.data.datasets import BaseDataset

            trainer = BaseTrainer(model, BaseDataset(binary, torch.zeros(len(binary))), training_config=config)
            started = time.perf_counter()
            trainer.train()
            times.append(time.perf_counter() - started)
    return times[1] - times[0]


if __name__ == "__main__":
    results.main(__doc__, measure, images=60_000, rounds=5)
