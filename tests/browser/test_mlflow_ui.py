"""What a person sees who opens the printed link for the first time."""

from __future__ import annotations

import math
from typing import Any

import pytest

from search.choosing.words import number
from tests.browser.conftest import HEIGHT, Swept, Ui

pytestmark = pytest.mark.slow


def open_page(page: Any, url: str, text: str) -> None:
    """Go to a page of the UI, and wait until it shows a text."""
    page.goto("about:blank")  # the pages differ behind the # only
    page.goto(url)
    page.get_by_text(text).first.wait_for()


def cells(page: Any, column: str) -> list[str]:
    """What a column of the table of runs shows, from the first row on."""
    page.locator(f"[role=row] [col-id='{column}']").nth(1).wait_for()
    return list(page.locator(f".ag-center-cols-container [role=row] [col-id='{column}']").all_inner_texts())


def test_the_link_opens_the_members_sorted_by_score(page: Any, ui: Ui, swept: Swept) -> None:
    open_page(page, ui.members, "matching runs")
    page.get_by_role("heading", name="Runs").wait_for()
    shown = page.inner_text("body")
    assert "Ask questions about your" not in shown, "no assistant is open"
    assert not {"Judges", "Prompts", "Sessions"} & set(shown.splitlines()), "this is no page for language models"
    headers = [text.strip() for text in page.locator("[role=columnheader]").all_inner_texts()]
    assert [name for name in ("score", "beta", "arm", "phase", "state", "seed") if name not in headers] == []
    scores = [float(text.rstrip("…")) for text in cells(page, "metrics.`score`") if text.strip() not in ("", "-")]
    assert len(scores) >= 4 and scores == sorted(scores), "the best is first"
    names = page.locator(".ag-pinned-left-cols-container [role=row]").all_inner_texts()
    assert any("β=" in name for name in names)
    assert f"{len(swept_members(swept))} matching runs" in shown


def swept_members(swept: Swept) -> list[int]:
    """The members of the sweep."""
    from infra.catalogue import Catalogue

    with Catalogue(swept.home.catalogue_url, create=False) as catalogue:
        return [row.number for row in catalogue.members(swept.name)]


def test_the_charts_are_there(page: Any, ui: Ui) -> None:
    open_page(page, f"{ui.members}&compareRunsMode=CHART", "which λ")
    for title in ("log10_beta vs. score", "rung_score", "Parallel Coordinates"):
        page.get_by_text(title).first.wait_for()
    page.locator(".js-plotly-plot .scatterlayer .trace, .js-plotly-plot .point").first.wait_for(state="attached")


def test_the_answer_is_the_description(page: Any, ui: Ui, swept: Swept) -> None:
    answer = swept.answer
    open_page(page, ui.answer, "Description")
    interval = f"[{number(answer.effect.low)}, {number(answer.effect.high)}]"
    shown = page.get_by_text(interval).first
    shown.wait_for()
    box = shown.bounding_box()
    assert box is not None and box["y"] + box["height"] < HEIGHT, "it is seen without scrolling"
    text = page.inner_text("body")
    assert answer.verdict_word in text and answer.exported_words().partition(" (")[0] in text
    for name in ("recommended_score", "effect_low", "promise_high", "best.beta", "test_effect"):
        assert name in text
    assert "digits (" in text, "the data set, with its hash"


def test_the_list_of_experiments_shows_the_verdict(page: Any, ui: Ui, swept: Swept) -> None:
    open_page(page, f"{ui.url}/#/experiments", "lagrange/vae-digits")
    assert f"{swept.answer.verdict_word}: " in page.inner_text("body")


def test_a_metric_filters_by_its_value(page: Any, ui: Ui, swept: Swept) -> None:
    """Parameters are text in MLflow; knobs are numbers, so that this is a question."""
    from mlflow import MlflowClient

    client = MlflowClient(swept.home.tracking_uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = client.search_runs(experiments, "metrics.beta < 1 and tags.phase = 'search'")
    assert found and all(math.log10(run.data.metrics["beta"]) < 0 for run in found)
