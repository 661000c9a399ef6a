"""What stands beside an answer, in words: one line each in the printed answer, and more in `lagrange show`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from search.choosing.answer import Answer
from search.choosing.beside import Expected, Importance, Interaction
from search.choosing.words import number
from search.telling.text.live import ENDED_BADLY, duration

Line = tuple[str, str]
UNTOLD = 10  # standard deviations beyond so many times the mean tell nothing of it
SHOWN = 4  # knobs that the line of importance names; `show` names all


def beside_lines(answer: Answer, details: bool = False) -> list[Line]:
    """What to know of the chosen λ beside its value and its effect."""
    found: list[Line] = []
    simpler, interactions = answer.beside.simpler, answer.beside.interactions
    if simpler is not None:
        values = ", ".join(f"{name} = {number(value) if isinstance(value, float) else value}" for name, value in simpler.lambdas.items())
        loss = expected_text(simpler.loss)
        found.append(("or simpler", f"{values}: more regularized, as good within one standard error; it is expected to lose {loss}"))
    shown = interactions if details else sorted(interactions, key=_strength, reverse=True)[:1]
    found += [("together", interaction_text(one, details)) for one in shown]
    for one in answer.beside.importance if details or any(len(one.shares) > 1 for one in answer.beside.importance) else []:
        found.append((f"importance{f' ({one.alone} alone)' if one.alone else ''}", importance_text(one, None if details else SHOWN)))
    return found


def cost_lines(answer: Answer, details: bool = False) -> list[Line]:
    """What each phase cost, what the end of the search bought, and what had been planned."""
    phases = [(phase, states) for phase, states in answer.spent.items() if phase != "total"]
    found: list[Line] = []
    if details:
        found += [(f"spent: {phase}", spent_text(states)) for phase, states in (*phases, ("total", answer.spent.get("total", {})))]
    elif phases:
        said = "; ".join(f"{phase} {_sum_text(states['total'])}" for phase, states in phases if "total" in states)
        found.append(("cost", f"{said} (of all workers, added up)"))
    if answer.beside.last_third is not None:
        found.append(("last third", last_third_text(answer.beside.last_third)))
    if answer.beside.plan:
        found.append(("plan", plan_text(answer.beside.plan)))
    return found


def importance_text(one: Importance, most: int | None) -> str:
    """`lr 66 %, beta 15 %; only together 4 %, luck of seeds or doubt 15 % (shares of the variance of scores over the ranges)`."""
    ordered = _ordered(one.shares)
    said = ", ".join(f"{name} {percent(share)}" for name, share in ordered[:most])
    rest = f", {len(ordered) - most} more" if most is not None and len(ordered) > most else ""
    together = f"only together {percent(one.together)}, " if len(ordered) > 1 else ""
    source = "of the variance of scores over the ranges" if most is not None else _SOBOL
    return f"{said}{rest}; {together}luck of seeds or doubt {percent(one.luck)} ({source})"


_SOBOL = (
    "first-order Sobol shares by the fit, of the variance of scores over the ranges, on a scale that is logarithmic beyond the best quarter"
)


def interaction_text(one: Interaction, details: bool = False) -> str:
    """`l2 and dropout: together 0.3 less than the sum of both [0.1, 0.5]`."""
    less = one.mean < 0
    amount, low, high = (-one.mean, -one.high, -one.low) if less else (one.mean, one.low, one.high)
    chance = "; that may be chance" if low <= 0 else ""
    source = f"{one.seeds} paired seeds" if one.seeds else "by the fit"
    share = f"; {percent(one.share)} of the variance of scores" if details and not math.isnan(one.share) else ""
    size = f"{number(amount)} {'less' if less else 'more'} than the sum of both [{number(low)}, {number(high)}]"
    return f"{one.first} and {one.second}: together {size}{chance} ({source}{share})"


def last_third_text(one: Expected) -> str:
    """What the last third of the search bought."""
    if math.isinf(one.mean):
        return "of the search kept the choice away from a config whose trainings are likely lost"
    if not one.sd:
        return "of the search bought nothing: the first two thirds choose the same config"
    if one.sd > UNTOLD * abs(one.mean):
        return f"of the search bought nothing that the fit can tell ({expected_text(one)})"
    if one.mean <= 0:
        return f"of the search bought nothing: by the fit the config of the first two thirds is better by {expected_text(one, -1)}"
    bought = expected_text(one)
    return f"of the search bought {bought}: by the fit the first two thirds would have chosen a config that much worse"


def plan_text(plan: Mapping[str, Mapping[str, float | str | None]]) -> str:
    """`planned: at most 48 members and 960 epochs, about 60 s, width 0.1; came: 46 members, 700 epochs, 47 s, width 0.097`.

    What was not known beforehand is left out: time and width are those of earlier sweeps of this kind.
    """
    planned, came = plan.get("planned", {}), plan.get("came", {})
    unit = planned.get("unit") or ""
    seconds, width, expected = planned.get("seconds"), planned.get("width"), planned.get("expected_epochs")
    epochs = f"{_whole(planned.get('epochs'))} epochs"
    epochs += f" ({_whole(expected)} expected)" if isinstance(expected, float | int) and expected < _float(planned.get("epochs")) else ""
    time = f", about {duration(_float(seconds))}" if seconds is not None else ""
    how_wide = f", width {number(_float(width))}{f' {unit}' if unit else ''}" if width is not None else ""
    more = f" (beside {planned['beside']})" if planned.get("beside") else ""
    said = f"at most {_whole(planned.get('members'))} members and {epochs}{more}{time}{how_wide}"
    said = f"planned{'' if time or how_wide else ' (no earlier sweep of this kind says how long)'}: {said}"
    if not came:
        return said
    real = f"{_whole(came.get('members'))} members, {_whole(came.get('epochs'))} epochs, {duration(_float(came.get('seconds')))}"
    wide = _float(came.get("width"))
    no_effect = width is None and math.isnan(wide)
    return f"{said}; came: {real}{'' if no_effect else f', width {number(wide)}'}"


def luck_line(answer: Answer) -> list[Line]:
    """What a tuner would have promised, where that is too good."""
    if not answer.optimism > 0:
        return []
    best = number(answer.luckiest, answer.optimism)
    what = "off arm" if answer.keeps_off else "exported config"
    expect = number(answer.promise.mean, answer.optimism)
    return [("luck", f"a tuner would have promised {best}, its luckiest training; of the {what} expect {expect}")]


def expected_text(one: Expected, sign: int = 1) -> str:
    """A difference of expected scores, or its opposite, with its standard deviation: two digits of each."""
    mean, sd = (number(float(f"{value:.2g}")) for value in (sign * one.mean, one.sd))
    return f"{mean} ± {sd}"


def percent(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %"


def spent_text(states: Mapping[str, Mapping[str, float]]) -> str:
    """What a phase cost, by the states of its members."""
    total = states.get("total", {})
    members = max(total.get("members", 0), 1)
    # How often a training gave no result is a result, too.
    share = {state: f" ({100 * entry['members'] / members:.0f} %)" for state, entry in states.items() if state in ENDED_BADLY}
    by_state = ", ".join(f"{entry['members']:.0f}{share.get(state, '')} {state}" for state, entry in states.items() if state != "total")
    whole = f"{_sum_text(total)} of training" if total.get("members") else _sum_text(total)
    return f"{whole} ({by_state})" if by_state else whole


def _sum_text(total: Mapping[str, float]) -> str:
    if not total.get("members"):  # a step in which no member is trained
        return duration(total.get("seconds", 0))
    return f"{total.get('members', 0):.0f} members, {total.get('epochs', 0):.0f} epochs, {duration(total.get('seconds', 0))}"


def _ordered(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: -item[1])


def _strength(one: Interaction) -> float:
    """How far from 0 an interaction is, in halves of its interval."""
    return abs(one.mean) / max(one.high - one.low, 1e-300)


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _whole(value: object) -> str:
    return f"{_float(value):,.0f}" if isinstance(value, int | float) else "unknown"
