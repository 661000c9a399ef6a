"""What a person sees: progress from events only, and an answer that says everything."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from infra.catalogue import MemberRow
from infra.storage import Home
from search.choosing.answer import Answer, LambdaAnswer, Verdict
from search.choosing.findings import Effect, Promise
from search.running.writing.ledger import failures, why_no_answer
from search.spec.reading import read
from search.telling.listener import introduction
from search.telling.text.answer import print_answer
from search.telling.text.live import SHOWN_FAILURES, Display, duration, sparkline

INFO = {
    "name": "s",
    "objective": "vae",
    "model": "mlp400",
    "dataset": "digits",
    "trials": 4,
    "epochs": 10,
    "confirming": 10,
    "workers": 2,
    "done": 0,
}
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def watched(*, terminal: bool = False) -> tuple[Display, Clock, io.StringIO]:
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=160)
    return Display(console, clock=clock), clock, out


def train(
    display: Display, clock: Clock, number: int, *, state: str = "complete", score: float | None = 1.0, arm: str = "search", **more: Any
) -> None:
    epochs = more.get("epochs", 10)
    display.member(number, more.get("phase", "search"), arm, {"beta": 0.5 + number, "l2": 0.0})
    for epoch in range(1, epochs + 1):
        clock.now += 1
        display.report(number, epoch, 10, 2.0)
    display.ended(number, state, score, more.get("reason", ""))


def answer(**changes: Any) -> Answer:
    beta = LambdaAnswer("beta", 0.3, 1.0, 0.1, 0.9, open_low=True, open_high=False, warning="the best beta lies at the edge", unit="1")
    made = Answer(
        score_name="val_neg_elbo_nats",
        arm="edge",
        best={"beta": 0.3, "lr": 0.001},
        recommended_arm="edge",
        recommended={"beta": 0.3, "lr": 0.001},
        lambdas=[beta],
        effect=Effect(1.5, 0.5, 2.5, 5, 4),
        off_score=103.0,
        best_score=101.5,
        margin=1.03,
        verdict=Verdict.HELPS,
        promise=Promise(101.5, 99.5, 103.5, 5),
        arms=[],
        curve={},
        spent={
            "search": {
                "complete": {"members": 20, "epochs": 400, "seconds": 60.0},
                "stopped": {"members": 4, "epochs": 16, "seconds": 3.0},
                "total": {"members": 24, "epochs": 416, "seconds": 63.0},
            },
            "total": {"total": {"members": 24, "epochs": 416, "seconds": 63.0}},
        },
        measured={"FID[lenet, n=9]": {"chosen": {"mean": 2.0, "se": 0.1, "n": 5}, "off": {"mean": 3.0, "se": 0.2, "n": 5}}},
        test={"chosen": {"mean": 102.0, "se": 0.4}, "off": {"mean": 104.0, "se": 0.5}, "effect": {"mean": 2.0, "low": 1.0, "high": 3.0}},
    )
    return replace(made, **changes)


def printed(given: Answer, **more: Any) -> str:
    out = io.StringIO()
    print_answer(Console(file=out, width=200), "s", given, **more)
    return out.getvalue()


def test_the_answer_says_everything_that_is_promised() -> None:
    text = printed(answer(), notes=["2 failed (member 3, 4): boom"], home=Home.open("/h"))
    for words in (
        "s: helps",
        "0.3, the best lies between 0.1 (or below) and 0.9 with 95 % (off: 1)",
        "1.5 [0.5, 2.5] of val_neg_elbo_nats gained over λ off (5 paired seeds)",
        "margin ±1.03",
        "101.5 [99.5, 103.5] for one new seed (95 %)",
        "chosen 102.00 ± 0.4, off 104.00 ± 0.5, effect 2 [1, 3]",
        "FID[lenet, n=9]: chosen 2.00 ± 0.1, off 3.00 ± 0.2 (standard errors over 5 seeds)",
        "search 24 members, 416 epochs, 63 s",
        "note: the best beta lies at the edge",
        "note: 2 failed (member 3, 4): boom",
        "lagrange ui s --home /h",
        "lagrange export s -o best.yaml --home /h",
    ):
        assert words in text, words
    assert "24 members, 416 epochs, 63 s of training (20 complete, 4 stopped)" in printed(answer(), details=True)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_is_explained(verdict: Verdict) -> None:
    text = printed(answer(verdict=verdict))
    assert f"s: {verdict} – " in text
    assert ("the exported config is the off arm" in text) == (verdict is Verdict.HURTS)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (None, "not read"),
        ({"error": "no weights"}, "could not be read: no weights"),
        ({"chosen": 1.0, "off": 2.0, "improvement": 1.0, "seeds": 2}, "chosen 1, off 2, effect 1"),
    ],
)
def test_the_test_split_is_always_accounted_for(test: dict[str, Any] | None, words: str) -> None:
    assert words in printed(answer(test=test))


def test_where_off_is_exported_its_test_score_is_called_exported_and_the_judged_lambda_is_not_chosen() -> None:
    text = printed(answer(verdict=Verdict.HURTS, recommended_arm="off", recommended={"beta": 1.0, "lr": 0.001}))
    assert "exported (off) 104.00 ± 0.5, best λ 102.00 ± 0.4, effect of best λ 2 [1, 3]" in text
    assert "FID[lenet, n=9]: exported (off) 3.00 ± 0.2, best λ 2.00 ± 0.1 (" in text and "chosen" not in text
    alike = printed(answer(arm="off", recommended_arm="off"))  # no λ arm could be chosen: there is no best λ to tell of
    assert "FID[lenet, n=9]: exported (off) 3.00 ± 0.2 (" in alike


def test_an_answer_without_numbers_prints() -> None:
    nothing = answer(effect=Effect(math.nan, -math.inf, math.inf, 0), off_score=math.nan, promise=Promise(math.nan, -math.inf, math.inf, 1))
    text = printed(nothing)
    assert "not measured" in text and "unknown for one new seed" in text and "not measured of" not in text


def test_text_in_square_brackets_is_not_eaten() -> None:
    assert "[bold]reason[/bold]" in printed(answer(), notes=["[bold]reason[/bold]"])


def test_plain_lines_have_no_control_characters_and_do_not_flood() -> None:
    display, clock, out = watched()
    display.started({**INFO, "trials": 400})
    for number in range(400):
        train(display, clock, number, epochs=0)
        clock.now += 0.1
    text = out.getvalue()
    assert not ANSI.search(text)
    assert 40 / 3 - 2 <= len(text.splitlines()) <= 40 / 3 + 4, "a line every three seconds of forty"
    assert "s: vae × mlp400 × digits · 2 workers" in text


def test_workers_that_train_are_told_from_those_that_start() -> None:
    display, _, out = watched(terminal=True)
    display.started(INFO)
    display.workers(1, 2)
    display.console.print(display)
    display.workers(2, 2)
    display.console.print(display)
    display.close()
    text = ANSI.sub("", out.getvalue())
    assert "digits · 1 of 2 workers" in text and "digits · 2 workers" in text


def test_what_is_waited_for_before_a_sweep_begins_is_said_on_a_terminal_too() -> None:
    display, _, out = watched(terminal=True)
    display.note("no node has room for a member yet")
    assert "no node has room" in out.getvalue()


def test_in_a_log_it_is_said_when_all_workers_are_up_and_when_one_is_gone() -> None:
    display, _, out = watched()
    display.started(INFO)
    for up, there in ((1, 3), (2, 3), (3, 3), (2, 3)):
        display.workers(up, there)
    assert out.getvalue().splitlines()[1:] == ["3 workers up", "2 of 3 workers up"]


def test_the_display_says_where_mlflow_shows_the_sweep_once_it_does() -> None:
    """Before the first epoch a check may refuse the sweep, which then is nowhere."""
    for plain in (True, False):
        out = io.StringIO()
        display = Display(Console(file=out, width=200, force_terminal=False), plain=plain, ui="lagrange ui NAME --home /h")
        display.started({**INFO, "name": "mine"})
        display.member(0, "search", "", {"beta": 1.0})
        assert "in MLflow" not in out.getvalue()
        display.report(0, 1, 2, 0.5)
        display.report(0, 2, 2, 0.5)
        if not plain:
            display.console.print(display)
        display.close()
        assert out.getvalue().count("in MLflow") == 1
        assert "in MLflow: lagrange ui mine --home /h" in out.getvalue()


def test_best_so_far_is_the_best_complete_searched_member_and_off_stands_apart() -> None:
    display, clock, out = watched()
    display.started(INFO)
    train(display, clock, 0, score=0.5, arm="off")
    train(display, clock, 1, score=3.0)
    train(display, clock, 2, score=2.0)
    train(display, clock, 3, score=None, state="stopped", epochs=2)
    display.finished(None)
    last = out.getvalue().splitlines()[-1]
    assert "luckiest with λ on 2 (member 2: beta=2.5)" in last, "and l2, which nobody varied, is left out"
    assert "luckiest with λ off 0.5" in last
    assert "3 complete · 1 stopped" in last and "4/4 searched" in last


def test_time_left_counts_what_is_still_to_train() -> None:
    """Two of four searched at one epoch per second; two more and 10 confirmations of 10 epochs are left: 120 s."""
    display, clock, _ = watched()
    display.started(INFO)
    assert display.seconds_left() is None
    train(display, clock, 0)
    train(display, clock, 1)
    assert display.seconds_left() == pytest.approx(120)


def test_time_left_learns_that_members_are_stopped() -> None:
    display, clock, _ = watched()
    display.started({**INFO, "confirming": 0})
    train(display, clock, 0, state="stopped", epochs=2)
    train(display, clock, 1, state="stopped", epochs=2)
    assert display.seconds_left() == pytest.approx(4)


def test_a_confirmation_is_announced_and_counted_in_members() -> None:
    display, clock, out = watched()
    display.started({**INFO, "trials": 0})
    display.phase("confirm", 0, 6)
    train(display, clock, 0, phase="confirm", arm="off")
    display.finished(None)
    assert "1/6 confirmed" in out.getvalue().splitlines()[-1]


def test_a_resumed_sweep_counts_what_was_done_before() -> None:
    display, _, out = watched()
    display.started({**INFO, "done": 3})
    display.finished(None)
    assert "3/4 searched" in out.getvalue()


def test_a_resumed_sweep_remembers_the_best_members_and_the_confirmation_of_before() -> None:
    spec = read({"objective": "toy", "budget": {"trials": 4}})
    rows = [
        MemberRow(0, {"l2": 0.0, "lr": 0.01}, 1, arm="off", state="complete", score=0.5),
        MemberRow(1, {"l2": 0.2, "lr": 0.01}, 2, arm="search", state="complete", score=0.4),
        *(MemberRow(number, {"l2": 0.3, "lr": 0.01}, 3, arm="search", state="stopped") for number in (2, 3)),
    ]
    display, _, out = watched()
    display.started(introduction("s", spec, 1, rows))
    display.finished(None)
    last = out.getvalue().splitlines()[-1]
    assert "luckiest with λ on 0.4 (member 1: l2=0.2)" in last and "luckiest with λ off 0.5" in last and "confirmed" not in last
    confirmed = [MemberRow(4 + one, {"l2": 0.2}, 7, phase="confirm", state=state) for one, state in enumerate(("complete", None))]
    display.started(introduction("s", spec, 1, [*rows, *confirmed]))
    display.finished(None)
    assert "4/4 searched · 1/2 confirmed" in out.getvalue().splitlines()[-1]


def test_bad_ends_are_told_at_once_and_then_counted() -> None:
    display, clock, out = watched()
    display.started({**INFO, "trials": 100})
    for number in range(20):
        train(display, clock, number, state="failed", score=None, reason=f"boom {number}\nTraceback", epochs=1)
    told = [line for line in out.getvalue().splitlines() if line.startswith("member ")]
    assert len(told) == SHOWN_FAILURES
    assert told[0] == "member 0 failed: boom 0"
    assert "counted, not printed" in told[-1]


def test_a_terminal_gets_a_table_and_its_cursor_back() -> None:
    display, clock, out = watched(terminal=True)
    with display:
        display.started(INFO)
        train(display, clock, 0)
        display.member(1, "search", "search", {"beta": 0.7})
        display.console.print(display)
    text = out.getvalue()
    assert "searched" in text and "1 of 4" in text and "beta" in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text.rpartition("\x1b[?25l")[2]


def test_a_list_that_is_cut_says_how_much_is_left_out() -> None:
    display, _, out = watched(terminal=True)
    with display:
        display.started(INFO)
        for number in range(14):
            display.member(number, "search", "search", {"beta": 0.7})
            display.note(f"note {number}")
        display.console.print(display)
    assert "… and 6 more" in out.getvalue() and "… and 11 earlier notes" in out.getvalue()
    rows = [MemberRow(number, {}, 0, state="failed", reason="boom") for number in range(14)]
    assert failures(rows) == ["14 failed (member 0, 1, 2, 3, 4, 5, 6, 7, … and 6 more): boom"]
    assert failures(rows[:8]) == ["8 failed (member 0, 1, 2, 3, 4, 5, 6, 7): boom"], "a whole list is not cut"
    several = [replace(row, reason=f"boom {row.number}") for row in rows[:5]]
    assert why_no_answer(several).endswith("1 failed (member 2): boom 2; … and 2 more")


def test_the_terminal_is_given_back_when_the_sweep_fails() -> None:
    display, _, out = watched(terminal=True)
    with pytest.raises(RuntimeError), display:
        display.started(INFO)
        raise RuntimeError
    assert out.getvalue().count("\x1b[?25h") == out.getvalue().count("\x1b[?25l") == 1


def test_training_outside_a_sweep_shows_epochs() -> None:
    display, clock, out = watched()
    for epoch in range(1, 11):
        clock.now += 1
        display.report(0, epoch, 10, 5.0)
    assert out.getvalue().splitlines()[0].startswith("epoch 1 of 10, rung score 5")
    assert len(out.getvalue().splitlines()) == 4


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sparklines_show_the_shape_and_the_ends() -> None:
    assert sparkline([3.0, None, 1.0]) == "3 █ ▁ 1"
    assert sparkline([]) == "–"
    assert sparkline([1.0, 1.0]) == "1 ▁▁ 1"
    assert len(sparkline(float(value) for value in range(1000))) < 80
