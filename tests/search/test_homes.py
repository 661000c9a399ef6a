"""Where a home is asked for, its folder will do."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import search
from infra.errors import InfraError
from infra.storage import Home
from search.errors import SpecError

# Two workers in one process are refused after the home was looked at, so nothing is trained.
MORE = {"run": {"spec": {"objective": "toy"}, "address": "in-process", "workers": 2}}
TAKE_A_HOME = [
    name
    for name in search.__all__
    if inspect.isfunction(getattr(search, name)) and "home" in inspect.signature(getattr(search, name)).parameters
]


@pytest.mark.parametrize("name", TAKE_A_HOME)
def test_every_public_function_takes_a_folder_as_home(name: str, tmp_path: Path) -> None:
    """It says the same of it as of the home that is opened there: here that there is no such sweep, or nothing at all."""

    def said(home: object) -> object:
        function = getattr(search, name)
        given = {
            one.name: "none-such"
            for one in inspect.signature(function).parameters.values()
            if one.default is one.empty and one.kind is not one.VAR_KEYWORD
        }
        try:
            return function(**{**given, **MORE.get(name, {})}, home=home)
        except Exception as error:
            return type(error), str(error)

    opened, folder, text = said(Home.open(tmp_path / "home")), said(tmp_path / "home"), said(str(tmp_path / "home"))
    assert folder == opened and text == opened
    assert not isinstance(opened, tuple) or issubclass(opened[0], (InfraError, SpecError)), opened


def test_an_open_home_is_given_back(tmp_path: Path) -> None:
    home = Home.open(tmp_path, storage=tmp_path / "elsewhere")
    assert Home.open(home) is home
