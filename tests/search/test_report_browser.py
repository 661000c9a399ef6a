"""The report in a real browser, without a network: every figure is drawn."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from search.telling import figures
from search.telling.files import report
from tests.search.views import view

pytestmark = pytest.mark.slow

BROWSER = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")


@pytest.mark.skipif(not BROWSER, reason="no Chromium or Chrome: install one, or name it in BROWSER_PATH")
def test_every_figure_is_drawn_without_a_network(tmp_path: Path) -> None:
    seen = view("two λ")
    page = report.write(seen, tmp_path / "report.html")
    nobody = "--host-resolver-rules=MAP * ~NOTFOUND"
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000")
    shown = subprocess.run(
        [BROWSER, *options, *QUIET, nobody, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True, timeout=180
    )
    drawn = [name for name in figures.known() if not figures.module(name).why_not(seen)]
    assert len(drawn) >= 6
    for name in drawn:
        body = shown.stdout.partition(f'id="plot-{name}"')[2].partition("</section>")[0]
        assert "main-svg" in body, f"{name} was not drawn"
    assert seen.answer is not None and re.search(rf'class="verdict"[^>]*>{seen.answer.verdict_word}<', shown.stdout)
