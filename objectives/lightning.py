"""A Lightning training as an objective: a callback that reports, stops and keeps checkpoints. It needs the extra `lightning`.

report = Report(trial)
trainer = lightning.Trainer(max_epochs=trial.max_epochs, default_root_dir=trial.folder, callbacks=[report])
trainer.fit(model, train, val, ckpt_path=report.checkpoint)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from objectives.base import ObjectiveError
from objectives.programs.trial import Trial

try:
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        from pytorch_lightning.callbacks import Callback  # the same library under its older name
    else:
        from lightning.pytorch.callbacks import Callback
except ImportError as error:
    rule = "objectives.lightning needs the library lightning, which is not installed"
    raise ObjectiveError(f"{rule}. Install the extra: pip install 'lagrange-search[lightning]'.") from error


class Report(Callback):  # type: ignore[misc]  # lightning is untyped to mypy here
    """Reports the validation metrics after each validation epoch, and ends the training where the trial says so.

    An epoch of the trial is one validation; the sanity check is none. When all epochs are reported, `fit` returns. Where the search ends
    the training earlier, `trial.report` raises `Stop`, which Lightning lets out after it has cleaned up.

    After every training epoch Lightning's own checkpoint is kept in the trial's folder. A training that was killed goes on from it, with
    the random numbers that it would have had, where `fit` gets `ckpt_path=report.checkpoint`.

    Args:
        trial: what the user's function got.
        metrics: the names to report. Empty: all that only the validation logs.
    """

    def __init__(self, trial: Trial, metrics: Sequence[str] = ()) -> None:
        self._trial, self._metrics = trial, tuple(metrics)
        self._trained = frozenset[str]()  # what the training had logged when the first validation began
        self._reports = 0
        self._written = ""  # a checkpoint that is not the trial's yet
        self._loaded = self._restored = False

    @property
    def checkpoint(self) -> str | None:
        """The path of the checkpoint to go on from; None at first."""
        kept = self._trial.load()
        if kept is None:
            return None
        self._loaded, self._reports = True, int(kept["reports"])
        return str(self._trial.folder / kept["checkpoint"])

    # Lightning's hooks, in the order in which it calls them ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Something, so that `load_state_dict` is called where Lightning has loaded the checkpoint."""
        return {"reports": self._reports}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """The checkpoint is loaded."""
        self._restored = True

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Go on with the random numbers behind the checkpoint.

        Raises:
            ObjectiveError: `fit` was not given the checkpoint that was asked for; or several processes train one member.
        """
        if trainer.world_size > 1:
            raise ObjectiveError(f"Report must be used with one process for each member; this trainer has {trainer.world_size}.")
        if self._loaded and not self._restored:
            raise ObjectiveError("fit must be given the checkpoint: trainer.fit(…, ckpt_path=report.checkpoint); it began anew.")
        if self._loaded:
            self._trial.load()
            trainer.should_stop = self._reports >= self._trial.max_epochs

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Keep the checkpoint of the epoch before, with the random numbers as they are now, after all hooks of that epoch."""
        self._keep()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what the training has logged: that is not reported."""
        if not self._metrics:
            self._trained = frozenset(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Report.

        Raises:
            ObjectiveError: the score is not among the metrics, or a metric is no number.
            Stop: the training ends here.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._reports += 1
        trainer.should_stop = trainer.should_stop or self._reports >= self._trial.max_epochs
        logged = trainer.callback_metrics
        self._metrics = self._metrics or tuple(name for name in logged if name not in self._trained)
        self._trial.report(**{name: logged[name] for name in self._metrics if name in logged})

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write a checkpoint beside the last one. Lightning goes on from here exactly, and from no other place."""
        if self._reports:
            self._written = f"epoch-{trainer.current_epoch}.ckpt"
            trainer.save_checkpoint(self._trial.folder / self._written)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the last checkpoint.

        Raises:
            ObjectiveError: there was no validation.
        """
        if not self._reports:
            raise ObjectiveError("Report needs validation epochs; there were none. Give fit validation data.")
        self._keep()

    def _keep(self) -> None:
        if not self._written:
            return
        self._trial.save({"checkpoint": self._written, "reports": self._reports})
        for old in self._trial.folder.glob("epoch-*.ckpt"):
            if old.name != self._written:
                old.unlink()
        self._written = ""
