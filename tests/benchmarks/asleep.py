"""A training that takes time and computes nothing: what is left is what a search costs beside a training."""

import time

import torch

from objectives import knob, objective

EPOCH_S = 0.07  # ten of them take as long as the training of docs/examples/gan.py on an idle machine, two at once
LR = knob(1e-3, 1e-1, log=True)


def loss(lr: float, epoch: int) -> float:
    """Some number."""
    return abs(lr - 0.01) + 1 / epoch


@objective(score="val", better="lower", epochs=10, l2=knob(1e-3, 1e-1, log=True, off=0.0), lr=LR)
def train(trial):  # type: ignore[no-untyped-def]
    """Sleep, keep a checkpoint, report."""
    state = trial.load()
    weights = torch.zeros(64, 64) if state is None else state["weights"]
    for epoch in trial.epochs():
        time.sleep(EPOCH_S)
        trial.save({"weights": weights})
        trial.report(val=loss(trial.lr + trial.l2, epoch + 1))
    trial.finish(weights={"weights": weights})
