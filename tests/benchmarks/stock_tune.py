"""The search by stock Ray Tune with OptunaSearch and MLflowLoggerCallback, as their documentation shows them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import mlflow
import optuna
import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks import workload


def main(members: int, epochs: int) -> None:
    """Everything is left as Tune, OptunaSearch and the callback have it; the store is SQLite, since MLflow refuses its old file store."""
    tracking_uri = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    mlflow.set_experiment("setup")  # makes the store's tables
    tuner = tune.Tuner(
        partial(workload.train_vae, epochs=epochs),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(sampler=optuna.samplers.RandomSampler(seed=0)),
            metric=workload.SCORE,
            mode="min",
            num_samples=members,
            max_concurrent_trials=workload.WORKERS,
        ),
        run_config=tune.RunConfig(
            name="stock",
            storage_path=str(Path.cwd() / "ray_results"),
            callbacks=[MLflowLoggerCallback(tracking_uri=tracking_uri, experiment_name="stock", save_artifact=True)],
        ),
        param_space={"beta": tune.loguniform(0.01, 10), "lr": tune.loguniform(1e-4, 1e-2)},
    )
    print(tuner.fit().get_best_result().config)


if __name__ == "__main__":
    given = workload.tune_arguments(__doc__)
    ray.init(num_cpus=workload.WORKERS)
    main(given.members, given.epochs)
