"""The report on a telephone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.telling.files import report
from tests.search.views import view

pytestmark = pytest.mark.slow


def test_it_fits_a_telephone(browser: Any, tmp_path: Path) -> None:
    """Nothing is wider than the window, digests of 64 letters included; only the config scrolls in its own frame."""
    seen = view("helps")
    digests = {"dataset": {"sha256": {"train": "0123456789abcdef" * 4}}}
    page = report.write(replace(seen, sweep=replace(seen.sweep, facts={**seen.sweep.facts, **digests})), tmp_path / "report.html")
    narrow = browser.new_context(viewport={"width": 400, "height": 900}).new_page()
    narrow.goto(page.as_uri())
    narrow.wait_for_selector(".main-svg")
    assert "0123456789abcdef" * 4 in narrow.content()
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 400


CUT = """() => [...document.querySelectorAll('.plot')].flatMap((plot) => {
  const frame = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('text')].filter((text) => {
    const box = text.getBoundingClientRect();
    const across = box.left < frame.left - 1 || box.right > frame.right + 1;
    return box.width && (across || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
  }).map((text) => `${plot.id}: ${text.textContent}`);
})"""


@pytest.mark.parametrize("kind", ["two λ", "alone", "front", "helps"])
def test_no_text_of_a_figure_is_cut_off_on_a_telephone(kind: str, browser: Any, tmp_path: Path) -> None:
    page = report.write(view(kind), tmp_path / "report.html")
    narrow = browser.new_context(viewport={"width": 400, "height": 900}).new_page()
    narrow.goto(page.as_uri())
    narrow.wait_for_selector("#plot-spent .main-svg")
    assert narrow.evaluate("document.querySelectorAll('.plot').length") >= 6
    assert narrow.evaluate(CUT) == []
