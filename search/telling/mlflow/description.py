"""What stands above a sweep's numbers in MLflow: how far it is while it runs, and its answer in Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from infra.catalogue import MemberRow
from objectives.base import Phase, State
from search.asking.space import AGAINST_NOTHING, OFF_ARM
from search.choosing.answer import Answer
from search.choosing.missing import INSTEAD
from search.choosing.words import number
from search.spec.several import own_sign
from search.telling.mlflow.portrait import Portrait, plain
from search.telling.text.answer import fact_rows, verdict_words

MOST: Final = 4900
"""Characters of a description: MLflow cuts what is longer, older versions at 5,000."""
_FIRST: Final = ("effect", "promise", "test split")  # what a reader looks for first
_NOT: Final = ("config", *_FIRST)


def line(name: str, answer: Answer) -> str:
    """The answer in one plain line, for the list of experiments, which shows the first words only and no Markdown."""
    effect = "" if answer.against == AGAINST_NOTHING else f" · effect {answer.effect_words()}"
    return f"{answer.verdict_word}: {_exported(answer)}{effect} · sweep {name}"


def _exported(answer: Answer) -> str:
    """`beta = 0.702 [0.607, 0.764]`, or `beta = 1 (off)` where λ off is what is exported."""
    if answer.keeps_off:
        return answer.exported_words()
    known = {one.name: one for one in answer.lambdas}
    return ", ".join(
        f"{name} = {number(value)}" + (f" {known[name].interval()}" if name in known and not math.isnan(known[name].low) else "")
        for name, value in answer.exported.items()
    )


def answered(name: str, answer: Answer, status: str = "complete") -> str:
    """The answer in Markdown."""
    _, meaning = verdict_words(answer)
    facts = fact_rows(answer)
    told = dict(facts)
    # MLflow shows five lines of a description. So these are short, and everything else comes after them.
    first = [f"**{plain(answer.verdict_word)}** – {plain(meaning)}"]
    first += [f"**{plain(fact)}**" for fact in answer.first]  # what makes the verdict mean little is no detail
    first += [f"**exported** {plain(_exported(answer))}"]
    first += [f"**{title}** {plain(told[title])}" for title in _FIRST if title in told]
    shown = [row for row in facts if row[0] not in _NOT]
    parts = [
        "  \n".join(first),
        "" if status == "complete" else f"*The sweep is {status}: it may go on, and its answer may change.*",
        "The curve over λ is `curve.png` under *Artifacts*; `best.yaml` there is the exported config:",
        _commands(name),
        _table(shown),
    ]
    notes = dict.fromkeys([one.warning for one in answer.lambdas if one.warning] + list(answer.notes))
    parts += [f"- {plain(note)}" for note in notes]
    return _fitted(parts)


def without_answer(name: str, status: str, problem: str = "") -> str:
    """What is to be said of a sweep that ended without an answer."""
    why = f": {plain(problem)}" if problem else ""
    return f"**{status}**, no answer yet{why}\n\n```\nlagrange resume {name}\nlagrange show {name}\n```"


def line_without_answer(name: str, status: str) -> str:
    """The same in one plain line. Why it has none is said with the sweep: that may change when it goes on."""
    return f"{status}, no answer yet · sweep {name}"


def running(portrait: Portrait, rows: Sequence[MemberRow], planned: Mapping[str, int], score_name: str) -> str:
    """How far a sweep is: members by phase and state, and the best so far in the search."""
    if not rows:
        return "**running** – no member has ended yet. The answer will stand here."
    own = [row for row in rows if not row.start and INSTEAD not in row.facts]
    searched, confirmed = ([row for row in own if row.phase == phase] for phase in (Phase.SEARCH, Phase.CONFIRM))
    done = [f"{_done(searched)} of {planned.get(Phase.SEARCH) or len(searched)} searched"]
    done += [f"{_done(confirmed)} of at most {max(planned.get(Phase.CONFIRM, 0), len(confirmed))} confirmed"] if confirmed else []
    states = Counter(row.state for row in rows if row.state is not None)
    ended = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    parts = [f"**running** – {', '.join(done)}", f"So far {ended}." if ended else ""]
    best = [
        (arm, _best(portrait, [row for row in searched if (row.arm == OFF_ARM) == off])) for arm, off in (("λ on", False), ("λ off", True))
    ]
    if told := ", ".join(f"{found} with {arm}" for arm, found in best if found):
        parts.append(f"Best of the search in {score_name}, each the luckiest of its arm and no answer yet: {told}.")
    return _fitted([*parts, "The answer will stand here."])


def _done(rows: Sequence[MemberRow]) -> int:
    return sum(row.state is not None for row in rows)


def _best(portrait: Portrait, rows: Sequence[MemberRow]) -> str:
    """The member with the best score; empty where none has one."""
    complete = [row for row in rows if row.state == State.COMPLETE and row.score is not None and math.isfinite(row.score)]
    if not complete:
        return ""
    (best,) = own_sign([min(complete, key=lambda row: (row.score, row.number))], portrait.better)
    name = portrait.name(best).replace("`", "'")  # a choice of a user's may hold one, which would end the code
    return f"{number(best.score)} (`{name}`)"


def _commands(name: str) -> str:
    """What to type to take the config, and to train it again."""
    return f"```\nlagrange export {name} -o best.yaml\nlagrange train best.yaml\nlagrange show {name}\n```"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    return "\n".join(["| | |", "|---|---|", *(f"| {plain(title)} | {plain(text)} |" for title, text in rows)])


def _fitted(parts: Sequence[str]) -> str:
    """The parts that fit, from the first on."""
    told = ""
    for part in parts:
        joined = "\n" if part.startswith("- ") and told.rpartition("\n")[2].startswith("- ") else "\n\n"
        if part and len(told) + len(part) + 2 <= MOST:
            told += (joined if told else "") + part
    return told
