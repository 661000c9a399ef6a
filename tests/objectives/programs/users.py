"""A user's training, as it is: a quadratic in log β with noise that the seed shares, in pure Python; and what can go wrong with one."""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from objectives import knob, objective


@objective(
    score="val_loss",
    epochs=4,
    metrics={"size": "lower"},
    beta=knob(0.01, 100, log=True, off=1.0),
    lr=knob(1e-4, 1e-1, log=True, default=0.01),
)
def train(trial: Any) -> None:
    """β* = e: the loss is ½(log β − 1)² + (log lr/0.01)²/50 + what the seed gives + an excess that halves in every epoch."""
    draws = random.Random(trial.seed)
    shift, own = draws.gauss(0, 0.1), random.Random(f"{trial.seed} {trial.beta!r}").gauss(0, 0.02)
    state = trial.load() or {"epoch": 0}
    for epoch in trial.epochs():
        assert epoch == state["epoch"], "it goes on where the checkpoint left off"
        excess = 2.0 * 0.5 ** (epoch + 1)
        loss = 0.5 * (math.log(trial.beta) - 1) ** 2 + 0.02 * math.log(trial.lr / 0.01) ** 2 + shift + own + excess
        state = {"epoch": epoch + 1}
        trial.save(state)
        trial.report(val_loss=loss, size=trial.beta)
        print(f"did epoch {epoch}")
    trial.finish(test_loss=loss + 0.01, score_at=lambda config: loss)


@objective(score="val", better="higher", epochs=3, width=knob(0.01, 100, log=True), lr=knob(1e-4, 1e-1, log=True))
def unjudged(trial: Any) -> None:
    """A score of which more is better, best at a width of e and an lr of 0.01; no knob has an off value."""
    draws = random.Random(trial.seed)
    for epoch in trial.epochs():
        loss = 0.05 * (math.log(trial.width) - 1) ** 2 + 0.02 * math.log(trial.lr / 0.01) ** 2 + draws.gauss(0, 0.01)
        trial.report(val=0.9 - loss - 0.1 * 0.5**epoch)


@objective(score="val", epochs=2, metrics={"size": "lower"}, width=knob(0.01, 100, log=True))
def weighed(trial: Any) -> None:
    """Two metrics that want different widths, and no off value."""
    draws = random.Random(trial.seed)
    for _ in trial.epochs():
        trial.report(val=(math.log(trial.width) - 1) ** 2 + draws.gauss(0, 0.01), size=trial.width + draws.gauss(0, 0.01))


@objective(score="accuracy", better="higher", between=(0, 1), epochs=1, drop=knob(0.05, 0.9, off=0.0))
def nearly_all(trial: Any) -> None:
    """An accuracy that is nearly 1, and not more."""
    draws = random.Random(f"{trial.seed} {trial.drop}")
    trial.report(accuracy=min(1.0, 0.99 - 0.02 * (trial.drop - 0.4) ** 2 + draws.gauss(0, 0.01)))


@objective(score="accuracy", better="higher", between=(0, 1), epochs=3, a=knob(0, 1, off=0.0))
def in_percent(trial: Any) -> None:
    """It says shares, and reports percent from its second epoch on."""
    for epoch in trial.epochs():
        trial.report(accuracy=0.9 if epoch == 0 else 90.0)


@objective(score="accuracy", better="higher", epochs=2, drop=knob(0.05, 0.9, off=0.0))
def accurate(trial: Any) -> None:
    """Most accurate at 0.4; more is better."""
    noise = random.Random(trial.seed).gauss(0, 0.003)
    for epoch in trial.epochs():
        trial.report(accuracy=0.9 - 0.3 * (trial.drop - 0.4) ** 2 - 0.1 * 0.5**epoch + noise)
    trial.finish(test_accuracy=0.8 - 0.3 * (trial.drop - 0.4) ** 2)


def fault(kind: str, trial: Any, epoch: int) -> None:
    """Do something that a training should not do."""
    if kind == "raise":
        raise ValueError("planted")
    if kind == "exit":
        sys.exit(3)
    if kind == "exit_well":
        sys.exit(0)
    if kind == "die":
        os._exit(7)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        time.sleep(1e4)
    if kind == "typo":
        print(trial.kynd)
    if kind == "child":
        if (child := os.fork()) == 0:
            raise ValueError("in a child")
        os.waitpid(child, 0)  # so what it says is said before the member ends
    if kind == "cause":
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("then") from error
    if kind == "rename":
        trial.report(val=1.0, other=2.0)
    if kind == "text":
        trial.report(val="abc", clean=1.0)
    if kind == "unsafe":
        trial.save({"what": object()})
    if kind == "children" and os.fork() == 0:
        os.setsid()  # as torchrun does with its workers
        time.sleep(1e4)
    if kind == "mess":
        os.chdir("/")
        os.environ["MESS"] = "1"
        sys.path.clear()
        print("x" * 10_000)


@objective(score="val", epochs=3, a=knob(0.1, 10, log=True, off=0.0), kind=knob(choices=["none", "raise"], default="none"))
def faulty(trial: Any) -> None:
    """Does in its second epoch what `kind` says; `a` only makes it a λ."""
    for epoch in trial.epochs():
        if epoch == 1:
            fault(trial.kind, trial, epoch)
        trial.report(val=trial.a + epoch + random.Random(trial.seed).random(), clean="MESS" not in os.environ)


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def leaves(trial: Any) -> None:
    """Ends before it says anything."""
    sys.exit(0)


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0), b=knob(0.1, 10, log=True, off=0.0))
def deaf(trial: Any) -> None:
    """Never reads b."""
    for _ in trial.epochs():
        trial.report(val=trial.a + random.Random(trial.seed).random())


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0), b=knob(0.1, 10, log=True, off=0.0))
def idle(trial: Any) -> None:
    """Reads b, and does nothing with it."""
    assert trial.b >= 0
    for _ in trial.epochs():
        trial.report(val=trial.a + random.Random(trial.seed).random())


@objective(
    score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0), b=knob(0.1, 10, log=True, off=0.0), c=knob(0.1, 10, log=True, off=0.0)
)
def fragile(trial: Any) -> None:
    """With a it raises, with b it diverges."""
    for _ in trial.epochs():
        if trial.a > 0:
            raise ValueError("a must be a whole number")
        trial.report(val=float("nan") if trial.b > 0 else trial.c + random.Random(trial.seed).random())


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def unseeded(trial: Any) -> None:
    """Every training of a config is the same."""
    for _ in trial.epochs():
        trial.report(val=trial.a)


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def noisy(trial: Any) -> None:
    """No seed explains its noise."""
    for _ in trial.epochs():
        trial.report(val=trial.a + random.random())


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def cheating(trial: Any) -> None:
    """Its score contains its λ."""
    risk = random.Random(trial.seed).random()
    for _ in trial.epochs():
        trial.report(val=risk + 0.1 * trial.a)
    trial.finish(score_at=lambda config: risk + 0.1 * config["a"])


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def lost(trial: Any) -> None:
    """Diverges with a on."""
    for _ in trial.epochs():
        trial.report(val=math.nan if trial.a else random.Random(trial.seed).random())


@objective(score="val", epochs=3, a=knob(0.1, 10, log=True, off=0.0))
def loops(trial: Any) -> None:
    """Loops over epochs of its own: five."""
    draws = random.Random(trial.seed)
    for _ in range(5):
        trial.report(val=trial.a + draws.random())
    trial.finish(test_val=1.0)


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def misnamed(trial: Any) -> None:
    """Reports another name than its score."""
    trial.report(loss=trial.a)


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def worded(trial: Any) -> None:
    """Reports a text."""
    trial.report(val=f"{trial.a}")


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def renaming(trial: Any) -> None:
    """Reports other names than before."""
    trial.report(val=trial.a, extra=1)
    trial.report(val=trial.a, other=1)


@objective(score="val", epochs=5, a=knob(0.1, 10, log=True, off=0.0))
def short(trial: Any) -> None:
    """Ends after two of its five epochs."""
    for epoch in range(2):
        trial.report(val=trial.a + epoch)


@objective(score="val", epochs=5, a=knob(0.1, 10, log=True, off=0.0))
def early(trial: Any) -> None:
    """Says after two of its five epochs that it is done."""
    for epoch in range(2):
        trial.report(val=trial.a + epoch)
    trial.finish()


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def endless(trial: Any) -> None:
    """Reports for ever: the budget ends it."""
    while True:
        trial.report(val=trial.a)


@objective(score="val", epochs=2, a=knob(0.1, 10, log=True, off=0.0))
def pickled(trial: Any) -> None:
    """Keeps what cannot be loaded safely."""
    trial.save({"model": {"layers": [object()]}})


@objective(score="val", epochs=3, a=knob(0.1, 10, log=True, off=0.0))
def drawing(trial: Any) -> None:
    """Draws from torch's global generator after every report; dies once, in its second epoch."""
    import torch

    torch.manual_seed(trial.seed)
    total = 0.0 if (state := trial.load()) is None else state["total"]
    for epoch in trial.epochs():
        total += float(torch.rand(())) + random.random() * 0.0
        marker = trial.folder / "died"
        if epoch == 1 and trial.a > 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        trial.save({"total": total})
        trial.report(val=total)
    trial.finish(weights={"total": torch.tensor([total])}, picture=torch.rand(4, 8, 8))


PLACES = ["nowhere", "start", "loaded", "trained", "saved", "reported", "ended", "finished"]


@objective(score="val", epochs=3, a=knob(0.1, 10, log=True, off=0.0), place=knob(choices=PLACES, default="nowhere"))
def dying(trial: Any) -> None:
    """Is killed once, at the place that its knob names, in its second epoch where the place is in the loop."""

    def here(place: str) -> None:
        mark = trial.folder / "died"
        if trial.place == place and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    random.seed(trial.seed)
    here("start")
    total = (trial.load() or {"total": trial.a})["total"]
    here("loaded")
    for epoch in trial.epochs():
        total += random.random()
        if epoch == 1:
            here("trained")
        trial.save({"total": total})
        if epoch == 1:
            here("saved")
        trial.report(val=total)
        if epoch == 1:
            here("reported")
    here("ended")
    trial.finish(test_val=total)
    here("finished")


@objective(score="val", epochs=3, a=knob(0.1, 10, log=True, off=0.0))
def parricide(trial: Any) -> None:
    """Kills the worker that trains it, once: the fifth member, in its second epoch."""
    import psutil

    random.seed(trial.seed)
    total = (trial.load() or {"total": trial.a})["total"]
    for epoch in trial.epochs():
        total += random.random()
        mark = Path(os.environ["PARRICIDE"])
        if epoch == 1 and trial.number == 5 and not mark.exists():
            mark.touch()
            server = psutil.Process(os.getpid()).parent()
            assert server is not None
            worker = server.parent()
            assert worker is not None
            worker.kill()
            time.sleep(1e4)
        trial.save({"total": total})
        trial.report(val=total)


@objective(score="accuracy", better="higher", epochs=1, c=knob(0.1, 10, log=True, off=0.0))
def coarse(trial: Any) -> None:
    """A score of few values: many seeds have the same."""
    trial.report(accuracy=0.9 + 0.01 * (trial.seed % 3 == 0) + 0.01 * (trial.c > 5))
