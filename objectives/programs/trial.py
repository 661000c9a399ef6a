"""What a user's function sees of a search: one trial, which is one training with one config and one seed.

Runs in the process of the member. It tells the worker of every report through a `Channel`, and waits for the word that it may go on.
"""

from __future__ import annotations

import difflib
import math
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from objectives.base import Config, ObjectiveError, Value
from objectives.checks.device import device_of
from objectives.programs.journal import tell, told
from objectives.programs.keeping import checkpoint_faults, read_checkpoint, save_picture, save_weights, write_checkpoint

STATE, FILES = "state.pt", "files"
WEIGHTS, PICTURE = "weights.safetensors", "picture.png"


BEYOND = (
    "it reported once more after its last epoch ({epochs}), so it was ended there, and what comes behind its loop (trial.finish) was not "
    "reached. Loop over trial.epochs(), and report once in each"
)


class Stop(BaseException):
    """The training ends here: the scheduler or the budget says so. It is no `Exception`, so that `except Exception` lets it pass."""


class UnknownNameError(ObjectiveError, AttributeError):
    """A trial has no such name. An `AttributeError`, so that `hasattr` and `getattr` with a default do what they always do."""


class Channel(Protocol):
    """The way to the worker."""

    def tell(self, what: Mapping[str, Any]) -> None:
        """Say something."""
        ...

    def may_go_on(self) -> bool:
        """Wait for the answer to a report. False: the training ends here."""
        ...


@dataclass(frozen=True)
class Request:
    """One training, as a worker asks for it.

    `folder` is where the member's files lie. `score_at` are configs at which the score of the trained weights is wanted too.
    """

    number: int
    config: Config
    seed: int
    epochs: int
    score: str
    folder: Path
    phase: str = "search"
    device: str = "cpu"
    threads: int = 1
    score_at: tuple[Config, ...] = ()

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Request:
        """The inverse of `plain`."""
        return cls(**{**plain, "folder": Path(plain["folder"]), "score_at": tuple(plain.get("score_at", ()))})

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "config": dict(self.config), "folder": str(self.folder), "score_at": [dict(one) for one in self.score_at]}


@dataclass
class _Progress:
    """How far a training has come."""

    reported: int = 0  # the epoch of the last report, in this process or in an earlier one
    loop: int | None = None  # the epoch that `epochs` is in, counted from 1
    here: int = 0  # the epoch of the last report in this process
    names: frozenset[str] = frozenset()
    saved: tuple[int, Any] | None = None  # a state that waits for the report of its epoch
    start: int = 0  # the epochs that a loaded checkpoint has behind it
    random: dict[str, Any] = field(default_factory=dict)
    saves_first: bool | None = None  # outside of `epochs`: whether a state is saved before the report that belongs to it


class Trial:
    """One training: its knobs as attributes, and the ways to report, to keep a checkpoint and to finish.

    Args:
        request: what is to be trained.
        channel: the way to the worker.
    """

    def __init__(self, request: Request, channel: Channel) -> None:
        self._request, self._channel = request, channel
        self._progress, self._lock = _Progress(), threading.Lock()
        self._read: set[str] = set()
        self.seed, self.phase, self.number = request.seed, request.phase, request.number
        self.folder = request.folder / FILES
        self.folder.mkdir(parents=True, exist_ok=True)
        self._progress.reported = max((epoch for epoch, _ in told(request.folder)), default=0)

    def __getattr__(self, name: str) -> Any:
        """The value of a knob."""
        config = self.__dict__["_request"].config if "_request" in self.__dict__ else {}
        if name not in config:
            own = [one for one in dir(type(self)) if not one.startswith("_")]
            near = difflib.get_close_matches(name, [*config, *own], n=1, cutoff=0.5)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise UnknownNameError(f"a trial has the knobs {', '.join(config)} and {', '.join(own)}; got {name!r}{hint}")
        self._read.add(name)
        return config[name]

    @property
    def config(self) -> dict[str, Value]:
        """All knobs with their values. Whoever asks for it is taken to read them all."""
        self._read |= set(self._request.config)
        return dict(self._request.config)

    @property
    def device(self) -> str:
        """torch's name of the device to train on. Raises ObjectiveError where torch does not find it here."""
        return device_of(self._request.device)

    @property
    def max_epochs(self) -> int:
        """How many epochs the training has in all, for schedules and for loops that are not written here."""
        return self._request.epochs

    def epochs(self) -> Iterator[int]:
        """The epochs that are left, counted from 0. After `load` has found a checkpoint they go on behind it."""
        progress = self._progress
        if progress.random:
            _set_random(progress.random)
        for epoch in range(progress.start, self._request.epochs):
            progress.loop = epoch + 1
            yield epoch
        progress.loop = None

    def report(self, **metrics: Any) -> None:
        """Say what the model is worth after an epoch: the score and whatever else deserves a curve. Call it once an epoch.

        Raises:
            ObjectiveError: the score is missing, a value is no number, or the names are others than before.
            Stop: the training ends here. Let it pass.
        """
        with self._lock:
            self._report({name: _number(name, value) for name, value in metrics.items()})

    def _report(self, metrics: dict[str, float]) -> None:
        progress, request = self._progress, self._request
        epoch = progress.loop if progress.loop is not None else progress.here + 1
        self._check(metrics, epoch)
        if epoch > request.epochs:
            self._channel.tell({"beyond": epoch})
            self._stop()
        progress.names, progress.here = frozenset(metrics), epoch
        if progress.saves_first is None:
            progress.saves_first = False
        if epoch > progress.reported:  # else it was told before the training was interrupted
            tell(request.folder, epoch, metrics)
            progress.reported = epoch
            self._keep(epoch)
            self._channel.tell({"report": metrics, "epoch": epoch, "read": sorted(self._read)})
            if not self._channel.may_go_on():
                self._stop()
        else:
            self._keep(epoch)

    def _check(self, metrics: Mapping[str, float], epoch: int) -> None:
        score, progress = self._request.score, self._progress
        if score not in metrics:
            raise ObjectiveError(f"report must hold the score {score!r}; got {', '.join(metrics) or 'nothing'}. Report it every time.")
        if progress.names and frozenset(metrics) != progress.names:
            raise ObjectiveError(
                f"report must have the same names every time, {', '.join(sorted(progress.names))}; got {', '.join(sorted(metrics))}."
            )
        if progress.loop is not None and epoch == progress.here:
            raise ObjectiveError(f"report must be called once an epoch; epoch {epoch - 1} of `trial.epochs()` called it twice.")

    def _stop(self) -> None:
        if threading.current_thread() is threading.main_thread():
            raise Stop
        self._channel.tell({"end": "stopped"})
        os._exit(0)  # an exception would end this thread only

    def save(self, state: Any) -> None:
        """Keep what the training needs to go on after a kill: tensors, numbers, strings, and containers of these.

        It is kept together with the report of the same epoch, whichever comes first, and with the state of the random number generators.

        Raises:
            ObjectiveError: it holds something else, which could not be loaded without executing code.
        """
        if faults := checkpoint_faults(state):
            raise ObjectiveError("\n".join(faults))
        progress = self._progress
        with self._lock:
            if progress.saves_first is None:
                progress.saves_first = True
            epoch = progress.loop if progress.loop is not None else progress.here + progress.saves_first
            progress.saved = (epoch, state)
            if progress.here >= epoch:
                self._keep(epoch)

    def _keep(self, epoch: int) -> None:
        """Write the checkpoint of an epoch that has been both saved and reported.

        That of the last epoch is not written: a training that is killed after it repeats this epoch, so that what comes behind the loop
        finds all that the loop leaves.
        """
        saved = self._progress.saved
        if saved is None or saved[0] > epoch or epoch >= self._request.epochs:
            return
        self._progress.saved = None
        write_checkpoint({"epoch": epoch, "state": saved[1], "random": _random()}, self._request.folder / STATE)

    def load(self) -> Any:
        """What `save` kept before the training was interrupted; None at first."""
        path = self._request.folder / STATE
        if not path.exists():
            return None
        kept = read_checkpoint(path)
        progress = self._progress
        progress.start = progress.here = int(kept["epoch"])
        progress.random = kept["random"]
        _set_random(progress.random)  # `epochs` does it again; a loop of one's own may do without it
        return kept["state"]

    def finish(
        self,
        *,
        weights: Mapping[str, Any] | None = None,
        picture: Any = None,
        score_at: Callable[[dict[str, Value]], Any] | None = None,
        **metrics: Any,
    ) -> None:
        """Say what the training has come to. All of it is optional; the training is over, also before its last epoch.

        Args:
            weights: tensors by name, such as a `state_dict`. They are kept of confirmed members.
            picture: images (n, c, h, w) or (n, h, w) in [0, 1], a PIL image, a matplotlib figure, or the path of a PNG.
            score_at: the score of the trained model as a function of a config. It proves that the score contains no λ.
            metrics: final numbers. `test_nll` for a score `val_nll` is the score on the test split; it is shown of chosen configs only.

        Raises:
            ObjectiveError: a value is not what it must be.
        """
        numbers = {name: _number(name, value) for name, value in metrics.items()}
        folder = self._request.folder
        if weights is not None:
            save_weights(weights, numbers, folder / WEIGHTS)
        if picture is not None:
            save_picture(picture, folder / PICTURE)
        asked = self._request.score_at if score_at is not None else ()
        moved = [_number("score_at", score_at(dict(one))) for one in asked] if score_at is not None else []
        self._channel.tell({"finish": numbers, "score_at": moved})


def _number(name: str, value: Any) -> float:
    """A metric as a number.

    Raises:
        ObjectiveError: it is none.
    """
    try:
        if isinstance(value, str):
            raise TypeError
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        raise ObjectiveError(f"{name} must be a number; got {value!r:.200}. Report one number for each name.") from None


def _random() -> dict[str, Any]:
    """The states of the generators that are loaded, as data that loads without executing code."""
    found: dict[str, Any] = {"random": random.getstate()}
    if "numpy" in sys.modules:
        kind, keys, at, has, cached = sys.modules["numpy"].random.get_state()
        found["numpy"] = (kind, [int(key) for key in keys], int(at), int(has), float(cached))
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        found["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["cuda"] = torch.cuda.get_rng_state_all()
    return found


def _set_random(state: Mapping[str, Any]) -> None:
    version, words, gauss = state["random"]
    random.setstate((version, tuple(words), gauss))
    if "numpy" in state:
        import numpy as np

        kind, keys, at, has, cached = state["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), at, has, cached))
    if "torch" in state:
        import torch

        torch.set_rng_state(state["torch"])
        if "cuda" in state:
            torch.cuda.set_rng_state_all(state["cuda"])


class Alone:
    """The channel of a training without a search around it: it prints what is reported."""

    def __init__(self, score: str) -> None:
        self._score = score

    def tell(self, what: Mapping[str, Any]) -> None:
        """Print a report or the final numbers."""
        if "report" in what:
            told = "  ".join(f"{name} {value:.6g}" for name, value in what["report"].items())
            print(f"epoch {what['epoch']}  {told}", flush=True)
            if not math.isfinite(what["report"][self._score]):
                print(f"{self._score} is not finite: in a search the training would end here as diverged", flush=True)
        elif "beyond" in what:
            print(BEYOND.format(epochs=int(what["beyond"]) - 1), flush=True)
        elif what.get("finish"):
            print("  ".join(f"{name} {value:.6g}" for name, value in what["finish"].items()), flush=True)

    def may_go_on(self) -> bool:
        """Always."""
        return True
