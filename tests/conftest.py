"""Shared fixtures. Nothing here needs the network, a GPU or data that is not inside a dependency."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# One thread a process: two workers and the driver share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# In the folder above the repository, or wherever the variable says: MNIST and Fashion-MNIST in torchvision's layout.
DATA = Path(os.environ.get("LAGRANGE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def ray_up() -> Iterator[None]:
    """One local Ray with two workers for all sweeps of a test run."""
    from infra import cluster

    with cluster.connect(workers=2):
        yield


@pytest.fixture
def data_root() -> Path:
    """The folder with MNIST and Fashion-MNIST; the test is skipped where there is none."""
    if not (DATA / "MNIST" / "raw").exists():
        pytest.skip("no image data: put MNIST in torchvision's layout under $LAGRANGE_DATA")
    return DATA
