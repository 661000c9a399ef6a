"""What a worker on a GPU takes of it, and what it says of it for the record. No GPU is needed: torch's answers are given."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from objectives.checks import device


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Two GPUs, and the limits that are set on them."""
    found: dict[int, float] = {}

    def limit(part: float, number: Any) -> None:
        found[number] = part

    monkeypatch.setenv(device.ALLOCATOR, "max_split_size_mb:64,per_process_memory_fraction:0.9")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(name="A GPU", total_memory=80 * 2**30))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limit)
    return found


@pytest.mark.parametrize("wanted", ["accelerator", "cuda", "cuda:0"])
def test_a_part_of_a_gpu_is_a_limit_here_and_in_what_this_process_starts(wanted: str, limits: dict[int, float]) -> None:
    said = device.occupied(wanted, 0.25)
    assert limits == {0: 0.25, 1: 0.25}
    assert os.environ[device.ALLOCATOR] == "max_split_size_mb:64,per_process_memory_fraction:0.25"
    assert said | {"gpu": "A GPU", "gpus": 2, "gpu_memory_gb": 80, "gpu_part": "0.25"} == said


@pytest.mark.parametrize("gpus", [1.0, 2.0])
def test_a_whole_gpu_has_no_limit(gpus: float, limits: dict[int, float]) -> None:
    assert device.occupied("accelerator", gpus)["gpu_part"] == "1"
    assert limits == {} and "0.9" in os.environ[device.ALLOCATOR]


def test_where_torch_finds_no_gpu_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.occupied("accelerator", 0.5) == {} == device.occupied("cpu", 0.5)
