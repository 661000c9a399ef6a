"""The search by Ray Tune with everything off that can be off: processes reused, no default loggers, no tracking, no records."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # read when Tune is imported

import optuna
import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks import workload


def main(members: int, epochs: int) -> None:
    """As `stock_tune`, less the callback."""
    tuner = tune.Tuner(
        partial(workload.train_vae, epochs=epochs),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(sampler=optuna.samplers.RandomSampler(seed=0)),
            metric=workload.SCORE,
            mode="min",
            num_samples=members,
            max_concurrent_trials=workload.WORKERS,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="lean", storage_path=str(Path.cwd() / "ray_results"), verbose=0),
        param_space={"beta": tune.loguniform(0.01, 10), "lr": tune.loguniform(1e-4, 1e-2)},
    )
    print(tuner.fit().get_best_result().config)


if __name__ == "__main__":
    given = workload.tune_arguments(__doc__)
    ray.init(num_cpus=workload.WORKERS, include_dashboard=False)
    main(given.members, given.epochs)
