"""What every project's conventions promise; collected from the folder, so a new file is tested without editing this one.

Each loss, computed as its project computes it, is proportional to ours with the converted λ in every gradient, by one factor: that is all
that a convention may promise, and it needs no published number.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from objectives import conventions
from objectives.conventions import Size, convert, restore
from objectives.conventions._parameters import NEEDS, Case, Convention, Foreign, Parameter
from objectives.conventions._world import LATENT, OMEGA, SIZE, B, C, D, H, W, World, half_sse
from objectives.registry import load

FILES = conventions.files()
FOREIGN = {name: file.losses() for name, file in FILES.items()}
LOSSES = [
    pytest.param(case, id=f"{case.convention}-{'-'.join(f'{k}={v}' for k, v in case.given.items())}")
    for cases in FOREIGN.values()
    for case in cases
]
every_file = pytest.mark.parametrize(("name", "file"), FILES.items(), ids=list(FILES))
every_loss = pytest.mark.parametrize("case", LOSSES)


def equations(file: ModuleType) -> list[tuple[Convention, Parameter]]:
    """The parameters of a file that are a knob here."""
    return [(one, parameter) for one in file.CONVENTIONS for parameter in one.parameters if parameter.result is not None]


@every_file
def test_it_says_whose_it_is_and_how_the_loss_is_written(name: str, file: ModuleType) -> None:
    assert (file.__doc__ or "").strip() and file.CONVENTIONS
    for one in file.CONVENTIONS:
        assert one.name and one.title and one.loss and one.parameters
    assert {case.convention for case in FOREIGN[name]} == {one.name for one in file.CONVENTIONS}, "each is held to a loss, and to its own"


def test_names_are_not_given_twice() -> None:
    names = [one.name for file in FILES.values() for one in file.CONVENTIONS]
    assert len(set(names)) == len(names) and set(names) == set(conventions.table())


def gradients(loss: Tensor, w: World) -> Tensor:
    found = torch.autograd.grad(loss, w.leaves, allow_unused=True, retain_graph=True)
    return torch.cat([(torch.zeros_like(leaf) if one is None else one).flatten() for leaf, one in zip(w.leaves, found, strict=True)])


@every_loss
def test_a_foreign_loss_is_a_multiple_of_ours(case: Foreign) -> None:
    w = World()
    knobs = {one.target: one.result for one in convert(case.convention, case.given, SIZE)}
    if case.beta:
        knobs.setdefault("beta", case.beta)
    ours = (case.base or half_sse)(w)
    for name, value in knobs.items():
        ours = ours + value * {**OMEGA, **case.terms}[name](w)
    mine, theirs = gradients(ours, w), gradients(case.loss(w), w)
    scale = (mine @ theirs) / (mine @ mine)
    assert scale > 0
    torch.testing.assert_close(theirs, scale * mine, rtol=1e-9, atol=1e-12)
    # A wrong λ must show: the term that was converted is no small part of the gradient.
    for name in knobs:
        wrong = gradients(ours + 0.1 * knobs[name] * {**OMEGA, **case.terms}[name](w), w)
        scale = (wrong @ theirs) / (wrong @ wrong)
        assert not torch.allclose(theirs, scale * wrong, rtol=1e-9, atol=1e-12), name


@every_file
def test_every_parameter_with_an_equation_is_tested(name: str, file: ModuleType) -> None:
    """By a loss, under its own name; by another of its project where the two must be equal, so that one alone says nothing."""
    given = {(case.convention, name) for case in FOREIGN[name] for name in case.given}
    knobs = {(one.convention, one.name, one.target) for case in FOREIGN[name] for one in convert(case.convention, case.given, SIZE)}
    for convention, one in equations(file):
        if one.is_term:
            assert (convention.name, one.name) in given, (convention.name, one.name)
            assert (convention.name, one.name, one.knob) in knobs or one.check is not None, (convention.name, one.name, one.knob)


@every_file
def test_what_it_converts_to_is_a_knob(name: str, file: ModuleType) -> None:
    names = {name for objective in ("autoencoder", "vae", "gan") for name in load(objective).knobs}
    assert {one.knob for _, one in equations(file)} <= names


@every_file
def test_its_settings_and_needs_exist(name: str, file: ModuleType) -> None:
    for convention in file.CONVENTIONS:
        choices = {one.name: set(one.choices) for one in convention.settings}
        names = {one.name for one in convention.parameters}
        assert not names & set(choices)
        for one in convention.parameters:
            assert (one.equation and one.source and one.knob) or one.result is None
            assert one.result is not None or one.note
            assert set(one.needs) <= set(NEEDS)
            assert set(one.absorbs) <= set(one.uses)
            for setting, allowed in one.when.items():
                assert set(allowed) <= choices[setting], (convention.name, one.name)


@every_file
def test_an_equation_uses_just_what_its_parameter_declares(name: str, file: ModuleType) -> None:
    full: dict[str, Any] = {"image": (H, W, C), "latent": LATENT, "kernels": 3, "batch": B}
    for convention, one in equations(file):
        assert one.result is not None
        usual = {setting.name: next(iter(setting.choices)) for setting in convention.settings}
        options = usual | {name: choices[0] for name, choices in one.when.items()} | dict.fromkeys(one.uses, 1.0)
        declared = {need: full.get(need, D) for need in one.needs}
        one.result(Case(0.5, Size(**declared), options))
        for left_out in one.needs:
            rest = {need: value for need, value in declared.items() if need != left_out}
            with pytest.raises(LookupError):
                one.result(Case(0.5, Size(**rest), options))


@every_loss
def test_there_and_back(case: Foreign) -> None:
    found = conventions.table()[case.convention]
    settings = {one.name for one in found.settings}
    for one in convert(case.convention, case.given, SIZE):
        mine = next(p for p in found.parameters if p.name == one.name and p.knob == one.target)
        if mine.check is not None or mine.uses:
            continue
        given = {one.target: repr(one.result)} | {name: value for name, value in case.given.items() if name in settings}
        assert any(back.target == one.name and back.result == pytest.approx(one.value) for back in restore(case.convention, given, SIZE))


@every_file
def test_every_parameter_that_says_its_knob_alone_goes_there_and_back(name: str, file: ModuleType) -> None:
    for convention, one in equations(file):
        if one.check is not None or one.uses:
            continue
        for choices in itertools.product(*one.when.values()):
            settings = dict(zip(one.when, choices, strict=True))
            (found,) = convert(convention.name, {one.name: "0.5", **settings}, SIZE)
            assert found.target == one.knob
            back = restore(convention.name, {one.knob: repr(found.result), **settings}, SIZE)
            assert any(other.target == one.name and other.result == pytest.approx(0.5) for other in back), (convention.name, one.name)


def test_they_are_readable_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from objectives import conventions; conventions.entries('pythae')"
    subprocess.run([sys.executable, "-c", code], check=True)
