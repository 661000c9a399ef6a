"""The search that is measured: VAEs on digits, β and the learning rate drawn at random, no early stopping, two at once.

`ours` runs it with Lagrange, as a user would. `train_vae` is the same training as an ordinary Tune function, for `stock_tune` and
`lean_tune`; `plain_loop` trains the very members of a finished sweep in one process.
"""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path
from typing import Any

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives.base import Member, Settings
from objectives.registry import load
from tests.benchmarks import processes
from tests.benchmarks.processes import Usage, lagrange, python

MEMBERS, EPOCHS, WORKERS = 64, 20, 2
SWEEP = "bench"
SCORE = "val_neg_elbo_nats"


def ours(folder: Path, members: int, epochs: int) -> Usage:
    """The search by Lagrange, in a fresh home, tracking on: the default."""
    spec = {
        "objective": "vae",
        "dataset": "digits",
        "search": {"beta": {}, "lr": {}},
        "sampler": "random",
        "scheduler": "none",
        "budget": {"trials": members, "epochs": epochs},
        "confirm": {"configs": 0},
    }
    folder.mkdir()
    file = folder / "spec.yaml"
    file.write_text(json.dumps(spec))  # JSON is YAML
    return processes.run(lagrange("sweep", file, "--name", SWEEP, "--workers", WORKERS), folder=folder)


def tune(script: str, folder: Path, members: int, epochs: int) -> Usage:
    """The same search by `stock_tune` or `lean_tune`."""
    folder.mkdir()
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    # Left alone, Ray writes a token into the user's home folder.
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    command = python(f"tests.benchmarks.{script}", "--members", members, "--epochs", epochs)
    return processes.run(command, folder=folder, variables=variables)


def trained_members(folder: Path) -> list[dict[str, Any]]:
    """Config, seed and score of what `ours` trained in `folder`."""
    with Catalogue(Home.open(folder / "mlflow_runs").catalogue_url, create=False) as catalogue:
        rows = catalogue.members(SWEEP)
    return [{"number": row.number, "config": dict(row.config), "seed": row.seed, "score": row.score} for row in rows]


def settings(epochs: int) -> Settings:
    """What the sweep's spec resolves to, for those who train without one."""
    return Settings(dataset={"name": "digits", "root": None, "train_size": None}, epochs=epochs, threads=1)


def train_vae(config: dict[str, Any], epochs: int = EPOCHS) -> None:
    """One training as a Tune function: a report each epoch, evaluated as ours are. Its process keeps data from one trial to the next."""
    from ray import tune

    run = load("vae")(settings(epochs)).start([Member(0, config, seed=0)])
    while reports := run.step():
        tune.report(dict(reports[0].metrics))
        if reports[0].state is not None:
            return


def tune_arguments(doc: str | None) -> argparse.Namespace:
    """The command line of `stock_tune` and `lean_tune`."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    return parser.parse_args()
