"""The parts from which a λ's file builds its rules about what it does not go with (`CONFLICTS`). Readable without torch.

A rule finds *places*: where it applies, as a text that goes into its message. In a GAN a λ may exist for both players (`l2_g`, `l2_d`). Two
λ meet where their suffixes agree, or where one has no suffix because it exists for one player only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from objectives.base import Intent, Value


@dataclass(frozen=True)
class Seen:
    """An intent as rules look at it. `files` are the files of all λ, by name: they hold what each λ says about itself."""

    objective: str
    intent: Intent
    files: Mapping[str, ModuleType]

    def named(self, stem: str) -> dict[str, str]:
        """The knobs of a stem that are on, by suffix: `l2` is {"": "l2"}, or {"_g": "l2_g", "_d": "l2_d"} in a GAN."""
        off = self.files[stem].KNOB.off if stem in self.files else None
        names = {suffix: stem + suffix for suffix in ("", "_g", "_d")}
        return {suffix: name for suffix, name in names.items() if any(value != off for value in self.intent.on.get(name, ()))}

    def having(self, trait: str) -> list[str]:
        """The stems of the λ whose files say that they have a trait."""
        return [stem for stem, file in self.files.items() if trait in getattr(file, "TRAITS", ())]

    def discriminator(self, stem: str) -> str:
        """The name under which a stem is on in the discriminator; empty if it is not."""
        found = self.named(stem)
        return found.get("_d") or found.get("", "")

    def together(self, one: str, other: str) -> Iterator[tuple[str, str]]:
        """The pairs of knobs of two stems that are on in the same place."""
        for suffix, name in self.named(one).items():
            for suffix_of_other, other_name in self.named(other).items():
                if suffix == suffix_of_other or "" in (suffix, suffix_of_other):
                    yield name, other_name

    def may_be(self, stem: str, value: str) -> bool:
        """True if a categorical knob of this stem may take `value`."""
        return any(value in self.intent.on[name] for name in self.named(stem).values())

    def highest(self, name: str) -> float:
        """The largest number that a knob may take; 0 if it is off."""
        return max((float(value) for value in self.intent.on.get(name, ()) if not isinstance(value, str)), default=0.0)


@dataclass(frozen=True)
class Case:
    """A sweep that a rule is tried on."""

    objective: str
    intent: Intent


def sweep(
    objective: str, *names: str, searched: Sequence[str] = (), facts: Mapping[str, Any] | None = None, **values: tuple[Value, ...]
) -> Case:
    """A sweep of 40 epochs, first judged after 8, with the knobs `names` from 0.01 to 1 and others at `values`."""
    plain: dict[str, Any] = {"model": None, "dataset": None, "likelihood": None, "epochs": 40, "first_rung": 8, **(facts or {})}
    return Case(objective, Intent(on={**dict.fromkeys(names, (0.01, 1.0)), **values}, searched=frozenset(searched), **plain))


@dataclass(frozen=True)
class Rule:
    """Two or more knobs that do not go together. `places` yields where the rule applies; each place fills the braces of `message`.

    An error refuses the sweep: the same thing is counted twice, or a knob has no meaning beside another. A warning is said once: the sweep
    trains, but the λ curve may not measure what one expects. `broken` is a sweep that breaks the rule in one place; `kept` is a similar
    sweep that passes.
    """

    name: str
    level: Literal["error", "warning"]
    places: Callable[[Seen], Iterator[str]]
    message: str
    broken: Case
    kept: Case


def both(one: str, other: str) -> Callable[[Seen], Iterator[str]]:
    """Two λ on in the same place."""
    return lambda seen: (" and ".join(pair) for pair in seen.together(one, other))
