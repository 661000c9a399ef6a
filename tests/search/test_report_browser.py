"""The report in a real browser, without a network: every figure is drawn."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
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


@pytest.mark.skipif(not BROWSER, reason="no Chromium or Chrome: install one, or name it in BROWSER_PATH")
def test_it_fits_a_telephone(tmp_path: Path) -> None:
    """Nothing is wider than the window, digests of 64 letters included; only the config scrolls in its own frame."""
    driver = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e .[dev]")
    seen = view("helps")
    digests = {"dataset": {"sha256": {"train": "0123456789abcdef" * 4}}}
    page = report.write(replace(seen, sweep=replace(seen.sweep, facts={**seen.sweep.facts, **digests})), tmp_path / "report.html")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        narrow = browser.new_context(viewport={"width": 400, "height": 900}).new_page()
        narrow.goto(page.as_uri())
        narrow.wait_for_selector(".main-svg")
        assert "0123456789abcdef" * 4 in narrow.content()
        assert narrow.evaluate("document.documentElement.scrollWidth") <= 400
        browser.close()
