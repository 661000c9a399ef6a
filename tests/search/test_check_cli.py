"""`lagrange check` of a spec, and what a user's module prints while a spec is read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from objectives import registry
from search.cli import app

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

MODULE = """
import sys
from torch import nn

print("hello from mine")


def net(shape, latent_dim, last=nn.Identity):
    n = shape[0] * shape[1] * shape[2]
    return {"encoder": nn.Sequential(nn.Linear(n, 8), nn.Tanh(), nn.Linear(8, 2 * latent_dim)),
            "decoder": nn.Sequential(nn.Linear(latent_dim, n), last())}


def sigmoid(shape, latent_dim):
    return net(shape, latent_dim, nn.Sigmoid)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "guest_mine.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "guest_ends.py").write_text("import sys\nsys.exit(7)\n", encoding="utf-8")
    (tmp_path / "sweep.yaml").write_text("objective: vae\nmodel: guest_mine:net\nbudget: {trials: 6, epochs: 2}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("guest_mine", "guest_ends"):
        sys.modules.pop(name, None)


def test_a_spec_is_checked(folder: Path) -> None:
    found = CliRunner().invoke(app, ["check", "sweep.yaml", "--json"])
    assert found.exit_code == 0, found.output
    rows = [(row["knob"], row["verdict"]) for row in json.loads(found.stdout)]
    assert rows == [("(data)", "note"), ("(model)", "passed"), ("beta", "passed")]


def test_what_a_sweep_would_say_of_the_data_is_said_before_it(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 17, (200, 8, 8)).astype(np.uint8)
    np.savez(folder / "dark.npz", images=images)
    (folder / "dark.yaml").write_text("objective: vae\ndataset: {name: array_file, path: dark.npz}\nmodel: guest_mine:net\n")
    for likelihood, gray in (("bernoulli", True), ("gaussian", False)):
        found = CliRunner().invoke(app, ["check", "dark.yaml", "--knob", "beta", "--set", f"likelihood={likelihood}", "--json"])
        assert found.exit_code == 0, found.output
        told = " ".join(row["message"] for row in json.loads(found.stdout) if row["verdict"] == "note")
        assert "0 to 16 of the range 0 to 255" in told
        assert ("pixels are gray" in told) is gray


def test_what_does_not_apply_to_a_model_is_one_row_unless_it_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vae = registry.load("vae")
    few = {name: replace(knob, off=None) if name not in ("beta", "dropout", "norm") else knob for name, knob in vae.knobs.items()}
    monkeypatch.setattr(vae, "knobs", few)
    whole = CliRunner().invoke(app, ["check", "vae", "--model", "guest_mine:net", "--json"])
    assert whole.exit_code == 0, whole.output
    rows = {row["knob"]: row for row in json.loads(whole.stdout)}
    assert set(rows) - {"(data)"} == {"beta", "dropout, norm"} and rows["beta"]["verdict"] == "passed"
    assert (
        rows["dropout, norm"]["verdict"] == "unproven"
        and "does not apply: it acts on hidden activations, and guest_mine:net takes no" in rows["dropout, norm"]["message"]
    )
    asked = CliRunner().invoke(app, ["check", "vae", "--model", "guest_mine:net", "--knob", "norm", "--json"])
    assert asked.exit_code == 1 and json.loads(asked.stdout)[0]["fault"] == "nothing to act on"


def test_set_changes_what_is_checked(folder: Path) -> None:
    found = CliRunner().invoke(app, ["check", "sweep.yaml", "--set", "model=guest_mine:sigmoid", "--set", "output=logits", "--json"])
    assert found.exit_code == 1
    rows = {row["knob"]: row for row in json.loads(found.stdout)}
    assert rows["(model)"]["fault"] == "decoder gives no logits" and rows["beta"]["verdict"] == "unproven"


def test_a_spec_that_is_wrong_is_answered_as_everywhere(folder: Path) -> None:
    found = CliRunner().invoke(app, ["check", "sweep.yaml", "--set", "model=mlp400", "--set", "output=pixels"])
    assert found.exit_code == 2
    assert "output must be left out with a model of Lagrange's" in found.output


def test_the_output_of_a_dry_run_is_the_spec_alone(folder: Path) -> None:
    found = CliRunner().invoke(app, ["sweep", "sweep.yaml", "--dry-run"])
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("objective: vae") and "hello" not in found.stdout
    assert "hello" not in found.stderr, "a dry run imports no model"
    assert CliRunner().invoke(app, ["check", "sweep.yaml", "--json"]).stderr.startswith("model 'guest_mine:net' prints: hello from mine")


def test_a_module_that_ends_the_program_is_named(folder: Path) -> None:
    found = CliRunner().invoke(app, ["check", "sweep.yaml", "--set", "model=guest_ends:net"])
    assert found.exit_code == 2
    assert "model 'guest_ends:net' must not end the program" in found.output and found.stdout == ""
