"""A real sweep in a home, MLflow's UI on it as `lagrange ui` serves it, and pages of a browser that was never there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from infra import machine
from infra.storage import Home
from infra.tracking.ui import APP
from search.choosing.answer import Answer
from search.registering import Registered
from search.running.where import IN_PROCESS

NAME = "seen"
SPEC: dict[str, Any] = {
    "objective": "vae",
    "search": {"beta": {"low": 0.1, "high": 10}},
    "budget": {"trials": 8, "epochs": 4},
    "confirm": {"seeds": 3, "screen": 0, "between": 0},
    "check": False,
    "pack": 1,
}
OFF = ("gpu", "quic", "background-networking", "component-update", "sync")
ARGUMENTS = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in OFF)]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1400, 900
PATIENCE_MS = 90_000.0
"""How long a page may take to show something: pages are slow on a busy machine."""
TREE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Swept:
    """A home with a sweep in it, its answer, and what the registry has of it."""

    home: Home
    name: str
    answer: Answer
    registered: Registered


@dataclass(frozen=True)
class Ui:
    """The UI of a home: its address, and the links that `lagrange ui` printed: to the members, and to the answer."""

    url: str
    members: str
    answer: str


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless browser; tests are skipped where there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e .[dev]")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no browser: install chromium")
    with driver.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def swept(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A small sweep of a VAE on digits, in MLflow, and its model in the registry."""
    from search.registering import register
    from search.sweep import run

    home = Home.open(tmp_path_factory.mktemp("home"))
    outcome = run(SPEC, name=NAME, home=home, address=IN_PROCESS)
    assert outcome.answer is not None, outcome.problem
    return Swept(home, NAME, outcome.answer, register(NAME, home=home))


@pytest.fixture(scope="session")
def ui(swept: Swept, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """`lagrange ui NAME` on that home, on a free port, until the tests are over."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join([str(TREE), *_installed(tmp_path_factory)])}
    command = [sys.executable, "-m", "search.cli", "ui", swept.name, "--home", str(swept.home.root), "--port", "5700"]
    server = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(iter(server.stdout.readline, "")), daemon=True)  # type: ignore[union-attr]
    reader.start()
    try:
        links = _until(lambda: re.findall(r"http://\S+#/\S+", "".join(said)), server, said, 2)
        url = links[0].partition("/#/")[0]
        _until(lambda: ["up"] if _answers(f"{url}/health") else [], server, said, 1)
        yield Ui(url, *links[:2])
    finally:
        machine.terminate(server)
        server.wait(timeout=30)


@pytest.fixture
def page(browser: Any, ui: Ui) -> Iterator[Any]:
    """An empty page of a fresh profile."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def _installed(folders: pytest.TempPathFactory) -> list[str]:
    """Where the entry point of this package is found, if it is not installed, or was before it had one."""
    if any(one.name == APP for one in metadata.entry_points(group="mlflow.app")):
        return []
    folder = folders.mktemp("installed")
    told = folder / "lagrange_entry-0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: lagrange-entry\nVersion: 0\n")
    (told / "entry_points.txt").write_text(f"[mlflow.app]\n{APP} = infra.tracking.served:app\n")
    return [str(folder)]


def _until(found: Any, server: subprocess.Popen[str], said: list[str], least: int) -> list[str]:
    """What is found, as soon as there is enough of it."""
    for _ in range(1200):
        if len(what := found()) >= least:
            return list(what)
        assert server.poll() is None, "".join(said)
        time.sleep(0.1)
    raise AssertionError("".join(said))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
