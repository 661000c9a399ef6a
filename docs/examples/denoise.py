"""A Lightning autoencoder that takes noise out of digits: how much noise should it see in training?

lagrange sweep denoise.py --name denoise        python denoise.py --noise 0.3

It needs the extra: pip install 'lagrange-search[lightning]'. The lines that Lagrange asks for are marked with #.
"""

import warnings

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from objectives import knob, objective  #
from objectives.lightning import Report  #

TEST_NOISE = 0.4
warnings.filterwarnings("ignore", message=".*num_workers.*|.*log_every_n_steps.*")


class Denoiser(lightning.LightningModule):
    """64 pixels to 16 codes and back."""

    def __init__(self, noise, lr):
        super().__init__()
        self.noise, self.lr = noise, lr
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16), nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64))

    def training_step(self, batch, _):
        """Take the noise out that is put in."""
        (x,) = batch
        loss = (self.net(x + self.noise * torch.randn_like(x)) - x).square().sum(1).mean() / 2
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        """The noise of validation is the same for every model."""
        x, noisy = batch
        self.log("val_sse", (self.net(noisy) - x).square().sum(1).mean() / 2)

    def test_step(self, batch, _):
        """As in validation."""
        x, noisy = batch
        self.log("test_sse", (self.net(noisy) - x).square().sum(1).mean() / 2)

    def configure_optimizers(self):
        """Adam on a cosine."""
        optimizer = torch.optim.Adam(self.parameters(), self.lr)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_epochs)]


def loaders():
    """500 digits to learn from, 400 for validation, the rest for the test."""
    draw = torch.Generator().manual_seed(0)
    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=draw)]
    noisy = x + TEST_NOISE * torch.randn(x.shape, generator=draw)
    train, val, test = TensorDataset(x[:500]), TensorDataset(x[500:900], noisy[500:900]), TensorDataset(x[900:], noisy[900:])
    return DataLoader(train, 32, shuffle=True), DataLoader(val, 400), DataLoader(test, 1000)


@objective(  #
    score="val_sse",
    better="lower",
    epochs=10,
    noise=knob(0.02, 2.0, log=True, off=0.0, unit="standard deviation of the noise on pixels in [0, 1]"),
    lr=knob(1e-3, 1e-2, log=True),
)
def train(trial):
    """One training."""
    lightning.seed_everything(trial.seed, verbose=False)
    model, (train, val, test) = Denoiser(trial.noise, trial.lr), loaders()
    report = Report(trial)  #
    trainer = lightning.Trainer(
        max_epochs=trial.max_epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[report],  #
    )
    trainer.fit(model, train, val, ckpt_path=report.checkpoint)  #
    test_sse = trainer.test(model, test, verbose=False)[0]["test_sse"]
    trial.finish(test_sse=test_sse, weights=model.state_dict())  #
