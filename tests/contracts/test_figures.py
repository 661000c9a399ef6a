"""What every figure promises. A new file in search/telling/figures is collected here without an edit, for sweeps of every kind."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from objectives.base import Phase
from search.asking.space import OFF_ARM
from search.errors import SpecError
from search.telling import figures
from search.telling.files import report
from search.telling.view import View
from tests.search.views import KINDS, view

NAMES = figures.known()


def test_every_file_says_what_it_is() -> None:
    assert len(NAMES) >= 10
    for name in NAMES:
        file = figures.module(name)
        assert file.__doc__ and file.TITLE and isinstance(file.ORDER, int), name
    orders = [figures.module(name).ORDER for name in NAMES]
    assert orders == sorted(set(orders)), "no two figures stand in one place"


def test_an_unknown_figure_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'curve'"):
        figures.module("curves")


def drawn(seen: View) -> dict[str, dict[str, Any]]:
    return {name: figures.module(name).figure(seen) for name in NAMES if not figures.module(name).why_not(seen)}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_of_every_kind(kind: str) -> None:
    """One test for all that follows, because a sweep is made once and seen often."""
    seen = view(kind)
    _each_figure_is_drawn_or_says_why_not(seen)
    _every_member_of_the_search_is_a_dot_of_the_curve(seen)
    _what_is_shown_as_exported_is_what_the_answer_recommends(seen)
    _the_report_is_whole_and_fetches_nothing(seen)


def _each_figure_is_drawn_or_says_why_not(seen: View) -> None:
    for name in NAMES:
        file = figures.module(name)
        if reason := file.why_not(seen):
            assert reason.endswith((".", ").")) and len(reason) > 20, name
            with pytest.raises(SpecError, match=re.escape(reason)):
                figures.drawn(name, seen)
            continue
        plain = file.figure(seen)
        assert Figure(plain).data, f"{name} draws something, and plotly takes it"
        assert file.about(seen).endswith(".") and plain["layout"]["height"] >= 100
        json.loads(report._json(plain))
        for trace in plain["data"]:
            if trace["type"] == "scatter":
                assert len(trace["x"]) == len(trace["y"]) > 0, f"{name}: {trace.get('name')}"


def _every_member_of_the_search_is_a_dot_of_the_curve(seen: View) -> None:
    """Whatever became of it. Where each λ was searched alone, a member is a dot where its own λ is."""
    if not seen.rows or not seen.lambdas:
        return
    traces = figures.module("curve").figure(seen)["data"]
    dots = sum(len(trace["x"]) for trace in traces if str(trace.get("name")).startswith("search: "))
    off = sum(row.arm == OFF_ARM for row in seen.searched)
    alone = seen.answer is not None and any(one.alone for one in seen.answer.lambdas)
    panels = len(seen.lambdas)
    assert dots == (len(seen.searched) - off + panels * off if alone else panels * len(seen.searched))


def _what_is_shown_as_exported_is_what_the_answer_recommends(seen: View) -> None:
    if seen.answer is None:
        return
    shown = drawn(seen)
    exported = [trace for trace in shown["curve"]["data"] if trace.get("name") == "exported"]
    values = [seen.answer.recommended[knob.name] for knob in seen.lambdas]
    assert [trace["x"][0] for trace in exported] == (values if exported else [])
    assert bool(exported) == (seen.answer.promise.mean == seen.answer.promise.mean), "no mark only where nothing is promised"
    diamonds = [trace for trace in shown["curve"]["data"] if str(trace.get("name")).startswith("best with λ on")]
    others = [one for one in seen.answer.lambdas if one.value != seen.answer.exported[one.name] and not one.switched_off]
    assert len(diamonds) == (len(others) if seen.answer.arm != OFF_ARM else 0), "what is best and not exported has a mark of its own"
    page = report.html(seen, "")
    assert f">{seen.answer.verdict_word}</span>" in page
    for value in values:
        assert report.number(float(value)) in page


# --- the page ---------------------------------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """The tags that are open, and everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.headings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "data", "action")]
        self.headings += tag == "h2"
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag


def _the_report_is_whole_and_fetches_nothing(seen: View) -> None:
    text = report.html(seen, "")
    page = _Page()
    page.feed(text)
    assert not page.open and not page.fetched
    assert "NaN" not in re.sub(r"<(style|pre).*?</\1>", "", text, flags=re.DOTALL)
    for name in NAMES:
        assert figures.module(name).TITLE in text, "drawn, or named among what is not drawn"
    if seen.answer is not None:
        assert report.escape(seen.answer.sentence()) in text and ('id="config"' in text) is bool(seen.config)
    else:
        assert "no answer yet" in text or "no member yet" in text


def test_what_a_user_wrote_is_text_and_no_program() -> None:
    seen = view("one member")
    (row,) = seen.rows
    evil = "</script><script>alert(1)</script>"
    bad = replace(seen, name=evil, reasons={row.number: evil}, rows=[replace(row, state="failed", score=None, arm=evil)])
    assert "<script>alert" not in report.html(bad, "")


def test_a_report_of_five_thousand_members_is_small() -> None:
    """Below 6 MB with plotly's program; each member is still a dot."""
    seen = view("under way")
    base = next(row for row in seen.rows if row.score is not None)
    rows = [
        replace(base, number=number, phase=Phase.SEARCH, config={**base.config, "beta": 0.01 + number / 500}, score=100 + number / 1000)
        for number in range(5000)
    ]
    many = replace(seen, rows=rows)
    text = report.html(many, get_plotlyjs())
    assert len(text.encode()) < 6_000_000
    dots = [trace for trace in figures.module("curve").figure(many)["data"] if str(trace["name"]).startswith("search: ")]
    assert sum(len(trace["x"]) for trace in dots) == 5000
    assert all(isinstance(text, int) for trace in dots for text in trace["text"]), "of so many a dot says its number only"
