"""PED-ANOVA: how much each knob decides whether a trial is among the best, by Optuna's evaluator."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from objectives.base import Knob, Value
from search.asking.space import distributions

BEST = 0.25  # the share of trials that counts as the best; Optuna asks for at least five of them
FEWEST = 20  # trials, below which there is no importance: Optuna asks for five among the best


def ped_anova(trials: Sequence[tuple[Mapping[str, Value], float]], knobs: Sequence[Knob]) -> dict[str, float]:
    """The importance of each knob, summing to 1; empty with fewer than `FEWEST` trials or where no knob tells.

    The Pearson divergence between the knob's density among the best trials and its density among all trials, so a sampler that draws
    good values more often is taken into account. Source: Watanabe, Bansal and Hutter 2023, arXiv 2304.10255 (IJCAI 2023).

    It is kept with the answer and not printed. In simulated searches of 60 and 120 trials by TPE a knob without any effect had more than a
    tenth of the importance in 60 to 90 %: a sampler draws it unevenly by chance, and the evaluator knows no noise of seeds. The surface's
    shares (`choosing/insight.py`) do better.

    Args:
        trials: configs that have a value in every knob's range, each with a finite score; lower is better.
        knobs: the searched knobs.
    """
    import optuna

    if len(trials) < FEWEST:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    asked = distributions(knobs)
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(params={name: config[name] for name in asked}, distributions=asked, value=score)
            for config, score in trials
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST)
        found = evaluator.evaluate(study)
    total = sum(found.values())
    return {name: found[name] / total for name in asked} if total > 0 else {}
