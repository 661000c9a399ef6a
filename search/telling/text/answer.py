"""The answer of a sweep, printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from infra.storage import Home
from infra.storage.hints import command, filled
from search.asking.space import AGAINST_NOTHING, AGAINST_OFF, OFF_ARM
from search.choosing.answer import Answer, LambdaAnswer, Verdict
from search.choosing.findings import Effect
from search.choosing.words import number
from search.telling.text.beside import beside_lines, cost_lines, luck_line, plan_text
from search.telling.text.front import front_lines, front_table
from search.telling.text.live import config_text

__all__ = ["effect_text", "fact_rows", "plan_text", "print_answer", "print_stored", "verdict_words"]

_VERDICTS = {
    Verdict.HELPS: ("green", "λ is worth it: the interval of its effect lies above 0"),
    Verdict.HURTS: ("red", "λ makes it worse: the exported config is the off arm"),
    Verdict.HARMLESS: ("cyan", "λ changes the score by less than the margin"),
    Verdict.NO_EVIDENCE: ("yellow", "the effect cannot be told from 0; more seeds or trials may tell"),
}


_AGAINST_BASELINE = {
    Verdict.HELPS: ("green", "the interval of its gain over the baseline lies above 0"),
    Verdict.HURTS: ("red", "nothing that was found beats the baseline; it is what is exported"),
    Verdict.HARMLESS: ("cyan", "the score differs from the baseline's by less than the margin"),
    Verdict.NO_EVIDENCE: ("yellow", "the gain over the baseline cannot be told from 0; more seeds or trials may tell"),
}


def print_answer(
    console: Console,
    name: str,
    answer: Answer,
    notes: Iterable[str] = (),
    home: Home | None = None,
    usual: Mapping[str, Any] | None = None,
    details: bool = False,
    files: str = "",
) -> None:
    """The answer as a person wants to read it: what to use, how sure that is, whether λ was worth it, what it cost, where to look next.

    `usual` are the defaults of the objective's knobs; they are not repeated. `details`: all that stands beside the answer, too. `files`:
    the folder that holds the curve, the config and the answer as files. `home`: where the commands that are printed find the sweep.
    """
    colour, meaning = verdict_words(answer)
    console.print()
    for fact in answer.first:
        console.print(Text(filled(fact, name, home), style="bold yellow"), soft_wrap=True)
    console.print(Text.assemble((f"{name}: ", "bold"), (answer.verdict_word, f"bold {colour}"), f" – {meaning}"), soft_wrap=True)
    console.print(Text(answer.sentence()), soft_wrap=True)
    console.print(_facts([(title, filled(text, name, home)) for title, text in fact_rows(answer, usual, details)]))
    if answer.front is not None:
        console.print(front_table(answer, answer.front))
    for warning in dict.fromkeys([one.warning for one in answer.lambdas if one.warning] + list(answer.notes) + list(notes)):
        console.print(Text(f"note: {filled(warning, name, home)}", style="yellow"), soft_wrap=True)
    console.print("where to look next:", style="dim")
    if files:
        console.print(
            Text.assemble(f"  {files}", ("   # the report, the λ curve, the config and the answer as files", "dim")), soft_wrap=True
        )
    for line, why in _next_steps(name, home, shown=details, promised=answer.promise.seeds > 0):
        console.print(Text.assemble(f"  {line}", (f"   # {why}", "dim")), soft_wrap=True)


def verdict_words(answer: Answer) -> tuple[str, str]:
    """The colour of the verdict, and what it means."""
    colour, meaning = (_VERDICTS if answer.against == AGAINST_OFF else _AGAINST_BASELINE)[answer.verdict]
    if answer.against == AGAINST_NOTHING:
        colour, meaning = "cyan", "no knob has an off value, and no baseline was given"
    # A share of a score that does not lie above 0 is no margin; a note says so.
    if answer.verdict is Verdict.HELPS and answer.effect.high <= answer.margin and answer.off_score > 0:
        meaning = "λ helps, by less than the margin"
    meaning = _with_constraints(answer) or _uncompleted(answer) or meaning
    if answer.unconfirmed and not answer.uncompleted:
        meaning = "nothing was confirmed: no training on fresh seeds completed, so how good λ is, is not known"
    if answer.verdict is not Verdict.HELPS and answer.front is not None and (bought := answer.front.bought):
        meaning += f"; but on the front λ gains {' and '.join(bought)}"
    return colour, meaning


def _uncompleted(answer: Answer) -> str:
    """What the verdict means where no training with λ on completed, and what to do; empty where some did."""
    if not answer.uncompleted:
        return ""
    kept = "keep λ off" if answer.against == AGAINST_OFF else "keep the baseline"
    if answer.verdict is Verdict.HURTS:
        return f"{kept}: {answer.uncompleted_words}"
    if math.isnan(answer.effect.mean):  # none was lost to its config
        return f"{kept} for now: {answer.uncompleted_words}, so nothing is known of it"
    return f"{kept}: {answer.uncompleted_words}; more trials tell whether that is chance, and smaller values may train"


def print_stored(
    console: Console, name: str, stored: Mapping[str, Any], home: Home, usual: Mapping[str, Any] | None, files: str = ""
) -> None:
    """An answer as the catalogue has it, with all that stands beside it."""
    print_answer(console, name, Answer.from_dict(stored), home=home, usual=usual, details=True, files=files)


def _next_steps(name: str, home: Home | None, *, shown: bool, promised: bool) -> list[tuple[str, str]]:
    """Commands, and what each is for. `shown`: this is what `lagrange show` prints."""
    return [
        (command(f"ui {name}", home), "every member and curve, in MLflow"),
        (command(f"export {name} -o best.yaml", home), "the config, with its promise" if promised else "the config; it has no promise"),
        (command("train best.yaml", home), f"train it on a fresh seed{' and hold it to the promise' if promised else ''}"),
        *([] if shown else [(command(f"show {name}", home), "members by state and reason")]),
    ]


def _facts(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in rows:
        table.add_row(title, escape(text))
    return table


def fact_rows(answer: Answer, usual: Mapping[str, Any] | None = None, details: bool = False) -> list[tuple[str, str]]:
    """What an answer says, as titles and lines."""
    off = answer.keeps_off
    together = [one for one in answer.lambdas if one.alone is None]
    rows: list[tuple[str, str]] = [
        (f"best {one.name}", _off_line(one, answer) if off else _lambda_line(one) + _beside_effect(one, answer)) for one in together
    ]
    rows += [(f"{one.name} alone", _alone_line(one, answer)) for one in answer.lambdas if one.alone is not None]
    rows += [(f"{one.name} elsewhere", _sensitivity_line(one)) for one in together if one.sensitivity and not off]
    rows += [(f"{name} up and back", path["line"]) for name, path in answer.hysteresis.items()]
    rows += [(f"without {one.name}", f"costs {effect_text(one.without)}") for one in answer.lambdas if one.without is not None]
    rows += beside_lines(answer, details)
    if answer.against != AGAINST_NOTHING:
        gained = f"{effect_text(answer.effect)} of {answer.score_name} gained over {answer.rival} ({answer.effect.seeds} paired seeds)"
        rows.append(("effect", gained if answer.effect.measured else answer.effect_words()))
    rows += _baseline_line(answer)
    if answer.score_label:
        rows.append(("score", f"{answer.score_name} is {answer.score_label}; {answer.better} is better"))
    rows += front_lines(answer, answer.front) if answer.front is not None else []
    rows.append(("verdict", answer.verdict_word + (f" (margin ±{number(answer.margin)})" if answer.against != AGAINST_NOTHING else "")))
    rows += [("goal", one.words()) for one in answer.goals]
    rows += [("no config meets", answer.nearest)] if answer.nearest else []
    rows += [("constraint", line) for line in _constraint_lines(answer)]
    rows += [("missing", f"{answer.missing}. Again: `lagrange resume NAME --retry-failed`")] if answer.missing else []
    rows += luck_line(answer)
    rows.append(("promise", f"{answer.promise.words()} for one new seed (95 %)"))
    rows.append(("config", f"{config_text(answer.recommended, usual)} (arm {answer.recommended_arm})"))
    rows.append(("test split", _test_line(answer.test, _arm_names(answer))))
    rows += [("measured", _measured_line(name, arms, _arm_names(answer))) for name, arms in answer.measured.items()]
    return rows + cost_lines(answer, details)


def _baseline_line(answer: Answer) -> list[tuple[str, str]]:
    """What is gained over the config of today."""
    if not answer.baseline:
        return []
    knobs = {one.name: answer.baseline[one.name] for one in answer.lambdas}
    if answer.over_baseline is None:
        return [("baseline", f"{config_text(knobs)}: it is the recommended config, or was not confirmed")]
    if answer.against != AGAINST_OFF:
        return [("baseline", config_text(knobs))]
    gain = answer.over_baseline
    return [("baseline", f"{gain.words()} gained over {config_text(answer.baseline)} ({gain.seeds} paired seeds)")]


def _with_constraints(answer: Answer) -> str:
    """What the verdict means where constraints decide what is exported; empty where they do not."""
    if answer.nearest:
        return "no config meets the constraints: the exported one is likely the nearest to it"
    score = {Verdict.HELPS: "λ improves the score", Verdict.HURTS: "λ worsens the score"}.get(answer.verdict, "the score says little of λ")
    if answer.needed_for:
        return f"{score}, and λ is needed for {' and '.join(one.constraint for one in answer.needed_for)}"
    if answer.keeps_off and (broken := _broken(answer, "chosen")):
        return f"{score}, but it breaks {' and '.join(broken)}: the exported config is the off arm"
    return ""


def _broken(answer: Answer, arm: str) -> list[str]:
    """The constraints that the seeds of an arm do not keep to."""
    return [one.constraint for one in answer.constraints if one.arm == arm and one.seeds and not one.within]


def _constraint_lines(answer: Answer) -> list[str]:
    """`val_kl_nats >= 5: met, 5.4 (at least 5.2 with 95 %, 8 seeds); off 3.1`, for the exported config with the other arm beside it."""
    exported = {one.constraint: one for one in answer.kept_to}
    others = {one.constraint: one for one in answer.constraints if one.arm not in {kept.arm for kept in answer.kept_to}}
    name = "best λ" if answer.keeps_off else "off"
    beside = {text: f"; {name} {number(one.mean)}, {one.state}" for text, one in others.items() if one.seeds}
    return [one.words() + beside.get(text, "") for text, one in exported.items()]


def _off_line(one: LambdaAnswer, answer: Answer) -> str:
    if one.switched_off:
        return f"{number(one.off)}, which is off; the best of the others has it switched off by {one.switched_off}"
    where = "off" if answer.against == AGAINST_OFF else answer.rival
    if answer.uncompleted:
        return f"{number(one.off)}, which is {where}; no training with another value completed"
    said = "it hurts" if answer.verdict is Verdict.HURTS else f"nothing shows that it is better than {where}"
    if broken := _broken(answer, "chosen"):
        said = f"it is {'farther from' if answer.nearest else 'beyond'} {' and '.join(broken)}"
    return f"{number(one.off)}, which is {where}; the best of the others is {number(one.value)}, and {said}"


def _alone_line(one: LambdaAnswer, answer: Answer) -> str:
    """`helps: 0.2 [0.1, 0.3] gained over λ off, on test 0.2 [0.1, 0.3]; at 0.001, the best lies between …`."""
    assert one.alone is not None
    read = (answer.test or {}).get("alone", {}).get(one.name)
    test = f", on test {effect_text(Effect(**read))}" if read else ""
    return f"{one.verdict}: {effect_text(one.alone)} gained over λ off{test}; at {_lambda_line(one)}"


def _lambda_line(one: LambdaAnswer) -> str:
    if one.switched_off:
        return f"off: switched off by {one.switched_off}"
    if math.isnan(one.low):
        return f"{number(one.value)}{'' if one.unit in ('', '1') else f' {one.unit}'}, interval unknown{_off_text(one)}"
    ends = [[number(end) for end in piece] for piece in one.parts]
    ends[0][0] += " (or below)" if one.open_low else ""
    ends[-1][1] += " (or above)" if one.open_high else ""
    between = " or ".join(f"between {low} and {high}" for low, high in ends)
    unit = "" if one.unit in ("", "1") else f" {one.unit}"
    return f"{number(one.value)}{unit}, the best lies {between} with 95 %{_off_text(one)}"


def _beside_effect(one: LambdaAnswer, answer: Answer) -> str:
    """How the interval of a λ goes with the effect over off: the one is of all members, the other of the final seeds alone."""
    if answer.against != AGAINST_OFF or math.isnan(one.low) or one.switched_off:
        return ""
    helps, only, holds = answer.verdict is Verdict.HELPS, len(answer.lambdas) == 1, one.holds(one.off)
    if helps and holds:
        return "; off itself is proven worse" if only else "; off lies in it: the effect is of all λ together"
    if helps or holds or not (one.range[0] <= one.off <= one.range[1]):
        return ""
    if answer.verdict is Verdict.HARMLESS:
        return "; off lies outside, but the difference is within the margin"
    return "; by the fit of all members off lies outside, but the final seeds alone do not prove it"


def _off_text(one: LambdaAnswer) -> str:
    """The value of a knob that is compared with: where λ is off, or that of the baseline."""
    return "" if one.against == AGAINST_NOTHING else f" ({one.against}: {number(one.off)})"


def _sensitivity_line(one: LambdaAnswer) -> str:
    """`at a tenth +1.2, at a third +0.1, at 3 times +0.3, at 10 times lost (expected loss of score)`."""
    said = (f"at {where} {_cost(cost)}" for where, cost in one.sensitivity.items())
    return f"{', '.join(said)} (expected change of the score)"


def _cost(cost: float) -> str:
    """A cost of the score with its sign, or why there is none."""
    if math.isnan(cost):
        return "not known (no training completed)"
    return "lost" if math.isinf(cost) else f"{cost:+.2g}".replace("-", "−")


def effect_text(effect: Effect) -> str:
    """An effect with its interval."""
    return effect.words()


def _arm_names(answer: Answer) -> Mapping[str, str]:
    """What the arms that were read are called, the exported one first. Where off is exported, the λ that was judged is not `chosen`."""
    if not answer.keeps_off:
        return {"chosen": "chosen", OFF_ARM: "off"}
    judged = {} if answer.arm == OFF_ARM else {"chosen": "best λ"}  # where no λ arm can be chosen, `chosen` is the off arm once more
    return {OFF_ARM: "exported (off)", **judged}


def _measured_line(name: str, arms: Mapping[str, Mapping[str, float]], names: Mapping[str, str]) -> str:
    """`KID[lenet, n=1000]: chosen 0.12 ± 0.01, off 0.2 ± 0.02 (standard errors over 5 seeds)`."""
    said = [f"{called} {_estimate(arms[arm])}" for arm, called in names.items() if arm in arms]
    seeds = "/".join(dict.fromkeys(f"{one['n']:.0f}" for one in arms.values()))
    return f"{name}: {', '.join(said)} (standard errors over {seeds} seeds)"


def _test_line(test: Mapping[str, Any] | None, names: Mapping[str, str]) -> str:
    if not test:
        return "not read"
    if "error" in test:
        return f"could not be read: {test['error']}"
    parts = [f"{called} {_estimate(test[arm])}" for arm, called in names.items() if arm in test]
    effect, of = test.get("effect", test.get("improvement")), "" if names.get("chosen") == "chosen" else " of best λ"
    if isinstance(effect, Mapping):
        parts.append(f"effect{of} {number(effect['mean'])} [{number(effect['low'])}, {number(effect['high'])}]")
    elif effect is not None:
        parts.append(f"effect{of} {number(effect)}")
    return ", ".join(parts)


def _estimate(value: Any) -> str:
    return f"{number(value['mean'], value['se'])} ± {number(value['se'])}" if isinstance(value, Mapping) else number(value)
