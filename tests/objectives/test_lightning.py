"""The callback for Lightning: what it reports, how a training ends, and that a killed one goes on as if nothing had happened."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives.base import Member, ObjectiveError, Settings
from objectives.programs.trial import Request, Stop, Trial
from objectives.registry import load

pytestmark = [pytest.mark.trains, pytest.mark.turns(4)]

there = importlib.util.find_spec("lightning") is not None
installed = pytest.mark.skipif(not there, reason="lightning is not installed: pip install .[lightning]")
EPOCHS = 4
DENOISE = str(Path(__file__).parents[2] / "docs" / "examples" / "denoise.py")


def test_without_lightning_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning", "lightning.pytorch", "lightning.pytorch.callbacks", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "objectives.lightning", raising=False)
    with pytest.raises(ObjectiveError, match=r"lightning, which is not installed.*lagrange-search\[lightning\]"):
        importlib.import_module("objectives.lightning")


class Heard:
    """A channel that says stop after so many reports."""

    def __init__(self, most: int = 100) -> None:
        self.reports: list[Mapping[str, float]] = []
        self._most = most

    def tell(self, what: Mapping[str, Any]) -> None:
        if "report" in what:
            self.reports.append(what["report"])

    def may_go_on(self) -> bool:
        return len(self.reports) < self._most


def trial(folder: Path, channel: Heard, seed: int = 1) -> Trial:
    return Trial(Request(0, {"lr": 1e-2}, seed, EPOCHS, "val_loss", folder), channel)


def fit(trial: Trial, *, resumes: bool = True, validates: bool = True, **options: Any) -> Any:
    """A small training with random numbers of every kind: order, dropout, noise in the loss, and in a hook of the module. The trainer."""
    import lightning
    from torch.utils.data import DataLoader, TensorDataset

    from objectives.lightning import Report

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 4))

        def training_step(self, batch: Any, _: int) -> Any:
            loss = (self.net(batch[0] + 0.1 * torch.randn_like(batch[0])) - batch[0]).square().mean()
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log_dict({"val_loss": (self.net(batch[0]) - batch[0]).square().mean(), "val_size": float(len(batch[0]))})

        def on_train_epoch_end(self) -> None:
            torch.rand(3)

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), trial.lr)
            return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)]

    torch.manual_seed(trial.seed)
    rows = TensorDataset(torch.randn(32, 4, generator=torch.Generator().manual_seed(0)))
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "logger": False}
    report = Report(trial)
    where = report.checkpoint if resumes else None
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[report], **{**quiet, "max_epochs": trial.max_epochs, **options})
    trainer.fit(Module(), DataLoader(rows, 8, shuffle=True), DataLoader(rows, 32) if validates else None, ckpt_path=where)
    return trainer


pytest_warnings = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@installed
@pytest_warnings
def test_every_validation_is_one_report_of_what_only_the_validation_logs(tmp_path: Path) -> None:
    channel = Heard()
    fit(trial(tmp_path, channel))
    assert [sorted(report) for report in channel.reports] == [["val_loss", "val_size"]] * EPOCHS  # the sanity check is no report
    assert {report["val_size"] for report in channel.reports} == {32.0}


@installed
@pytest_warnings
def test_the_trials_epochs_end_a_training_that_has_none_of_its_own(tmp_path: Path) -> None:
    channel = Heard()
    trainer = fit(trial(tmp_path, channel), max_epochs=1000)
    assert (len(channel.reports), trainer.current_epoch) == (EPOCHS, EPOCHS)


@installed
@pytest_warnings
def test_a_search_that_says_stop_ends_the_training_there(tmp_path: Path) -> None:
    channel = Heard(most=2)
    with pytest.raises(Stop):
        fit(trial(tmp_path, channel))
    assert len(channel.reports) == 2


@installed
@pytest_warnings
@pytest.mark.parametrize("most", [1, 2, 3, EPOCHS])
def test_what_is_interrupted_goes_on_as_if_nothing_had_happened(tmp_path: Path, most: int) -> None:
    whole, first, rest = Heard(), Heard(most), Heard()
    fit(trial(tmp_path / "whole", whole))
    with pytest.raises(Stop):
        fit(trial(tmp_path / "part", first))
    fit(trial(tmp_path / "part", rest))
    assert first.reports + rest.reports == whole.reports
    assert len(list((tmp_path / "part" / "files").glob("*.ckpt"))) <= 2


@installed
@pytest_warnings
def test_a_checkpoint_that_fit_is_not_given_is_missed(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        fit(trial(tmp_path, Heard(most=3)))
    again = trial(tmp_path, Heard())
    again.load()
    with pytest.raises(ObjectiveError, match=r"ckpt_path=report\.checkpoint"):
        fit_without(again)


def fit_without(trial: Trial) -> None:
    """Asks for the checkpoint, and does not hand it over."""
    import objectives.lightning as module

    whole = module.Report.checkpoint
    try:
        module.Report.checkpoint = property(lambda self: whole.fget(self) and None)
        fit(trial)
    finally:
        module.Report.checkpoint = whole


@installed
@pytest_warnings
def test_a_training_without_validation_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match="validation"):
        fit(trial(tmp_path, Heard()), validates=False)


@installed
def test_the_example_is_killed_and_goes_on() -> None:
    """As a member: a process that is killed between two reports, and another one in its folder."""
    objective = load(DENOISE)(Settings(dataset={"name": "none"}, epochs=EPOCHS, threads=1))
    member = Member(0, {"noise": 0.3, "lr": 1e-2}, 5)
    undisturbed = objective.start([member])
    whole = [undisturbed.step()[0].metrics for _ in range(EPOCHS)]
    undisturbed.close()
    killed = objective.start([member])
    begun = [killed.step()[0].metrics for _ in range(2)]
    process = killed._ones[0].process
    process.kill()
    rest = [killed.step()[0].metrics for _ in range(EPOCHS - 2)]
    killed.close()
    assert begun + rest == whole
