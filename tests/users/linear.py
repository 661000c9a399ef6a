"""The noisy linear autoencoder as a script: the data, the first weights and the order of images are those of our own family.

python linear.py --l2 1 --seed 0
"""

import argparse
import json

import torch
from torch import nn

from objectives.data import noisy_linear
from objectives.draws import Live, initialized

ROWS, RANK, BATCH = 4000, 5, 400


def scores(l2, lr, seed, epochs, variance=1.0):
    """Train, and yield ½‖x̂ − s‖² of the clean validation rows s after each epoch."""
    rows = noisy_linear.load({"noise_variance": variance, "rank": RANK, "n_train": ROWS})
    train, val, clean = (part.flatten(1) for part in (rows.train, rows.val, rows.val_target))
    size = train.shape[1]
    model = initialized(seed, lambda: nn.Sequential(nn.Linear(size, RANK, bias=False), nn.Linear(RANK, size, bias=False)))
    optimizer, order = torch.optim.Adam(model.parameters(), lr), Live(seed).generator("order")
    for _ in range(epochs):
        for chosen in torch.randperm(len(train), generator=order).split(BATCH):
            x = train[chosen]
            penalty = sum(weights.square().sum() for weights in model.parameters()) / 2
            loss = (model(x) - x).square().sum(1).mean() / 2 + l2 * penalty
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            yield ((model(val) - clean).square().sum(1).mean() / 2).item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--l2", type=float, default=0.0)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for score in scores(given.l2, given.lr, given.seed, given.epochs):
        print(json.dumps({"val_half_sse": score}), flush=True)
