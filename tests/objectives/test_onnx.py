"""ONNX files give what torch gives, for batches of any length."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from objectives import onnx_files
from objectives.base import ObjectiveError
from tests.contracts.test_trained import back, begun

pytestmark = [pytest.mark.trains]
CASES = [("vae", "mlp400", {}), ("autoencoder", "tests.borrowed:autoencoder", {}), ("gan", "mlp", {}), ("gan", "dcgan_small", {})]


def installed() -> None:
    if why := onnx_files.missing():
        pytest.skip(why)


@pytest.mark.slow  # the exporter takes seconds
@pytest.mark.sampled(2)
@pytest.mark.parametrize(("family", "model", "config"), CASES)
def test_a_model_is_written_and_read_back(family: str, model: str, config: dict[str, Any], tmp_path: Path) -> None:
    installed()
    found = onnx_files.write(back(begun(family, model, config), tmp_path), tmp_path / "onnx")
    names = ["generator.onnx"] if family == "gan" else ["decoder.onnx", "encoder.onnx"]
    assert [one.file.name for one in found] == names and all(one.difference < 1e-4 for one in found)


def test_without_the_libraries_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = back(begun("autoencoder"), tmp_path)
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else there(name, *rest))
    with pytest.raises(ObjectiveError, match=r"ONNX needs onnx; install the extra: pip install 'lagrange-search\[onnx\]'"):
        onnx_files.write(model, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists(), "nothing is left half-made"
