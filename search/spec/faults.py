"""All that is wrong with a spec: each fault says what must hold, what was given and what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from objectives import base, data, features, models
from objectives.base import Conflict, Intent, Knob, Objective, Value
from objectives.registry import names, unknown
from search import schedulers
from search.asking import samplers
from search.asking.space import Space
from search.schedulers._evolving import movable
from search.spec import several
from search.spec.conditions import condition_faults, never, point_faults, sets
from search.spec.constraints import constraint_faults
from search.spec.defaults import bounds, default_dataset, searched_alone, searched_knobs
from search.spec.goals import goal_faults
from search.spec.handing_on import evolving_faults, handing_on_faults, stopping, trained_whole
from search.spec.hours import hour_faults
from search.spec.keys import COMMAND, Purpose, Range, Scalar, Score, Searched, Spec, condition, plain
from search.spec.priors import prior_faults
from search.spec.resources import resource_faults

# The off arm needs a config, and a curve over λ needs three more.
MIN_TRIALS = 4
LONGEST_KNOB = 80  # an arm is named after it, in at most 100 characters
# A log or integer range may go beyond the knob's own range by this factor. A value beyond that is a typing error.
STRETCH = 1000.0


def warnings(spec: Spec) -> list[str]:
    """What is said against a resolved spec without refusing it. A user should read it before training starts."""
    return [*(one.message for one in conflicts(spec, spec.trained) if one.level == "warning"), *trained_whole(spec)]


def knob_faults(spec: Spec, objective: type[Objective], purpose: Purpose) -> list[str]:
    """Faults in the knobs that are searched, fixed or tried first."""
    knobs = objective.knobs
    searched = searched_knobs(spec, objective)
    faults = []
    for name, wanted in searched.items():
        faults += [_unknown_knob("search", spec, name, knobs)] if name not in knobs else _search_faults(knobs[name], wanted)
        if len(name) > LONGEST_KNOB:
            faults.append(f"the name of a knob must have at most {LONGEST_KNOB} characters; {name[:30]}… has {len(name)}. Rename it.")
        if name in spec.fixed:
            faults.append(f"a knob must be either searched or fixed; {name!r} is both. Remove it from search or from fixed.")
    for name, value in spec.fixed.items():
        faults += [_unknown_knob("fixed", spec, name, knobs)] if name not in knobs else _value_faults(f"fixed.{name}", knobs[name], value)
    faults += condition_faults(spec.objective, searched, spec.fixed, knobs) + _point_faults(spec, searched, knobs)
    if not faults and any(condition(wanted) for wanted in searched.values()):
        space = Space(_as_searched(spec, objective), objective)
        faults += never(space)
        points = [] if faults else enumerate(spec.points)
        faults += [fault for index, point in points for fault in point_faults(f"points[{index}]", point, space)]
    lambdas = [name for name in searched if name in knobs and knobs[name].is_lambda]
    known = [name for name, knob in knobs.items() if knob.is_lambda]
    for name, value in spec.baseline.items():
        known_one = name in knobs
        faults += _value_faults(f"baseline.{name}", knobs[name], value) if known_one else [_unknown_knob("baseline", spec, name, knobs)]
    if spec.baseline and len(spec.asked) > 1:
        faults.append("baseline must be left out where several metrics are asked for: a front has no single best config to compare.")
    compared = spec.baseline or not objective.needs_lambda
    if purpose == "sweep" and not lambdas and not (searched and compared) and all(name in knobs for name in searched):
        faults.append(
            f"a sweep must search at least one λ; it searches {', '.join(searched) or 'nothing'}. "
            + (f"Add one of {', '.join(known)} to search." if known else "Declare one, or give a baseline to compare with.")
        )
    faults += _schedule_faults(spec, objective, purpose)
    if purpose == "sweep":
        faults += evolving_faults(spec, objective) + prior_faults(spec)
        faults += [unknown("simplify: a searched λ", name, lambdas) for name in spec.simplify if name not in lambdas]
        faults += _alone_faults(spec, objective)
        ranged = [name for name in lambdas if isinstance(plain(searched[name]), Range) and not knobs[name].choices]
        faults += [unknown("ranges: a searched λ with a range", one, ranged) for one in _named_ranges(spec) if one not in ranged]
        faults += _goal_faults(spec, objective, lambdas)
    return faults


def _goal_faults(spec: Spec, objective: type[Objective], lambdas: Sequence[str]) -> list[str]:
    """Goals that cannot be read, or that are about nothing that is searched. A range that is faulty itself says nothing of its goal."""
    knobs, searched, known = objective.knobs, searched_knobs(spec, objective), {}
    for name in lambdas:
        knob, wanted = knobs[name], plain(searched[name])
        if isinstance(wanted, Range) and not knob.choices and not _search_faults(knob, wanted):
            low, _, log = bounds(knob, wanted)
            known[name] = knob, log, low
        elif not isinstance(wanted, Range):
            known[name] = knob, False, min((float(one) for one in wanted if not isinstance(one, str)), default=0.0)
    judged = spec.confirm.seeds > 0 and spec.confirm.configs != 0
    compared = bool(lambdas or spec.baseline) or objective.needs_lambda  # one that needs a λ and has none is refused as such
    return goal_faults(spec.until, known, spec.score_name or objective.score, judged, compared)


def _named_ranges(spec: Spec) -> tuple[str, ...]:
    return spec.ranges if isinstance(spec.ranges, tuple) else ()


def _alone_faults(spec: Spec, objective: type[Objective]) -> list[str]:
    """Too few members or confirmed configs for every λ to get some; or first points that set more than one λ."""
    lambdas = searched_alone(spec, objective)
    if not lambdas:
        return []
    if len(spec.asked) > 1:
        names = ", ".join(one.name for one in spec.asked)
        return [f"alone must be false where several metrics are asked for ({names}): a front is of all λ together. Set alone: false."]
    few, configs, faults = 2 * (len(lambdas) + 1), spec.confirm.configs, []
    if spec.budget.trials < few:
        faults.append(f"budget.trials must be at least {few} to search {len(lambdas)} λ each alone; got {spec.budget.trials}. Raise it.")
    if configs and configs <= len(lambdas):
        faults.append(
            f"confirm.configs must be at least {len(lambdas) + 1}, the off arm and one of each λ that is searched alone; got {configs}. "
            "Raise it, search fewer λ, or set alone: false."
        )
    for index, point in enumerate(spec.points):
        if len(set(point) & set(lambdas)) != 1:
            faults.append(f"points[{index}] must set one λ where each is searched alone; got {', '.join(point) or 'nothing'}. Keep one.")
    return faults


def conflicts(spec: Spec, objective: type[Objective]) -> list[Conflict]:
    """Knobs that do not go together, as far as the objective knows; and what the sampler cannot do with those that are searched."""
    handing_on = [Conflict("error", "sampler", fault) for fault in handing_on_faults(spec)]
    return _objectives_conflicts(spec, objective) + _sampler_conflicts(spec, objective) + handing_on


def _schedule_faults(spec: Spec, objective: type[Objective], purpose: Purpose) -> list[str]:
    """What is wrong with knobs that move in training, which only an exported config has."""
    if not spec.schedule:
        return []
    if purpose == "sweep":
        return ["schedule must be left out of a sweep: it is for `lagrange train`; a sweep finds one with scheduler: pbt."]
    knobs, epochs, found = objective.knobs, spec.budget.epochs or objective.default_epochs, []
    if not objective.hands_on:
        found.append("schedule must be left out: knobs of this objective cannot move in training.")
    for name, steps in spec.schedule.items():
        where, starts = f"schedule.{name}", [start for start, _ in steps]
        if name not in knobs:
            found.append(_unknown_knob("schedule", spec, name, knobs))
            continue
        if not movable(knobs[name]):
            found.append(f"{where} must be a knob that may move in training: a number, no count, no structure. Put it under fixed.")
        if not starts or starts[0] != 0 or any(a >= b for a, b in pairwise(starts)) or starts[-1] >= epochs:
            found.append(f"{where} must be [[0, value], [epoch, value], …] with ascending epochs below {epochs}; got epochs {starts}.")
        found += [fault for _, value in steps for fault in _value_faults(where, knobs[name], value)]
    return found


def _sampler_conflicts(spec: Spec, objective: type[Objective]) -> list[Conflict]:
    """None where nothing is searched, or where a fault of the knobs or of the sampler's options must be corrected first."""
    search = searched_knobs(spec, objective)
    if not search or samplers.faults(spec.sampler) or knob_faults(spec, objective, "train"):
        return []
    return samplers.conflicts(spec.sampler, Space(_as_searched(spec, objective), objective), spec.budget.trials, max(1, len(spec.asked)))


def _as_searched(spec: Spec, objective: type[Objective]) -> Spec:
    """The spec with what it searches, and how, written out."""
    return spec.model_copy(update={"search": searched_knobs(spec, objective), "alone": bool(searched_alone(spec, objective))})


def _objectives_conflicts(spec: Spec, objective: type[Objective]) -> list[Conflict]:
    intent, lambdas = _intent(spec, objective), searched_alone(spec, objective)
    found: list[Conflict] = []
    for acting, gates in _together(spec, objective):  # λ that are never on together have no conflict
        for one in [{name} for name in lambdas] or [set[str]()]:
            others = (intent.searched - acting) | (set(lambdas) - one)
            on = {other: gates.get(other, values) for other, values in intent.on.items() if other not in others or other in gates}
            idle = others - set(gates)
            on |= {other: (objective.knobs[other].default,) for other in idle if not objective.knobs[other].is_lambda}
            found += objective.conflicts(replace(intent, on=on, searched=intent.searched - others))
    return sorted(dict.fromkeys(found), key=lambda conflict: conflict.level != "error")


def _together(spec: Spec, objective: type[Objective]) -> list[tuple[frozenset[str], dict[str, tuple[Value, ...]]]]:
    """The searched knobs that may act together, with the values that their gates then have: one set where no knob has a condition."""
    search = searched_knobs(spec, objective)
    whole = frozenset(search) & frozenset(objective.knobs)
    if not any(condition(wanted) for wanted in search.values()) or knob_faults(spec, objective, "train"):
        return [(whole, {})]
    return sets(Space(_as_searched(spec, objective), objective).knobs)


def _intent(spec: Spec, objective: type[Objective]) -> Intent:
    """What a spec, resolved or not, is about to do. Unknown names are left out: they are faults of their own."""
    knobs = objective.knobs
    searched = searched_knobs(spec, objective)
    values = {name: _possible(knob, searched.get(name), spec.fixed.get(name, knob.default)) for name, knob in knobs.items()}
    epochs = spec.budget.epochs or objective.default_epochs
    milestones = () if schedulers.faults(spec.scheduler) else schedulers.make(stopping(spec), epochs).milestones
    return Intent(
        model=spec.model or next(iter(objective.models), None),
        dataset=spec.dataset.name or default_dataset(objective),
        likelihood=spec.likelihood or next(iter(objective.likelihoods), None),
        on={name: found for name, found in values.items() if not knobs[name].is_lambda or any(one != knobs[name].off for one in found)},
        searched=frozenset(searched) & frozenset(knobs),
        epochs=epochs,
        first_rung=next(iter(milestones), None),
        metric=spec.score_name or objective.score,
        score=spec.settings().score,
    )


def _possible(knob: Knob, wanted: Searched | None, value: Scalar) -> tuple[Value, ...]:
    """The values that a knob may take: its choices, the ends of its range, or its one value where it is not searched."""
    if wanted is None:
        return (value,)
    wanted = plain(wanted)
    if not isinstance(wanted, Range):
        return tuple(wanted)
    if knob.choices:
        return tuple(knob.choices)
    ends = (knob.low if wanted.low is None else wanted.low, knob.high if wanted.high is None else wanted.high)
    return tuple(end for end in ends if end is not None)


def _unknown_knob(where: str, spec: Spec, name: str, knobs: Mapping[str, Knob]) -> str:
    return unknown(f"{where}: a knob of {spec.objective!r}", name, list(knobs))


def _search_faults(knob: Knob, wanted: Searched) -> list[str]:
    where = f"search.{knob.name}"
    if isinstance(wanted, Range) and wanted.choices is not None and (wanted.low, wanted.high, wanted.log) != (None, None, None):
        return [f"{where} must have either choices or a range; it has both. Keep one."]
    wanted = plain(wanted)
    if not isinstance(wanted, Range):
        faults = [fault for value in wanted for fault in _value_faults(where, knob, value)]
        if len(wanted) < 2 or len(set(wanted)) < len(wanted):
            faults.append(f"{where}: choices must be at least two and distinct; got {list(wanted)}. Put a single value under fixed.")
        return faults
    if knob.choices:
        if wanted == Range():
            return []
        return [f"{where} must be a list of choices out of {list(knob.choices)}; got a range. Write `{knob.name}: {list(knob.choices)}`."]
    if knob.low is None or knob.high is None:
        return [] if wanted.low is not None and wanted.high is not None else [f"{where} has no range of its own; give low and high."]
    return _range_faults(where, knob, wanted)


def _range_faults(where: str, knob: Knob, wanted: Range) -> list[str]:
    low, high, log = bounds(knob, wanted)
    given = f"low {low:g}, high {high:g}"
    faults = []
    if low >= high:
        faults.append(f"{where}: low must be below high; got {given}. The knob's own range is {knob.low:g} to {knob.high:g}.")
    if log and low <= 0:
        off = " (the off arm tries it at 0 in any case)" if knob.off == 0 else ""
        faults.append(f"{where}: a log range must have low > 0; got {given}. Raise low{off}, or set log: false.")
    if knob.integer and (low != int(low) or high != int(high)):
        faults.append(f"{where}: an integer knob must have whole bounds; got {given}. Round them.")
    least, most = _meaningful(knob)
    if (low < least and not (log and low <= 0)) or high > most:
        faults.append(
            f"{where}: the range must lie within {least:g} to {most:g}; got {given}. The knob's own range is {knob.low:g} to {knob.high:g}."
        )
    return faults


def _meaningful(knob: Knob) -> tuple[float, float]:
    """The widest range that makes sense for this knob: a fraction stays below 1, and a positive quantity stays positive."""
    if knob.low is None or knob.high is None:
        return -math.inf, math.inf
    if knob.integer and (knob.low, knob.high) == (0, 1):
        return 0.0, 1.0
    if knob.low >= 0 and knob.high <= 1 and not knob.log and not knob.integer:
        return 0.0, max(0.99, knob.high)
    if knob.low > 0 and (knob.log or knob.integer):
        least = max(1.0, knob.low / STRETCH) if knob.integer else knob.low / STRETCH
        return least, knob.high * STRETCH
    return (0.0, math.inf) if knob.low >= 0 else (-math.inf, math.inf)


def _value_faults(where: str, knob: Knob, value: Scalar) -> list[str]:
    """Faults of one value of a knob: its kind, and whether it makes sense. The off value and the default always make sense."""
    if knob.choices:
        return [] if value in knob.choices else [f"{where} must be one of {list(knob.choices)}; got {value!r}. Choose one of them."]
    if isinstance(value, bool | str):
        return [f"{where} must be a number; got {value!r}. Write a number such as {knob.default}."]
    if knob.integer and value != int(value):
        return [f"{where} must be a whole number; got {value!r}. Round it."]
    least, most = _meaningful(knob)
    if not least <= value <= most and value not in (knob.off, knob.default):
        return [f"{where} must lie within {least:g} to {most:g}; got {value!r}. The knob's own range is {knob.low:g} to {knob.high:g}."]
    return []


def _point_faults(spec: Spec, searched: Mapping[str, Searched], knobs: Mapping[str, Knob]) -> list[str]:
    faults = []
    for index, point in enumerate(spec.points):
        where = f"points[{index}]"
        for name, value in point.items():
            if name not in knobs:
                faults.append(_unknown_knob(where, spec, name, knobs))
            elif name not in searched:
                faults.append(
                    f"{where}: a point may only set knobs that are searched; got {name!r}. Add {name} to search, or put it under fixed."
                )
            else:
                faults += _in_range(f"{where}.{name}", knobs[name], searched[name], value)
    return faults


def _in_range(where: str, knob: Knob, wanted: Searched, value: Scalar) -> list[str]:
    kind, wanted = _value_faults(where, knob, value), plain(wanted)
    if kind or (isinstance(wanted, Range) and knob.choices):
        return kind
    if not isinstance(wanted, Range):
        return (
            [] if value in wanted else [f"{where} must be one of the searched choices {list(wanted)}; got {value!r}. Choose one of them."]
        )
    low, high, _ = bounds(knob, wanted)
    if isinstance(value, str) or not low <= value <= high:
        return [f"{where} must lie within the searched range {low:g} to {high:g}; got {value!r}. Move the point, or widen the range."]
    return []


def name_faults(spec: Spec, objective: type[Objective], remote: bool) -> list[str]:
    """Names of model, data set, likelihood and metric, and whether the data is there."""
    faults = []
    if spec.likelihood is not None and spec.likelihood not in objective.likelihoods:
        faults.append(unknown(f"a likelihood of {spec.objective!r}", spec.likelihood, objective.likelihoods))
    if spec.output and ":" not in (spec.model or ""):
        faults.append(
            f"output must be left out with a model of Lagrange's; got {spec.output!r}. It is for a model of your own, `model: mine:net`."
        )
    faults += several.faults(spec.metric, objective.metrics, spec.objective)
    decides = spec.score_name or objective.score
    if spec.margin_unit and spec.margin_unit != decides:
        faults.append(
            f"margin must be in units of the score that decides, {decides}; got {spec.margin!r}. Write: margin: AMOUNT {decides}."
        )
    if spec.precision not in objective.precisions:
        faults.append(unknown(f"a precision of {spec.objective!r}", spec.precision, objective.precisions))
    if spec.precision == "tf32" and not spec.resources.gpu:
        faults.append(
            "precision: tf32 must have a GPU to run on; resources.gpu is 0. Give resources.gpu: 1, or choose float32 or bfloat16."
        )
    faults += [] if remote else features.faults(spec.features)
    if spec.latents is not None and spec.latents not in names("latents"):
        faults.append(unknown("latents", spec.latents, names("latents")))
    faults += objective.measure_faults(spec.measure)
    faults += constraint_faults(spec.constraints, list(objective.metrics), spec.score_name or objective.score)
    return faults + _data_faults(spec, objective, remote)


def _data_faults(spec: Spec, objective: type[Objective], remote: bool) -> list[str]:
    """Whether the data is there, and whether the model was made for such images."""
    known, kinds = objective.datasets, objective.models
    name = spec.dataset.name or default_dataset(objective)
    if known and name not in known and ":" not in name:
        return [unknown(f"a data set of {spec.objective!r}", name, known) + data.meant(name), *_model_faults(spec, objective, kinds, None)]
    options = {**spec.dataset.model_dump(), "name": name}
    if name not in names("dataset") and ":" not in name:
        return [*objective.dataset_faults(options), *_model_faults(spec, objective, kinds, None)]
    likelihoods = objective.likelihoods
    likelihood = spec.likelihood or next(iter(likelihoods), "")
    known_one = likelihood if likelihood in ("", *likelihoods) else None  # an unknown likelihood is a fault of its own
    found = [] if remote else data.check(options, spec.batch_size, known_one)
    shape = None if found or remote else data.shape_of(options)
    return found + _model_faults(spec, objective, kinds, shape)


def _model_faults(spec: Spec, objective: type[Objective], known: tuple[str, ...], shape: base.Shape | None) -> list[str]:
    model = spec.model or next(iter(known), None)
    if model is None or not known:
        return []
    if model in known or ":" in model:
        return models.faults(model, objective.name, shape) if model in names("model") or ":" in model else []
    return [unknown(f"a model of {spec.objective!r}", model, known)]


def plain_faults(spec: Spec, remote: bool) -> list[str]:
    """Faults that do not depend on the objective."""
    faults = _command_faults(spec)
    trials, confirm = spec.budget.trials, spec.confirm
    if trials < 1:
        faults.append(f"budget.trials must be at least 1; got {trials}. Give at least {MIN_TRIALS}; 24 is the default.")
    elif trials < MIN_TRIALS and not _is_export(spec):
        faults.append(
            f"budget.trials must be at least {MIN_TRIALS}, so that the off arm and a curve over λ have configs; got {trials}. Raise it."
        )
    elif len(spec.points) > trials:
        faults.append(f"points must be at most budget.trials; got {len(spec.points)} points for {trials} trials. Raise budget.trials.")
    if confirm.configs is not None and (confirm.configs < 0 or confirm.configs == 1):
        faults.append(
            f"confirm.configs must be 0 (no confirmation) or at least 2, the off arm being one; got {confirm.configs}. 5 is usual."
        )
    if confirm.seeds < 0 or confirm.seeds == 1:
        faults.append(f"confirm.seeds must be 0 (no confirmation) or at least 2, for an interval; got {confirm.seeds}. 8 is usual.")
    # An export names the sampler that found it, which need not exist where the export is trained.
    faults += [] if _is_export(spec) else samplers.faults(spec.sampler)
    fits = schedulers.blind if len(spec.asked) > 1 else schedulers.idle
    faults += schedulers.faults(spec.scheduler) or ([] if _is_export(spec) else fits(spec.scheduler))
    faults += [] if _is_export(spec) else hour_faults(spec)
    return faults + resource_faults(spec.resources, remote)


def _command_faults(spec: Spec) -> list[str]:
    """Keys of a command beside another objective."""
    if spec.objective in ("", COMMAND):  # empty: what is wrong with the objective is said elsewhere
        return []
    given = [key for key in ("command", "shell", "knobs", "read", "metrics") if getattr(spec, key)]
    given += ["score.name"] if isinstance(spec.score, Score) else []
    return [f"{', '.join(given)} must be left out where the objective is no command; it is {spec.objective!r}."] if given else []


def _is_export(spec: Spec) -> bool:
    return spec.search is not None and not spec.search
