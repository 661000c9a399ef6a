"""Every λ of every family through a real sweep: searched, trained, confirmed, answered, exported. A few sweeps hold them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives import registry
from objectives.base import Knob
from search.errors import SpecError
from search.running.where import IN_PROCESS
from search.spec.reading import read
from search.sweep import run
from search.telling.files.exports import export

pytestmark = [pytest.mark.slow, pytest.mark.trains]
FAMILIES = ("autoencoder", "vae", "gan")


def spec(family: str, dataset: str, knobs: list[Knob], root: str | None = None) -> dict[str, Any]:
    """A sweep over all of `knobs` that is as short as a sweep can be."""
    found: dict[str, Any] = {
        "objective": family,
        "dataset": {"name": dataset, "train_size": 256, "root": root},
        "search": {knob.name: {} for knob in knobs},
        "batch_size": 64,
        "budget": {"trials": 8, "epochs": 2},
        "scheduler": "none",
        "confirm": {"configs": 2, "seeds": 2},
    }
    if family == "gan" and dataset != "digits":
        found["features"] = {"name": "randconv"}  # to train a classifier on 50,000 images costs a minute, and says nothing of a λ
    needed = {knob.likelihood for knob in knobs} - {""}
    return found | ({"likelihood": needed.pop()} if needed else {})


def groups(family: str) -> list[list[Knob]]:
    """The λ of a family in as few groups as go together."""
    found: list[list[Knob]] = []
    for knob in registry.load(family).knobs.values():
        if not knob.is_lambda:
            continue
        for group in found:
            if group[0].likelihood == knob.likelihood and allowed(family, [*group, knob]):
                group.append(knob)
                break
        else:
            found.append([knob])
    return found


def allowed(family: str, knobs: list[Knob]) -> bool:
    try:
        read(spec(family, "digits", knobs))
    except SpecError:
        return False
    return True


@pytest.mark.sampled(9)
@pytest.mark.parametrize(
    ("family", "dataset"),
    [
        # A GAN is scored with thousands of images of each split, which costs minutes.
        pytest.param(family, dataset, marks=[pytest.mark.whole] * (family == "gan" and dataset != "digits"))
        for family in FAMILIES
        for dataset in ("digits", "mnist", "fashion_mnist")
    ],
)
def test_every_lambda_is_searched_answered_and_exported(family: str, dataset: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    home = Home.open(tmp_path)
    root = None if dataset == "digits" else str(request.getfixturevalue("data_root"))
    for number, group in enumerate(groups(family)):
        name, names = f"{family}-{number}", {knob.name for knob in group}
        outcome = run(spec(family, dataset, group, root), name=name, home=home, address=IN_PROCESS, tracking=False)
        assert outcome.answer is not None, outcome
        assert {one.name for one in outcome.answer.lambdas} == names
        assert names <= set(yaml.safe_load(export(name, home=home))["fixed"])
        with Catalogue(home.catalogue_url) as catalogue:
            members = catalogue.members(name)
        assert {row.state for row in members} <= {"complete", "diverged"}, [row.reason for row in members]
        tried = [row for row in members if row.arm != "off"]
        for knob in group:
            assert any(row.config[knob.name] != knob.off for row in tried), knob.name
