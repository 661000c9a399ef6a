"""What the examples of docs/examples come to, by long runs without a search: every λ of a grid on many seeds.

    python -m tests.study.examples vae --seeds 12

Prints the score of each λ and learning rate, mean ± standard error over seeds, and the effect: the best λ against off, each at its best
learning rate, paired by seed, with 95 %.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import re
import runpy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from objectives.base import Member, Settings
from objectives.programs.function import Training
from objectives.programs.trial import Request, Trial
from objectives.registry import attribute, load
from search.spec.text import parse_yaml

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@dataclass(frozen=True)
class Example:
    """An example, and the grid of its long run. The first value of λ is off."""

    file: str
    knob: str
    values: tuple[float, ...]
    rates: tuple[float, ...]


ALL = {
    "vae": Example("vae.yaml", "beta", (1.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.4, 2.0, 4.0), (5e-3, 1e-2, 2e-2)),
    "gan": Example("gan.py", "r1", (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), (3e-3, 1e-2)),
    "conv_vae": Example("conv_vae.yaml", "beta", (1.0, 0.2, 0.35, 0.5, 0.7, 1.4, 2.0), (5e-3,)),
    "denoise": Example("denoise.py", "noise", (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0), (1e-2, 2e-2)),
}


class Heard:
    """The channel of a training without a search: it remembers what is reported."""

    def __init__(self) -> None:
        self.reports: list[Mapping[str, float]] = []

    def tell(self, what: Mapping[str, Any]) -> None:
        """Remember a report."""
        if "report" in what:
            self.reports.append(what["report"])

    def may_go_on(self) -> bool:
        """Always."""
        return True


def call(training: Training, config: Mapping[str, Any], seed: int, epochs: int = 0) -> float:
    """Call a user's function once in this process; its last score."""
    heard, declared = Heard(), training.declared
    with tempfile.TemporaryDirectory() as folder:
        training(Trial(Request(0, dict(config), seed, epochs or declared.epochs, declared.score, Path(folder)), heard))
    return heard.reports[-1][declared.score]


def execute(spec: Mapping[str, Any], config: Mapping[str, Any], seed: int, epochs: int = 0) -> float:
    """Run the script of a command once in this process; its last score."""
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said), contextlib.chdir(EXAMPLES):
        words = spec["command"].split()[1:]
        values = {**config, "seed": seed, "epochs": epochs or spec["budget"]["epochs"], "folder": folder}
        before, sys.argv = sys.argv, [word.format(**values) for word in words]
        try:
            runpy.run_path(words[0], run_name="__main__")
        finally:
            sys.argv = before
    score = spec["score"]["name"]
    return float([match[score] for match in re.finditer(spec["read"]["lines"], said.getvalue())][-1])


def train(spec: Mapping[str, Any], config: Mapping[str, Any], seed: int) -> float:
    """Train a model of the user's in our family, on a folder of images that is written first; its score."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(EXAMPLES):
        attribute("model", spec["model"].partition(":")[0] + ".py:write")(folder)
        dataset = {**spec["dataset"], "root": folder}
        objective = load(spec["objective"])(Settings(dataset=dataset, epochs=spec["budget"]["epochs"], model=spec["model"], threads=1))
        run = objective.start([Member(0, {**spec["fixed"], **config}, seed)])
        while (report := run.step()[0]).state is None:
            continue
    assert report.score is not None, report.reason
    return report.score


def score(example: Example, config: Mapping[str, Any], seed: int) -> float:
    """Train an example once."""
    file = EXAMPLES / example.file
    if file.suffix == ".yaml":
        spec = parse_yaml(file.read_text())
        return (execute if "command" in spec else train)(spec, config, seed)
    return call(attribute("objective", f"{file}:train"), config, seed)


def table(example: Example, seeds: Sequence[int]) -> dict[tuple[float, float], np.ndarray]:
    """The scores (seeds,) of every λ and learning rate, printed as they come."""
    found = {}
    for value, rate in itertools.product(example.values, example.rates):
        scores = np.array([score(example, {example.knob: value, "lr": rate}, seed) for seed in seeds])
        found[value, rate] = scores
        spread = scores.std(ddof=1)
        print(
            f"{example.knob} {value:g}  lr {rate:g}  {scores.mean():.4g} ± {spread / len(scores) ** 0.5:.2g} (sd {spread:.2g})", flush=True
        )
    return found


def effect(example: Example, found: Mapping[tuple[float, float], np.ndarray]) -> str:
    """The best λ against off."""
    off = example.values[0]
    arms = [min((pair for pair in found if (pair[0] == off) is is_off), key=lambda pair: found[pair].mean()) for is_off in (True, False)]
    gains = found[arms[0]] - found[arms[1]]
    half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    (value, rate), at = arms[1], f"{example.knob} = {off:g} at lr = {arms[0][1]:g}"
    interval = f"{gains.mean():.3g} [{gains.mean() - half:.3g}, {gains.mean() + half:.3g}]"
    return f"{example.knob} = {value:g} at lr = {rate:g} gains {interval} over {at}"


def main() -> None:
    """The long run of one example."""
    parser = argparse.ArgumentParser(prog="python -m tests.study.examples", description=__doc__)
    parser.add_argument("example", choices=ALL)
    parser.add_argument("--seeds", type=int, default=12)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    example = ALL[asked.example]
    print(effect(example, table(example, range(1000, 1000 + asked.seeds))))


if __name__ == "__main__":
    main()
