"""A part of a spec that is chosen by name, with options: `tpe`, or `{name: tpe, n_startup_trials: 4}`.

An option is a keyword-only argument of what the name stands for. Its annotation says which values it takes and its default is what holds
where it is left out. So there is no second list of options: what is checked, printed and passed on is read from the signature.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from objectives.registry import unknown

Chosen = str | Mapping[str, Any]

_KINDS = {Any: "what the class takes", int: "a whole number", float: "a number", bool: "true or false", str: "a word", type(None): "null"}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def name_of(chosen: Chosen) -> str:
    """The name alone."""
    return chosen if isinstance(chosen, str) else str(chosen.get("name"))


def options_of(chosen: Chosen) -> dict[str, Any]:
    """The options alone; none where only a name is given."""
    return {} if isinstance(chosen, str) else {key: value for key, value in chosen.items() if key != "name"}


def said(chosen: Chosen) -> str:
    """Name and options in one line, for people."""
    given = ", ".join(f"{key}: {value}" for key, value in options_of(chosen).items())
    return f"{name_of(chosen)} ({given})" if given else name_of(chosen)


@dataclass(frozen=True)
class Option:
    """An option: its default, which values it takes (a type that pydantic understands), and what it does."""

    default: Any
    annotation: Any
    about: str = ""

    def takes(self, value: Any) -> bool:
        """Whether it takes this value. A word that reads like a number is no number, and no number is infinite."""
        try:
            TypeAdapter(self.annotation, config=ConfigDict(allow_inf_nan=False)).validate_python(value, strict=True)
        except ValidationError:
            return False
        return True

    def line(self) -> str:
        """The option in one line, for people."""
        default = "no default" if self.default is inspect.Parameter.empty else f"default {_as_yaml(self.default)}"
        return f"{described(self.annotation)} ({default})" + (f": {self.about}" if self.about else "")


def accepted(make: Callable[..., Any]) -> dict[str, Option]:
    """The options of a function or class: its keyword-only arguments."""
    hints = get_type_hints(make.__init__ if inspect.isclass(make) else make, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(make).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            found[name] = Option(parameter.default, hints[name], _about(hints[name]))
    return found


def faults(where: str, what: str, known: Mapping[str, Option], given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options that are given to `what` ("sampler 'tpe'"); `where` is the key in the spec."""
    found = []
    for name, value in given.items():
        if name not in known:
            found.append(unknown(f"{where}: an option of {what}", name, list(known)))
        elif not known[name].takes(value):
            found.append(
                f"{where}.{name} must be {described(known[name].annotation)}; got {value!r}. Correct it, or leave it out for the default."
            )
    return found


def described(annotation: Any, limits: str = "") -> str:
    """Which values a type holds, in words: `a whole number of at least 2, or null`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return ", or ".join(described(one, limits) for one in inner)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin is dict:
        return "a mapping"
    if origin is Annotated:
        bounds = [words for one in inner[1:] if isinstance(one, FieldInfo) for words in map(_limit, one.metadata) if words]
        return described(inner[0], " and ".join(bounds))
    words = _KINDS.get(annotation, str(annotation))
    return f"{words} of {limits}" if limits and annotation in (int, float) else words


def _as_yaml(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _limit(bound: Any) -> str:
    return next((f"{words} {getattr(bound, key):g}" for key, words in _BOUNDS.items() if hasattr(bound, key)), "")


def _about(annotation: Any) -> str:
    found = [one.description for one in get_args(annotation) if isinstance(one, FieldInfo) and one.description]
    return found[0] if found else ""
