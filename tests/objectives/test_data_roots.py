"""A root that does not hold a data set's files is told what it lacks, each name once."""

from __future__ import annotations

from pathlib import Path

import pytest

from objectives.data import mnist
from objectives.data._files import check

FILES = mnist.FILES.layout.files


def fault(root: Path) -> str:
    (said,) = check(mnist.DATASET, mnist.FILES.layout, {"root": str(root)}, lambda _: pytest.fail("no header is read"))
    return said


def test_what_a_wrong_root_lacks_is_said_once(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    assert "which is no folder." in fault(tmp_path / "none") and fault(tmp_path / "none").count(FILES[0]) == 1
    raw.mkdir(parents=True)
    assert "which holds none of them." in fault(tmp_path) and fault(tmp_path).count(FILES[0]) == 1
    (raw / FILES[0]).touch()
    said = fault(tmp_path)
    assert said.count(FILES[0]) == 1 and f"which lacks {', '.join(FILES[1:])}." in said and "download: true" in said


def test_a_root_inside_the_layout_is_told_the_right_one(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILES:
        (raw / f"{name}.gz").touch()
    for inside in (raw, tmp_path / "MNIST"):
        assert fault(inside).endswith(f"which lies inside. Set root to {str(tmp_path.resolve())!r}.")
