"""How often a sweep says something of a λ that does next to nothing, where a learning rate decides and paired seeds tell little apart.

    python -m tests.study.null_ridge --repeats 100

A real training, not a formula: a linear map from digits to their classes, 150 images, minibatches, squared error. The ridge weight is at
most 0.1 / 150, so at its best it gains some 0.0001 of 0.045. A seed draws images, start and batches; with one seed two configs differ by
little but their learning rate. Counted are verdicts whose effect is beyond the margin (1 % of the score): all of them are wrong.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from objectives import Trial, knob, objective

RIDGE, LR = knob(1e-4, 0.1, log=True, off=0.0), knob(1e-3, 0.3, log=True)
IMAGES, STEPS, BATCH = 150, 30, 32


PICTURES, CLASSES = load_digits(return_X_y=True)  # read once, and not in each member's process
PICTURES, CLASSES = PICTURES / 16.0, np.eye(10)[CLASSES]


@objective(score="val_mse", better="lower", between=(0, None), epochs=8, ridge=RIDGE, lr=LR)
def train(trial: Trial) -> None:
    """Gradient descent on the squared error with a ridge."""
    rng = np.random.default_rng(trial.seed)
    images, classes = PICTURES, CLASSES
    order = rng.permutation(len(images))
    here, there = order[:IMAGES], order[IMAGES:700]
    weights = 0.1 * rng.standard_normal((64, 10))
    for _ in trial.epochs():
        for _ in range(STEPS):
            batch = rng.choice(here, BATCH)
            slope = images[batch].T @ (images[batch] @ weights - classes[batch]) / BATCH
            weights -= trial.lr * (slope + trial.ridge / IMAGES * weights)
        trial.report(val_mse=float(((images[there] @ weights - classes[there]) ** 2).mean()))


def main() -> None:
    """Print what each sweep says, and a count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--few", action="store_true", help="14 trials and two candidates on four seeds, not the defaults")
    given = parser.parse_args()
    import search  # not above: each member's process imports this file

    said: Counter[str] = Counter()
    spec: dict[str, Any] = {"objective": f"{__name__ if __name__ != '__main__' else 'tests.study.null_ridge'}:train"}
    spec["budget"] = {"trials": 14 if given.few else 24, "epochs": 8}
    spec |= {"confirm": {"configs": 2, "between": 0, "seeds": 4}} if given.few else {}
    for seed in range(given.first, given.first + given.repeats):
        with tempfile.TemporaryDirectory() as folder:
            found = search.run({**spec, "seed": seed}, name="s", home=Path(folder), address="in-process", tracking=False).answer
        assert found is not None
        beyond = abs(found.effect.mean) > found.margin
        said[f"{found.verdict}{', beyond the margin' if beyond else ''}"] += 1
        print(seed, found.verdict, found.effect.words(), flush=True)
    print(dict(said))


if __name__ == "__main__":
    main()
