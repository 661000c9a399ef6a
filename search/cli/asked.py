"""The options that are keys of a spec. What `lagrange sweep` may be asked for has a price, so `lagrange plan` takes the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="An objective, a preset, or a YAML file.")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="The data set.")]
DataRootOption = Annotated[str | None, typer.Option("--data-root", help="The folder that holds it.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="The model.")]
TrialsOption = Annotated[int | None, typer.Option("--trials", help="Configs searched, off arm included; confirmation comes on top.")]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="Epochs of each training.")]
SamplerOption = Annotated[
    str | None, typer.Option("--sampler", help="Where configs are drawn: one of `lagrange samplers`, or package.module:Class.")
]
SchedulerOption = Annotated[str | None, typer.Option("--scheduler", help="Which members are stopped early: one of `lagrange schedulers`.")]
RangesOption = Annotated[
    str | None,
    typer.Option("--ranges", help="auto: a pilot of seconds finds the range of each searched λ that is given none; own: the knob's."),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="The sweep's seed: the same draws and initializations.")]
GpuOption = Annotated[float | None, typer.Option("--gpu", help="GPUs of each training: 1, or a fraction to share one.")]
UntilOption = Annotated[
    list[str] | None,
    typer.Option("--until", metavar="GOAL", help='Go on until "lambda within 0.5 decades" or "effect ± 0.2". Repeatable.'),
]
PriorOption = Annotated[
    list[str] | None,
    typer.Option("--prior", metavar="NAME", help="Start from the answer of this sweep; auto: of all that fit. Repeatable."),
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the spec: search.beta.low=0.1. Repeatable.")
]

_KEYS = {
    "dataset": "dataset.name",
    "data_root": "dataset.root",
    "trials": "budget.trials",
    "epochs": "budget.epochs",
    "gpu": "resources.gpu",
}


def overrides(settings: Sequence[str] | None, **given: Any) -> list[str]:
    """The options as KEY=VALUE. `settings` are those of --set, which come last. An option that was not given changes nothing."""
    kept = {_KEYS.get(name, name): value for name, value in given.items() if value is not None and value != []}
    return [f"{key}={json.dumps(value)}" for key, value in kept.items()] + list(settings or [])
