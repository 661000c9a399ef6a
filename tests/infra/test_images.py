"""Images by step in MLflow: under the names of its own `log_image`, each once, whatever is sent twice."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from infra.storage import Home
from infra.tracking import MlflowTracker, images, quiet_environment

pytestmark = pytest.mark.turns(2)

quiet_environment()


class Store:
    """A client whose artifacts are a folder; it loses the answer of its first `losses` uploads, each half done."""

    def __init__(self, folder: Path, losses: int = 0) -> None:
        self.folder, self.losses, self.tags = folder, losses, dict[str, Any]()

    def list_artifacts(self, run: str, path: str) -> list[Any]:
        return [SimpleNamespace(path=f"{path}/{file.name}") for file in sorted((self.folder / run / path).glob("*"))]

    def log_artifacts(self, run: str, folder: str, path: str) -> None:
        target = self.folder / run / path
        target.mkdir(parents=True, exist_ok=True)
        files = sorted(Path(folder).iterdir())
        for file in files[: len(files) // 2] if self.losses else files:
            shutil.copy(file, target)
        if self.losses:
            self.losses -= 1
            raise ConnectionError

    def set_tag(self, run: str, key: str, value: Any, synchronous: bool) -> None:
        self.tags[key] = value


@pytest.fixture
def source(tmp_path: Path) -> Path:
    Image.new("L", (640, 200), 90).save(tmp_path / "source.png")
    return tmp_path / "source.png"


def record(source: Path, step: int, ms: int = 5, key: str = "pictures") -> dict[str, Any]:
    return {"key": key, "step": step, "path": str(source), "ms": ms}


def test_names_and_sizes_are_those_of_mlflow(tmp_path: Path, source: Path) -> None:
    """What its `log_image` writes, with the random part left out, is what is written here."""
    from mlflow import MlflowClient

    theirs: list[str] = []

    @contextmanager
    def helper(run: str, name: str) -> Iterator[str]:
        theirs.append(name)
        yield str(tmp_path / Path(name).name)

    fake: Any = SimpleNamespace(_log_artifact_helper=helper, set_tag=lambda run, key, value, synchronous: theirs.append(key))
    MlflowClient.log_image(fake, "r", Image.open(source), key="a b", step=3, timestamp=5, synchronous=True)
    store = Store(tmp_path / "store")
    assert images.send(store, "r", [record(source, 3, key="a b")], None, tagged=False) == []
    ours = [item.path for item in store.list_artifacts("r", "images")] + list(store.tags)

    def bare(names: list[str]) -> list[str]:
        return sorted(re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", name) for name in names)

    assert bare(ours) == bare(theirs)
    for name in theirs[:-1]:
        mine = next(path for path in (tmp_path / "store" / "r" / "images").iterdir() if path.suffix == Path(name).suffix)
        assert Image.open(mine).size == Image.open(tmp_path / Path(name).name).size


def test_what_is_sent_again_stands_there_once(tmp_path: Path, source: Path) -> None:
    store = Store(tmp_path / "store", losses=2)
    news = [record(source, step) for step in (0, 1, 4)]
    for _ in range(2):
        with pytest.raises(ConnectionError):
            images.send(store, "r", news, None, tagged=False)
    for tagged in (False, False, True):
        assert images.send(store, "r", news, None, tagged=tagged) == []
    held = [item.path for item in store.list_artifacts("r", "images")]
    assert len(held) == 6 and [int(name.split("+")[2]) for name in held if name.endswith(".png")] == [0, 1, 4]
    assert images.send(store, "r", [record(source, 4, ms=99), record(source, 9, ms=99)], None) == []
    assert len(store.list_artifacts("r", "images")) == 8, "a resumed sweep tells all again, and only what is new is sent"


def test_a_file_that_cannot_be_drawn_holds_up_no_other(tmp_path: Path, source: Path) -> None:
    (tmp_path / "torn.png").write_bytes(source.read_bytes()[:40])
    store = Store(tmp_path / "store")
    wrong = images.send(store, "r", [record(tmp_path / name, k) for k, name in enumerate(("gone.png", "torn.png", "source.png"))], None)
    assert len(wrong) == 2 and "gone.png" in wrong[0] and "torn.png" in wrong[1]
    assert len(store.list_artifacts("r", "images")) == 2


def test_a_resumed_sweep_doubles_no_image(tmp_path: Path, source: Path) -> None:
    """With MLflow itself. Pictures alone make no run: those of a member that MLflow has not heard of wait for nobody."""
    from mlflow import MlflowClient

    home = Home.open(tmp_path / "home")
    for _ in range(2):
        tracker = MlflowTracker(home.tracking_uri, home.artifacts, home.spool, "s", interval_s=0.05)
        tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
        tracker.start_member(3, {}, {})
        for step in (0, 1):
            tracker.image(source, "pictures", step, 3)
        tracker.image(source, "strip", 8)
        tracker.image(source, "pictures", 0, 77)
        assert not tracker.close(60)
    client = MlflowClient(home.tracking_uri)
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    counts = {run.data.tags.get("lagrange.member", ""): len(client.list_artifacts(run.info.run_id, "images")) for run in runs}
    assert counts == {"3": 4, "": 2}
    assert all(run.data.tags[images.TAG] == "True" for run in runs)
