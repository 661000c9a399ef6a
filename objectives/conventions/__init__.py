"""How the λ of other projects, and of the source documents, convert to Lagrange's units. Imports nothing heavy.

Canonical units, per image and averaged over the batch:

    loss = R + β·KL + Σ λ·Ω,    R = ½ Σ_pixels (x − x̂)² (σ = 1) or −log p(x|z),    KL summed over latents

with Ω(l2) = ½ Σ ‖W‖² over kernels, Ω(latent_l2) = ½ ‖z‖², Ω(r1) = ½ E‖∇D‖². Let a project's loss be s times R plus w times a term that is
c times Ω. Then its λ is w·c/s: the whole loss is s times ours, and Adam does not see s. A coupled weight decay (Adam's `weight_decay`) is a
term of the loss and is divided by s as well. A decoupled one (AdamW) is not.

Symbols: w the value given; D = H·W·C the values of an image; d the size of the latent; n the number of kernels; SSE = Σ_pixels (x − x̂)².

A file is one project. It holds

- `CONVENTIONS`: a tuple of `Convention`, nearly always one. A `Convention` says in one line how the project writes its loss. It lists the
  project's settings and its parameters, each parameter with an equation and the same equation as one line of code. What was not looked up
  is marked `unverified` in its source;
- `losses()`: the same losses as code, as the project computes them (`Foreign`); torch is imported inside `losses`. The contract suite
  tests that each is a multiple of our loss with the converted λ. So a parameter with an equation but no loss is a failing test.

The folder is the registry: to add a project is to add a file. `_equations.py` holds what several files share. `_parameters.py` turns a
parameter into a knob and back. `_world.py` holds the random numbers on which losses are computed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType, ModuleType
from typing import Any

from objectives.conventions._parameters import NEEDS, Convention, ConventionError, Converted, Parameter, Size, parameter_names
from objectives.conventions._parameters import convert as _convert
from objectives.conventions._parameters import restore as _restore
from objectives.registry import names, unknown

__all__ = ["ConventionError", "Converted", "Size", "convert", "entries", "files", "loss_of", "restore", "settings_of", "table"]


def files() -> dict[str, ModuleType]:
    """Every project's file by its name."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names("convention", __name__)}


@lru_cache
def table() -> Mapping[str, Convention]:
    """Every convention by its name."""
    return MappingProxyType({one.name: one for file in files().values() for one in file.CONVENTIONS})


def convert(convention: str, given: Mapping[str, str], size: Size | None = None) -> list[Converted]:
    """What the parameters `given` (values and settings, as text) of a convention are in Lagrange's units.

    Raises:
        ConventionError: with every fault: an unknown name, no number, a missing need of an equation, or a term that has no equivalent.
    """
    return _convert(_convention(convention), given, size or Size())


def restore(convention: str, given: Mapping[str, str], size: Size | None = None) -> list[Converted]:
    """The inverse: the names and values in a convention that the knobs `given` have.

    Raises:
        ConventionError: with every fault.
    """
    return _restore(_convention(convention), given, size or Size())


def entries(convention: str | None = None) -> list[dict[str, Any]]:
    """All conventions as plain data, or the parameters of one.

    Raises:
        ConventionError: there is no such convention.
    """
    if convention is not None:
        return [_entry(one) for one in _convention(convention).parameters]
    return [{"name": one.name, "title": one.title, "loss": one.loss, "parameters": parameter_names(one)} for one in table().values()]


def settings_of(convention: str) -> dict[str, dict[str, str]]:
    """The settings of a convention: for each setting its choices and their meaning, the usual choice first."""
    return {one.name: dict(one.choices) for one in _convention(convention).settings}


def loss_of(convention: str) -> str:
    """How a convention writes its loss."""
    return _convention(convention).loss


def _entry(one: Parameter) -> dict[str, Any]:
    return {
        "parameter": one.name,
        "with": {name: " or ".join(choices) for name, choices in one.when.items()},
        "knob": one.knob or "no equivalent",
        "equation": one.equation,
        "needs": [NEEDS[need][0] for need in one.needs],
        "uses": {name: "required" if default is None else default for name, default in one.uses.items()},
        "note": one.note,
        "source": one.source,
    }


def _convention(name: str) -> Convention:
    if name not in table():
        raise ConventionError([unknown("a convention", name, list(table()))])
    return table()[name]
