"""What a person sees who opens the printed link for the first time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from search.choosing.words import number
from search.telling.mlflow.ui_view import PICTURES
from tests.browser.conftest import HEIGHT, PATIENCE_MS, SPEC, Swept, Ui

pytestmark = [pytest.mark.slow, pytest.mark.turns(2)]
CARD = "[data-testid='experiment-view-compare-runs-card']"  # a chart of MLflow's
DRAWN = ".js-plotly-plot:has(.main-svg .trace, .main-svg .hm, .main-svg .bars, .main-svg .contour, .main-svg .parcoords)"
LOADED = "image => image.naturalWidth"


def open_page(page: Any, url: str, text: str) -> None:
    """Go to a page of the UI, and wait until it shows a text."""
    page.goto("about:blank")  # the pages differ behind the # only
    page.goto(url)
    page.get_by_text(text).first.wait_for()


def cells(page: Any, column: str) -> list[str]:
    """What a column of the table of runs shows, from the first row on. The page holds its rows in any order; each knows its place."""
    page.locator(f"[role=row] [col-id='{column}']").nth(1).wait_for()
    rows = ".ag-center-cols-container [role=row]"
    found = page.evaluate(
        """([rows, cell]) => [...document.querySelectorAll(rows)].map(
            row => [+row.getAttribute('row-index'), row.querySelector(cell)?.innerText])""",
        [rows, f"[col-id='{column}']"],
    )
    return [text for _, text in sorted((place, text) for place, text in found if text is not None)]


def until(page: Any, look: Callable[[], list[float]], holds: Callable[[list[float]], bool]) -> list[float]:
    """What is seen, once it is as it should be, or at last: rows come one after another, and are sorted then."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not holds(seen := look()) and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    return seen


def test_the_link_opens_the_members_sorted_by_score(page: Any, ui: Ui, swept: Swept) -> None:
    open_page(page, ui.members, f"{len(swept_members(swept))} matching runs")
    page.get_by_role("heading", name="Runs").wait_for()
    shown = page.inner_text("body")
    assert "Ask questions about your" not in shown, "no assistant is open"
    assert not {"Judges", "Prompts", "Sessions"} & set(shown.splitlines()), "this is no page for language models"
    page.get_by_role("columnheader", name="score").first.wait_for()
    headers = [text.strip() for text in page.locator("[role=columnheader]").all_inner_texts()]
    assert [name for name in ("score", "beta", "arm", "phase", "state", "seed") if name not in headers] == []

    def shown_scores() -> list[float]:
        return [float(text.rstrip("…")) for text in cells(page, "metrics.`score`") if text.strip() not in ("", "-")]

    scores = until(page, shown_scores, lambda seen: len(seen) >= 4 and seen == sorted(seen))
    assert len(scores) >= 4 and scores == sorted(scores), "the best is first"
    page.locator(".ag-pinned-left-cols-container [role=row]").filter(has_text="β=").first.wait_for()


def swept_members(swept: Swept) -> list[int]:
    """The members of the sweep."""
    from infra.catalogue import Catalogue

    with Catalogue(swept.home.catalogue_url, create=False) as catalogue:
        return [row.number for row in catalogue.members(swept.name)]


def charts(page: Any, ui: Ui) -> dict[str, Any]:
    """The charts of the prepared view, by the titles that MLflow gives them."""
    open_page(page, f"{ui.members}&compareRunsMode=CHART", "which λ")
    titles = ("log10_beta vs. score", "rung_score", "Parallel Coordinates", PICTURES)
    found = {title: page.locator(CARD).filter(has=page.get_by_text(title, exact=True)).first for title in titles}
    for card in found.values():
        card.wait_for()
    return found


def test_the_charts_are_drawn(page: Any, ui: Ui) -> None:
    scatter, curves, parallel, _ = charts(page, ui).values()
    for card, marks in ((scatter, ".scatterlayer .point"), (curves, ".scatterlayer .trace .js-line"), (parallel, "svg path")):
        card.locator(marks).first.wait_for(state="attached")
    dots = scatter.locator(".scatterlayer .point").all()
    assert len(dots) >= 2 * SPEC["confirm"]["seeds"], "each confirmed member is a dot"
    assert len({dot.evaluate("dot => getComputedStyle(dot).fill") for dot in dots}) >= 3, "searched, off and best have their colours"


def test_pictures_have_a_slider_over_the_epochs(page: Any, ui: Ui) -> None:
    card = charts(page, ui)[PICTURES]
    card.scroll_into_view_if_needed()
    slider, shown = card.get_by_role("slider"), card.locator("img")
    shown.first.wait_for()
    assert slider.get_attribute("aria-valuenow") == str(SPEC["budget"]["epochs"]), "what is trained is seen first"
    assert all(image.evaluate(LOADED) > 0 for image in shown.all())
    while slider.get_attribute("aria-valuenow") != "0":
        slider.press("ArrowLeft")
    first = card.locator("img[src*='step%2B0%2B']").first  # before training
    first.wait_for()
    first.click()
    large = page.locator(".rc-image-preview-img").first
    large.wait_for()
    page.wait_for_function("image => image.complete", arg=large.element_handle())
    assert large.evaluate(LOADED) >= 600


def test_the_report_is_read_in_the_artifact_viewer(page: Any, ui: Ui, swept: Swept) -> None:
    address, _, rest = ui.answer.partition("?")
    open_page(page, f"{address}/artifacts/report.html?{rest}", "report.html")
    frame = page.frame_locator("iframe")
    frame.get_by_text(swept.answer.verdict_word, exact=True).first.wait_for()
    frame.locator(DRAWN).nth(4).wait_for(state="attached")  # five plots
    text = frame.locator("body").inner_text()
    assert swept.answer.sentence() in text and "UTC · complete" in text


def test_the_registry_shows_the_champion(page: Any, ui: Ui, swept: Swept) -> None:
    registered = swept.registered
    open_page(page, f"{ui.url}/#/models", registered.name)
    assert page.get_by_role("dialog").count() == 0, "no window of news lies over it"
    if registered.off == registered.version:
        page.get_by_text("+1").click()  # MLflow lists one alias of a version, the last of the alphabet
    page.get_by_text("champion").first.wait_for()
    open_page(page, f"{ui.url}/#/models/{registered.name}", "Versions")
    row = page.get_by_role("row").filter(has_text=f"Version {registered.version}")
    row.get_by_text("champion").wait_for()
    assert swept.answer.verdict_word in row.inner_text()


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
