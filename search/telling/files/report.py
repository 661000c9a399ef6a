"""The report of a sweep: one HTML file that needs nothing else. What it says is what `answer` says; figures come from `figures/`."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from infra.storage import replaced, strip_password
from search.asking.space import AGAINST_NOTHING, OFF_ARM
from search.choosing.answer import Answer
from search.choosing.words import number
from search.telling import figures
from search.telling.text.answer import print_answer
from search.telling.text.live import config_text, duration
from search.telling.view import View

CSS = Path(__file__).with_name("report.css")
DRAW = Path(__file__).with_name("report.js")  # how a page draws a figure, on a narrow screen, too
_VERDICTS = {"helps": "#009E73", "better": "#009E73", "hurts": "#D55E00", "worse": "#D55E00", "harmless": "#0072B2"}
_COPY = "navigator.clipboard.writeText(document.getElementById('config').textContent); this.textContent = 'copied'"
_CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["sendChartToCloud", "lasso2d", "select2d", "autoScale2d"],
}


def write(view: View, path: Path) -> Path:
    """Write the report of a sweep; returns `path`. Needs no browser and no network; the file is about 5 MB, most of it plotly's program."""
    from plotly.offline import get_plotlyjs

    with replaced(path) as beside:
        beside.write_text(html(view, get_plotlyjs()), encoding="utf-8")
    return path


def html(view: View, program: str) -> str:
    """The report as HTML. `program` is plotly's own, in JavaScript."""
    parts = [*_head(view), *_answer(view), *_figures(view), *_config(view), *_members(view), *_notes(view), *_provenance(view)]
    title = f"{view.name}: {view.answer.verdict_word}" if view.answer is not None else view.name
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{_said(title)}</title>'
    head += f"<style>{CSS.read_text('utf-8')}</style>"
    draws = DRAW.read_text("utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<script>{program}</script><script>{draws}</script></head>\n<body><main>\n'
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _said(text: object) -> str:
    """A text for HTML, without passwords."""
    return escape(strip_password(str(text)))


def _head(view: View) -> Iterator[str]:
    badge = ""
    if view.answer is not None:
        word = view.answer.verdict_word
        badge = f'<span class="verdict" style="background:{_VERDICTS.get(word, "#767676")}">{_said(word)}</span>'
    yield f"<h1>{_said(view.name)}{badge}</h1>"
    yield f'<p class="what">{_said(view.title)} · {view.sweep.created:%Y-%m-%d %H:%M} UTC · {_said(view.sweep.status)}</p>'


# --- the answer -------------------------------------------------------------------------------------------------------------------------


def _answer(view: View) -> Iterator[str]:
    answer = view.answer
    if answer is None:
        yield f'<p class="sentence">{_said(unanswered(view))}</p>'
        return
    for fact in answer.first:
        yield f'<p class="first">{_said(fact)}</p>'
    yield f'<p class="sentence">{_said(answer.sentence())}</p>'
    if answer.missing:
        yield f'<p class="first">{_said(answer.missing)}.</p>'
    cards = "".join(_card(*card) for card in _cards(view, answer))
    yield f'<div class="cards">{cards}</div>'
    summary = "All that is known, as <code>lagrange show</code> prints it"
    yield f"<details><summary>{summary}</summary><pre>{_said(printed(view))}</pre></details>"


def unanswered(view: View) -> str:
    """Why a sweep has no answer, and what its members came to."""
    problem = (view.sweep.facts or {}).get("problem", "")
    if not view.rows:
        return f"This sweep is {view.sweep.status} and has no member yet. {problem}".strip()
    ended = [row for row in view.rows if row.state != "open"]
    complete = sum(row.ended == "ok" for row in ended)
    said = f"This sweep is {view.sweep.status} and has no answer yet."
    if ended and not complete:
        kinds = " and ".join(sorted({row.state for row in ended}))
        said += f" Of its {len(ended)} members that ended none was trained to its end with a finite score; they ended {kinds}."
    else:
        said += f" {complete} of {len(view.rows)} members were trained to their end."
    return f"{said} {problem}".strip()


def _card(name: str, value: str, more: str = "", kind: str = "") -> str:
    lines = f'<div class="name">{_said(name)}</div><div class="value">{_said(value)}</div><div class="more">{_said(more)}</div>'
    return f'<div class="card {kind}">{lines}</div>'


def _cards(view: View, answer: Answer) -> Iterator[tuple[str, ...]]:
    off = answer.keeps_off
    for one in answer.lambdas:
        value = answer.exported[one.name]
        unit = "" if one.unit in ("", "1") else f" ({one.unit})"
        is_off = value == one.off and answer.against != AGAINST_NOTHING
        name = f"exported {one.name}{unit}{', off' if is_off else ''}"
        more = "" if off or one.switched_off else f"the best lies in {one.interval()} with 95 %"
        more = f"the best of the others is {number(one.value)}; it is not exported" if off and answer.arm != OFF_ARM else more
        yield name, number(value), more, "exported"
    if answer.against != AGAINST_NOTHING:
        paired = (
            answer.uncompleted_words
            or f"{number(answer.effect.low)} to {number(answer.effect.high)} with 95 %, {answer.effect.seeds} paired seeds"
        )
        which = "" if not off or answer.arm == OFF_ARM else "by the best with λ on, which is not exported: "
        yield f"gain over {answer.rival}", number(answer.effect.mean) if answer.effect.measured else "not measured", which + paired
    width = answer.promise.high - answer.promise.low
    ends = f"{number(answer.promise.low, width)} to {number(answer.promise.high, width)} with 95 %, {answer.score_name}"
    yield "promise for one new seed", number(answer.promise.mean, width), ends
    yield from _test_card(answer, off)
    total = view.spent.get("total", {}).get("total", {})
    money = f", {number(total.get('seconds', 0.0) / 3600 * view.per_hour)} in money" if view.per_hour is not None else ""
    yield (
        "cost",
        duration(total.get("seconds", 0.0)),
        f"of all workers, added up: {total.get('members', 0):.0f} trainings, {total.get('epochs', 0):,.0f} epochs{money}",
    )


def _test_card(answer: Answer, off: bool) -> Iterator[tuple[str, ...]]:
    test = answer.test or {}
    read = test.get(OFF_ARM if off else "chosen", test.get("recommended"))
    if isinstance(read, Mapping) and "mean" in read:
        doubt = f"± {number(read['se'])} over seeds" if read.get("se") is not None else ""
        yield "test split, exported config", number(float(read["mean"]), float(read.get("se") or 0.0)), doubt


def printed(view: View) -> str:
    """The answer as the command line prints it, as plain text."""
    from rich.console import Console

    assert view.answer is not None
    out = io.StringIO()  # and not the notebook that asks for the report: rich would print there
    print_answer(Console(file=out, width=118, force_jupyter=False), view.name, view.answer, details=True)
    return out.getvalue().partition("where to look next:")[0].strip()


# --- the figures ------------------------------------------------------------------------------------------------------------------------


def _figures(view: View) -> Iterator[str]:
    absent = []
    for name in figures.known():
        file = figures.module(name)
        if reason := file.why_not(view):
            absent.append(f"<li>{_said(file.TITLE)}: {_said(reason)}</li>")
            continue
        yield f'<section id="{name}"><h2>{_said(file.TITLE)}</h2><p class="about">{_said(file.about(view))}</p>'
        yield f"{plot(name, file.figure(view))}</section>"
    if absent:
        yield f'<h2>Not drawn here, and why</h2><ul class="about">{"".join(absent)}</ul>'


def plot(name: str, figure: Mapping[str, Any]) -> str:
    """A figure as a part of an HTML page that has plotly's program, and `DRAW`."""
    data, layout, config = (_json(part) for part in (figure["data"], figure["layout"], _CONFIG))
    height = figure["layout"]["height"]
    drawn = f'<div class="plot" id="plot-{name}" style="height:{height}px"></div>'
    return f'{drawn}<script>draw("plot-{name}", {data}, {layout}, {config})</script>'


def _json(value: Any) -> str:
    """JSON that may stand in a script. It has no NaN, and no end of a script."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


# --- the rest ---------------------------------------------------------------------------------------------------------------------------


def _config(view: View) -> Iterator[str]:
    if not view.config:
        return
    yield "<h2>The config to copy</h2>"
    name = _said(view.name)
    yield f'<p class="about">Save it as best.yaml, or: <code>lagrange export {name} -o best.yaml</code>. '
    yield "Train it on a fresh seed and hold it to its promise: <code>lagrange train best.yaml</code></p>"
    yield f'<button onclick="{_COPY}">copy</button><pre id="config">{_said(view.config)}</pre>'


def _members(view: View) -> Iterator[str]:
    if not view.spent.get("total"):
        return
    numbers = "".join(f'<th class="n">{name}</th>' for name in ("members", "epochs", "time"))
    yield f"<h2>Members by phase and state</h2><table><tr><th>phase</th><th>state</th>{numbers}</tr>"
    for phase, states in sorted(view.spent.items(), key=lambda one: one[0] == "total"):
        for state, one in states.items():
            if phase == "total" or state != "total" or len(states) == 1:
                counts = (f"{one['members']:.0f}", f"{one['epochs']:,.0f}") if one["members"] else ("", "")
                values = (*counts, duration(one["seconds"]))
                cells = "".join(f'<td class="n">{value}</td>' for value in values)
                yield f"<tr><td>{_said(phase)}</td><td>{_said('' if state == 'total' else state)}</td>{cells}</tr>"
    yield "</table>"
    yield from _lost(view)


def _lost(view: View) -> Iterator[str]:
    """How many members were lost for each reason."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for row in view.rows:
        if row.ended != "ok" and row.state not in ("stopped", "open"):
            reasons.setdefault((row.state, view.reasons.get(row.number, "")), []).append(row.number)
    if not reasons:
        return
    yield "<ul>"
    for (state, reason), numbers in sorted(reasons.items(), key=lambda item: -len(item[1]))[:12]:
        shown = ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
        yield f"<li>{len(numbers)} {_said(state)}{': ' + _said(reason) if reason else ''} (member {shown})</li>"
    yield "</ul>"


def _notes(view: View) -> Iterator[str]:
    answer = view.answer
    notes = list(dict.fromkeys([one.warning for one in answer.lambdas if one.warning] + list(answer.notes))) if answer is not None else []
    if notes:
        yield "<h2>Notes</h2><ul>" + "".join(f"<li>{_said(note)}</li>" for note in notes) + "</ul>"


def _provenance(view: View) -> Iterator[str]:
    """Where the answer comes from: spec, data, versions."""
    dataset = (view.sweep.facts or {}).get("dataset") or {}
    facts: dict[str, Any] = {
        "objective": view.sweep.objective,
        "model": view.sweep.model,
        "data set": view.sweep.dataset,
        "score": f"{view.asked[0].name}, {view.answer.score_label}"
        if view.answer is not None and view.answer.score_label
        else view.asked[0].name,
        "searched": ", ".join(_range(name, wanted) for name, wanted in (view.sweep.spec.get("search") or {}).items()),
        "fixed": config_text(view.sweep.spec.get("fixed") or {}),
        "budget": _pairs(view.sweep.spec.get("budget") or {}),
        "sampler, scheduler": f"{_named(view.sweep.spec.get('sampler'))}, {_named(view.sweep.spec.get('scheduler'))}",
        "seed": view.sweep.spec.get("seed"),
        "splits": _pairs(dataset.get("sizes") or {}),
        **{f"SHA-256 of {split}": digest for split, digest in (dataset.get("sha256") or {}).items()},
        "licence of the data": dataset.get("licence"),
        **{key.replace("_", " "): _pairs(value) if isinstance(value, Mapping) else value for key, value in view.sweep.provenance.items()},
    }
    yield "<h2>Where this comes from</h2><table>"
    for name, value in facts.items():
        if value not in (None, "", {}):
            yield f"<tr><td>{_said(name)}</td><td>{_said(value)}</td></tr>"
    yield "</table>"


def _range(name: str, wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        if wanted.get("choices") is not None:
            return f"{name} in {_listed(wanted['choices'])}"
        return f"{name} from {wanted.get('low')} to {wanted.get('high')}{' (log)' if wanted.get('log') else ''}"
    return f"{name} in {_listed(wanted)}"


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in values)


def _named(chosen: Any) -> str:
    return (
        str(chosen.get("name")) + " (" + _pairs({key: value for key, value in chosen.items() if key != "name"}) + ")"
        if isinstance(chosen, Mapping)
        else str(chosen)
    )


def _pairs(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items() if value is not None)
