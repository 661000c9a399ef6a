"""The front of several metrics, printed: a row for each confirmed arm."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from search.asking.space import OFF_ARM
from search.choosing.answer import Answer
from search.choosing.findings import Front, FrontPoint
from search.choosing.words import number
from search.telling.text.live import config_text


def front_table(answer: Answer, front: Front) -> Table:
    """The confirmed arms, the best by the score first: each metric with its 95 % interval, and how likely no other arm dominates it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("arm", *(f"{name}, {better} is better" for name, better in front.metrics.items()), "not dominated", "config"):
        table.add_column(name, overflow="fold")
    score = next(iter(front.metrics))
    for one in sorted(front.points, key=lambda point: point.values[score].mean):
        values = (one.values[name].words() for name in front.metrics)
        table.add_row(_named(one, answer), *values, _likely(one), escape(config_text(_searched(one, answer))))
    return table


def front_lines(answer: Answer, front: Front) -> list[tuple[str, str]]:
    """What is to be said of the front beside its points: title and text."""
    kept = [one for one in front.points if one.front]
    corner = ", ".join(f"{name} {number(value)}" for name, value in front.reference.items())
    others = "; any of them: lagrange export NAME --arm ARM" if len(kept) > 1 else ""
    found = [("front", f"{len(kept)} of {len(front.points)} confirmed arms ({front.seeds} paired seeds){others}")]
    found.append(("hypervolume", f"{front.hypervolume.words()} up to {corner}"))
    chosen = front.point(answer.recommended_arm)
    if chosen is not None and chosen.effects:
        found += [(f"effect on {name}", _effect(name, chosen, front)) for name in list(front.metrics)[1:]]
    if front.beside not in ("", answer.recommended_arm):
        first, second = list(front.metrics)[:2]
        found.append(("or", f"arm {front.beside}: the best {second} within one standard error of the best {first}"))
    return found


def _effect(name: str, chosen: FrontPoint, front: Front) -> str:
    effect = chosen.effects[name]
    return f"{effect.words()} gained over λ off ({front.metrics[name]} is better; holds at once for {effect.comparisons} effects)"


def _named(one: FrontPoint, answer: Answer) -> str:
    dominated = not one.front and not one.broken
    said = [word for word, true in (("recommended", one.arm == answer.recommended_arm), ("dominated", dominated)) if true]
    said += [f"breaks {text}" for text in one.broken]
    lost = [f"lost {one.lost} seeds"] if one.lost else []
    return f"{one.arm} ({', '.join([*said, *lost])})" if said or lost else one.arm


def _likely(one: FrontPoint) -> str:
    return f"{100 * one.undominated:.0f} %"


def _searched(one: FrontPoint, answer: Answer) -> dict[str, object]:
    """The knobs that differ between the arms."""
    configs = [arm["config"] for arm in answer.arms] or [one.config]
    return {name: value for name, value in one.config.items() if any(config.get(name) != value for config in configs)} or {OFF_ARM: ""}
