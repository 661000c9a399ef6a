"""The forms of an exported config: a script comes to the number of the training, and what leaves defaults out is the same training."""

from __future__ import annotations

import gzip
import json
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from infra.storage import Home
from objectives import registry
from objectives.data import mnist
from search import train
from search.errors import SpecError
from search.spec.plain import plain_spec
from search.spec.reading import read
from search.spec.text import read_yaml
from search.telling.files import forms
from search.telling.promised import training

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "autoencoder": ("mlp", {"l2": 1e-3, "latent_l2": 0.1, "l1": 1e-4, "latent_dim": 4}),
    "vae": ("mlp400", {"beta": 0.5, "l2": 1e-3, "latent_moment": 0.1}),
    "gan": ("mlp_small", {"l2_g": 1e-3, "l1_d": 1e-4, "lr_ratio": 0.5, "loss": "hinge"}),
}


def exported(family: str, model: str, fixed: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An export with every knob, as a sweep of λ stores it."""
    config = {name: knob.default for name, knob in registry.load(family).knobs.items()} | fixed
    given = {"objective": family, "model": model, "dataset": {"name": "digits", "train_size": 96}, "budget": {"epochs": 3}, "check": False}
    spec = plain_spec(read({**given, "search": {}, "fixed": config, **more}, purpose="train"))
    return {**spec, "promise": {"mean": 0.0, "low": -1e9, "high": 1e9, "training": training(spec, config, {})}}


def searched(fixed: dict[str, Any]) -> dict[str, Any]:
    return {name: {} for name in fixed if name not in ("latent_dim", "loss")}


def ran(text: str, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch | None) -> tuple[str, float]:
    """The name and the value of the number that a script ends with: in this process, which has torch, or in one of its own."""
    file = folder / "script.py"
    file.write_text(text)
    if monkeypatch is None:
        command = [sys.executable, file.name, "--seed", str(seed)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"PATH": ""})
        assert done.returncode == 0, done.stderr
        said = done.stdout
    else:
        monkeypatch.setattr(sys, "argv", ["script.py", "--seed", str(seed), "--out", str(folder / "weights.pt")])
        with redirect_stdout(StringIO()) as heard, torch.random.fork_rng(devices=[]):
            runpy.run_path(str(file))
        said = heard.getvalue()
    number, _, wrote = said.splitlines()[-1].partition("; wrote ")
    assert Path(wrote).name == "weights.pt" and (folder / wrote).is_file(), "what it writes is said at its end, and in its head"
    assert "Writes the trained weights to weights.pt" in text
    name, value = number.split()
    return name, float(value)


CASES = [
    ("autoencoder", "mlp", {}),
    ("vae", "mlp400", {}),
    ("vae", "mlp400", {"likelihood": "gaussian"}),
    ("gan", "mlp_small", {}),
]


@pytest.mark.parametrize("alone", [False, pytest.param(True, marks=pytest.mark.slow)])  # alone a script takes 7 s, to load its libraries
@pytest.mark.parametrize(("family", "model", "more"), CASES)
def test_a_script_comes_to_the_number_of_the_training_with_the_same_seed(
    family: str, model: str, more: dict[str, Any], alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = CONFIGS[family][1]
    spec = exported(family, model, fixed, **more)
    (tmp_path / "best.yaml").write_text(forms.written(spec, searched(fixed)))
    trained = train(tmp_path / "best.yaml", home=Home.open(tmp_path / "home"), seed=11, tracking=False)
    text = forms.written(spec, searched(fixed), "script")
    assert not any(word in text for word in ("import objectives", "from objectives", "from search", "import search"))
    name, value = ran(text, tmp_path, 11, None if alone else monkeypatch)
    assert value == pytest.approx(json.loads((trained.folder / "result.json").read_text())["metrics"][name], rel=1e-4)
    if not alone:
        assert ran(text, tmp_path, 12, monkeypatch)[1] != pytest.approx(value, rel=1e-4), "the number depends on the seed"


@pytest.mark.slow
@pytest.mark.parametrize("train_size", [None, 70])
def test_a_script_of_mnist_scores_in_the_same_features(train_size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a hundred squares in MNIST's files."""
    pytest.importorskip("torchvision")
    from torchvision import datasets

    options = mnist.write_sample(tmp_path / "data")
    for packed in (tmp_path / "data").rglob("*.gz"):  # torchvision reads no packed files
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    monkeypatch.setattr(datasets.MNIST, "_check_exists", lambda self: True)
    dataset = {"name": "mnist", **options, **({"train_size": train_size} if train_size else {})}
    spec = exported("gan", "mlp_small", CONFIGS["gan"][1], dataset=dataset, batch_size=16, budget={"epochs": 7})
    (tmp_path / "best.yaml").write_text(forms.written(spec, {}))
    trained = train(tmp_path / "best.yaml", home=Home.open(tmp_path / "home"), seed=11, tracking=False)
    name, value = ran(forms.written(spec, {}, "script"), tmp_path, 11, monkeypatch)
    assert name == "val_kid" and value == pytest.approx(trained.score, rel=1e-3)


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_leaves_defaults_out_is_the_same_training_and_keeps_its_promise(form: str, tmp_path: Path) -> None:
    fixed = CONFIGS["autoencoder"][1]
    spec = exported("autoencoder", "mlp", fixed)
    file = tmp_path / f"best.{form}"
    file.write_text(forms.written(spec, {"lr": {}, "l2": {}}, form))
    found = read_yaml(file)
    assert set(found["fixed"]) == {*fixed, "lr"}
    assert list(found["fixed"])[:2] == ["l2", "lr"] and list(found).index("fixed") < list(found).index("budget")
    again = train(file, home=Home.open(tmp_path / "home"), seed=1, tracking=False)
    whole = tmp_path / "whole.yaml"  # as an older version wrote it
    whole.write_text(yaml.safe_dump(spec))
    before = train(whole, home=Home.open(tmp_path / "home"), seed=1, tracking=False)
    assert again.inside and before.inside and again.score == before.score and not again.other and not before.other
    file.write_text(forms.written({**spec, "fixed": {**spec["fixed"], "l2": 0.5}}, {"l2": {}}, form))
    assert "was changed after the export" in train(file, home=Home.open(tmp_path / "home"), seed=1, tracking=False).other


@pytest.mark.parametrize(("family", "model"), [("gan", "mlp"), ("vae", "mlp512"), ("autoencoder", "mlp512")])
def test_what_was_published_with_a_model_is_its_default(family: str, model: str) -> None:
    """A knob that is at the objective's default, where the model's own default is another one, must be said."""
    knobs = registry.load(family).knobs
    config = {name: knob.default for name, knob in knobs.items()}
    spec = exported(family, model, config)
    short = read(forms.shortened(spec, {}), purpose="train")
    assert {name: knob.default for name, knob in knobs.items()} | dict(short.fixed) == config


def test_forms_for_programs_have_the_searched_knobs_first() -> None:
    spec = exported("vae", "mlp400", CONFIGS["vae"][1])
    args = forms.written(spec, {"beta": {}, "lr": {}}, "args")
    assert args.startswith("--beta 0.5 --lr 0.001 ") and "--epochs 3" in args and args.count("\n") == 1
    text = forms.written(spec, {"beta": {}, "lr": {}}, "hydra")
    assert text.startswith("# @package _global_\n") and list(yaml.safe_load(text))[:2] == ["beta", "lr"]
    with pytest.raises(SpecError, match=r"--format must be one of yaml, json, hydra, args, script; got 'toml'"):
        forms.written(spec, {}, "toml")


def test_what_a_script_cannot_have_is_refused_by_name() -> None:
    fixed = {"tc": 2.0, "dropout": 0.1}
    with pytest.raises(SpecError) as refused:
        forms.written(exported("vae", "mlp400", fixed, dataset={"name": "digits", "binarize": "static"}, score="best_epoch"), {}, "script")
    said = str(refused.value)
    assert all(word in said for word in ("tc = 2.0", "dropout = 0.1", "the data set 'digits'", "score: best_epoch", "lagrange train"))
    with pytest.raises(SpecError, match="the model 'vae_jaan'"):
        forms.written({**exported("vae", "mlp400", {}), "model": "vae_jaan"}, {}, "script")
    with pytest.raises(SpecError, match="got the objective 'toy'"):
        forms.written({"objective": "toy", "fixed": {}, "dataset": {"name": "none"}}, {}, "script")
