"""How parameters of another project's loss become knobs, and back: the machinery that the files of this folder use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from objectives.base import ObjectiveError
from objectives.registry import unknown

T = TypeVar("T")
Option = float | str


class ConventionError(ObjectiveError):
    """All of a user's mistakes in what is to be converted."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True)
class Size:
    """What an equation may need beside the value. All are counts; None: not given. `pixels` is H·W·C; `image` (H, W, C) gives it too."""

    image: tuple[int, int, int] | None = None
    pixels: int | None = None
    latent: int | None = None
    kernels: int | None = None
    batch: int | None = None

    def has(self, need: str) -> bool:
        """True if `need` is given; an image gives its number of values."""
        return getattr(self, need) is not None or (need == "pixels" and self.image is not None)


# For each need: what to write where it is missing, and what it is.
NEEDS = {
    "image": ("--image HxWxC", "the loss is averaged over the pixels of an image"),
    "pixels": ("--image HxWxC (or --pixels N)", "the loss is averaged over the D values of an image"),
    "latent": ("--latent N", "the term is averaged over the d latent dimensions"),
    "kernels": ("--kernels N", "the term is a mean over the kernels, the weights of rank 2 and more"),
    "batch": ("--batch N", "the term is multiplied by the batch size"),
}


@dataclass(frozen=True)
class Case:
    """One value to convert, with everything an equation may use. `case["gamma"]` is another parameter or a setting."""

    value: float
    size: Size
    options: Mapping[str, Option] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Option:
        return self.options[name]

    def number(self, name: str) -> float:
        """Another parameter of the convention."""
        return float(self.options[name])

    @property
    def pixels(self) -> int:
        """D, the values of an image."""
        if self.size.image is not None:
            return math.prod(self.size.image)
        return _given(self.size.pixels)

    @property
    def area(self) -> int:
        """H·W."""
        height, width, _ = _given(self.size.image)
        return height * width

    @property
    def channels(self) -> int:
        """C."""
        return _given(self.size.image)[2]

    @property
    def latent(self) -> int:
        """d."""
        return _given(self.size.latent)

    @property
    def kernels(self) -> int:
        """How many kernels the network has."""
        return _given(self.size.kernels)

    @property
    def batch(self) -> int:
        """B."""
        return _given(self.size.batch)


def _given(value: T | None) -> T:
    if value is None:
        raise LookupError("an equation may only use what its parameter declares in `needs`")
    return value


@dataclass(frozen=True)
class Parameter:
    """One parameter of a convention, and the knob that it corresponds to here.

    `result` is the equation as code. None: nothing here corresponds, and `note` says why. `needs` are keys of NEEDS. `uses` are other
    parameters with their defaults (None: must be given); `absorbs` are those that have no meaning of their own beside this one. `when`
    limits the parameter to choices of settings. `inverse` is needed where the equation is not affine. A value below `low` is refused. A
    parameter that only carries a name or a bound to the other side is no term of a loss (`is_term`), so no loss can show it.
    """

    name: str
    knob: str
    equation: str
    result: Callable[[Case], float] | None
    source: str
    needs: tuple[str, ...] = ()
    uses: Mapping[str, float | None] = field(default_factory=dict)
    absorbs: tuple[str, ...] = ()
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""
    low: float = 0.0
    check: Callable[[Case], str] | None = None
    inverse: Callable[[Case], float] | None = None
    is_term: bool = True


@dataclass(frozen=True)
class Setting:
    """A choice that changes what parameters mean: its choices with their meaning, the usual one first."""

    name: str
    choices: Mapping[str, str]


@dataclass(frozen=True)
class Convention:
    """How one project writes its loss."""

    name: str
    title: str
    loss: str
    parameters: tuple[Parameter, ...]
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True)
class Foreign:
    """One loss as a project computes it. With the numbers `given`, as typed, it is a multiple of our loss with the converted λ.

    `loss`, `base` and `terms` are functions of a `World` (`_world.py`) that return a scalar tensor. `base` is the part of our loss beside
    the terms (None: ½SSE). `beta` is the weight of a KL that the project's loss holds without a parameter. `terms` are our terms, by knob,
    where they differ from those in `_world.OMEGA`.
    """

    convention: str
    given: Mapping[str, str]
    loss: Callable[[Any], Any]
    base: Callable[[Any], Any] | None = None
    beta: float = 0.0
    terms: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Converted:
    """`name` = `value` on one side is `target` = `result` on the other. `where` lists the inputs of the equation, assumptions included."""

    convention: str
    loss: str
    name: str
    value: float
    target: str
    result: float
    equation: str
    where: Mapping[str, Option]
    source: str
    note: str = ""


# --- converting ---------------------------------------------------------------------------------------------------------------------------


def convert(found: Convention, given: Mapping[str, str], size: Size) -> list[Converted]:
    """What the parameters `given` (values and settings, as text) of a convention are in Lagrange's units.

    Raises:
        ConventionError: with every fault: an unknown name, no number, a missing need of an equation, or a term that has no equivalent.
    """
    settings, faults = _settings(found, given)
    values = _values(found, given, faults)
    converted: list[Converted] = []
    absorbed: set[str] = set()
    chosen, assumed = _inferred(found, list(values), settings)
    meant = _meant(found, list(values), chosen)
    faults += [_nowhere(found, name, settings) for name in _left_over(meant)]
    for fitting in filter(None, meant.values()):
        mine = _convert_one(found, fitting[0], values, chosen, size)
        if isinstance(mine, Converted):
            absorbed |= set(fitting[0].absorbs)
            told = [f"taken with {key}={choice}; for another, write {key}=…" for key, choice in assumed.items() if key in fitting[0].when]
            converted.append(replace(mine, note="; ".join(filter(None, (mine.note, *told)))))
        else:
            faults += mine
    if not values and not faults:
        faults.append(
            f"{found.name} must be given a parameter; got settings alone. Write one of {', '.join(parameter_names(found))} as NAME=VALUE."
        )
    if faults:
        raise ConventionError(list(dict.fromkeys(faults)))
    return [one for one in converted if one.name not in absorbed]


def restore(found: Convention, given: Mapping[str, str], size: Size) -> list[Converted]:
    """The inverse: the names and values in a convention that the knobs `given` have. Every parameter that can express a knob is listed.

    Raises:
        ConventionError: with every fault.
    """
    settings, faults = _settings(found, given)
    known = sorted({one.knob for one in found.parameters if one.result is not None and one.check is None})
    restored: list[Converted] = []
    for name, text in given.items():
        if name in {one.name for one in found.settings}:
            continue
        wanted = _number(name, text)
        if name not in known:
            faults.append(unknown(f"a knob that {found.name} has", name, known))
        elif isinstance(wanted, str):
            faults.append(wanted)
        else:
            answers = [_restore_one(found, one, wanted, settings, size) for one in _saying(found, name, settings, faults)]
            able = [one for one in answers if isinstance(one, Converted)]
            restored += able
            # A parameter that lacks a need is left out if another parameter expresses the same.
            faults += [] if able else [fault for one in answers if not isinstance(one, Converted) for fault in one]
    if faults:
        raise ConventionError(list(dict.fromkeys(faults)))
    return restored


def _saying(found: Convention, knob: str, settings: Mapping[str, str], faults: list[str]) -> list[Parameter]:
    """The parameters that express `knob` by themselves under these settings. Adds to `faults` where there is none."""
    able = [one for one in found.parameters if one.knob == knob and one.result is not None and one.check is None]
    sayers = [one for one in able if _fits(one, settings)]
    if not sayers:
        told = ", ".join(f"{key}={value}" for key, value in settings.items())
        faults.append(f"{knob}: a parameter of {found.name} must say it; none does with {told}. Leave the settings out.")
    return sayers


def parameter_names(found: Convention) -> list[str]:
    """The names of a convention's parameters. One name may stand for several parameters, which settings tell apart."""
    return list(dict.fromkeys(one.name for one in found.parameters))


def _settings(found: Convention, given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The settings among `given`, and their faults."""
    settings, faults = {}, []
    for setting in found.settings:
        choice = given.get(setting.name)
        if choice in setting.choices:
            settings[setting.name] = str(choice)
        elif choice is not None:
            faults.append(unknown(f"{setting.name} of {found.name}", choice, list(setting.choices)))
    return settings, faults


def _values(found: Convention, given: Mapping[str, str], faults: list[str]) -> dict[str, float]:
    """The numbers among `given`; adds to `faults`."""
    numbers = {}
    known, settings = parameter_names(found), [one.name for one in found.settings]
    for name, text in given.items():
        if name in settings:
            continue
        if name not in known:
            faults.append(unknown(f"a parameter of {found.name}", name, [*known, *settings]))
            continue
        value = _number(name, text)
        if isinstance(value, str):
            faults.append(value)
        else:
            numbers[name] = value
    return numbers


def _number(name: str, text: str) -> float | str:
    """The number that `text` is, or what is wrong with it."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return value if math.isfinite(value) else f"{name} must be a finite number; got {text!r}. Write {name}=0.001."


def _fits(parameter: Parameter, settings: Mapping[str, str]) -> bool:
    return all(name not in settings or settings[name] in choices for name, choices in parameter.when.items())


def _inferred(found: Convention, names: Sequence[str], settings: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The settings, with missing ones filled in: the first choice that has every parameter. And the settings whose other choices matter."""
    known, assumed = dict(settings), {}
    for setting in found.settings:
        if setting.name in known:
            continue
        meant = {choice: _meant(found, names, {**known, setting.name: choice}) for choice in setting.choices}
        able = [choice for choice in setting.choices if not _left_over(meant[choice])]
        if able:
            known[setting.name] = able[0]
            if any(meant[choice] != meant[able[0]] for choice in able):
                assumed[setting.name] = able[0]
    return known, assumed


def _meant(found: Convention, names: Sequence[str], settings: Mapping[str, str]) -> dict[str, list[Parameter]]:
    return {name: _fitting(found, name, settings) for name in names}


def _left_over(meant: Mapping[str, Sequence[Parameter]]) -> list[str]:
    """The names that are no parameter under some settings, and that no parameter uses either."""
    used = {other for fitting in meant.values() for one in fitting for other in one.uses}
    return [name for name, fitting in meant.items() if not fitting and name not in used]


def _fitting(found: Convention, name: str, settings: Mapping[str, str]) -> list[Parameter]:
    return [one for one in found.parameters if one.name == name and _fits(one, settings)]


def _nowhere(found: Convention, name: str, settings: Mapping[str, str]) -> str:
    """The fault of a parameter that has no meaning under these settings."""
    every = [one for one in found.parameters if one.name == name]
    where = "; ".join(dict.fromkeys(f"{key}={choice}" for one in every for key, choices in one.when.items() for choice in choices))
    told = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"{name} of {found.name} must go with one of {where}; got {told or 'no setting'}. Change the setting or leave it out."


def _case(
    found: Convention, parameter: Parameter, value: float, values: Mapping[str, float], settings: Mapping[str, str], size: Size
) -> Case | list[str]:
    """Everything that the equation of a parameter may use, or what is missing."""
    faults = []
    for need in parameter.needs:
        if not size.has(need):
            option, why = NEEDS[need]
            faults.append(f"{option} must be given to convert {parameter.name} of {found.name}: {why} ({parameter.equation}).")
    for other, default in parameter.uses.items():
        if default is None and other not in values:
            faults.append(f"{other} must be given to convert {parameter.name} of {found.name} ({parameter.equation}). Write {other}=….")
    if faults:
        return faults
    options: dict[str, Option] = {setting.name: next(iter(setting.choices)) for setting in found.settings}
    options |= {name: choices[0] for name, choices in parameter.when.items()} | dict(settings)
    options |= {name: number for name, default in parameter.uses.items() if (number := values.get(name, default)) is not None}
    return Case(value, size, options)


def _convert_one(
    found: Convention, parameter: Parameter, values: Mapping[str, float], settings: Mapping[str, str], size: Size
) -> Converted | list[str]:
    value = values[parameter.name]
    if parameter.result is None:
        return [f"{parameter.name} of {found.name} has no equivalent: {parameter.note}."]
    case = _case(found, parameter, value, values, settings, size)
    if not isinstance(case, Case):
        return case
    refused = parameter.check(case) if parameter.check else ""
    if refused:
        return [refused]
    if value < parameter.low:
        return [f"{parameter.name} of {found.name} must be at least {parameter.low:g}; got {value:g}. Check its sign."]
    try:
        result = parameter.result(case)
    except ZeroDivisionError:
        return [f"{parameter.name} of {found.name} must not be 0 ({parameter.equation}). Give the value that is in use."]
    return _told(found, parameter, case, parameter.name, parameter.knob, result)


def _restore_one(found: Convention, parameter: Parameter, wanted: float, settings: Mapping[str, str], size: Size) -> Converted | list[str]:
    case = _case(found, parameter, wanted, {}, settings, size)
    if not isinstance(case, Case):
        return case
    try:
        value = parameter.inverse(case) if parameter.inverse else _solved(parameter, case)
    except ZeroDivisionError:
        return [f"{parameter.knob} = {wanted:g} has no {parameter.name} in {found.name} ({parameter.equation}). Give another value."]
    return _told(found, parameter, case, parameter.knob, parameter.name, value)


def _told(found: Convention, parameter: Parameter, case: Case, name: str, target: str, result: float) -> Converted:
    equation, where = parameter.equation, _where(parameter, case)
    return Converted(found.name, found.loss, name, case.value, target, result, equation, where, parameter.source, parameter.note)


def _solved(parameter: Parameter, case: Case) -> float:
    """The w at which an affine equation has the value of `case`."""
    if parameter.result is None:
        raise LookupError("only a parameter with an equation can be solved for")
    at_0, at_1 = (parameter.result(Case(value, case.size, case.options)) for value in (0.0, 1.0))
    return (case.value - at_0) / (at_1 - at_0)


def _where(parameter: Parameter, case: Case) -> dict[str, Option]:
    """The inputs of the equation beside the value: symbols, other parameters, and settings that choose among equations."""
    symbols: dict[str, Option] = {}
    for need in parameter.needs:
        if need == "image":
            symbols |= {"H·W": case.area, "C": case.channels}
        else:
            symbols[{"pixels": "D", "latent": "d", "kernels": "n", "batch": "B"}[need]] = getattr(case, need)
    return symbols | {name: case[name] for name in (*parameter.when, *parameter.uses)}
