"""YAML that is larger than what it says: aliases, depth, length, values that are none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search.errors import SpecError
from search.spec import text
from search.spec.reading import read
from search.spec.text import parse_yaml, read_yaml

TENS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
BOMB = TENS + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 30))
LARGE = [
    (BOMB, "values, with aliases written out"),
    (MERGES, "values, with aliases written out"),
    ("a: &a [*a]", "what holds it"),
    ("? &a {x: *a}\n: 1", "what holds it"),
    ("[" * 500, "levels deep"),
    ("{a: " * 500, "levels deep"),
    ("- " * 500 + "x", "levels deep"),
    ("x" * (text.LONGEST + 1), "characters"),
    ("x: " + "9" * 5000, "cannot be read"),
    ("x: 2001-99-99", "cannot be read"),
    ("x: !!timestamp no", "cannot be read"),
    ("x: !!bool no way", "cannot be read"),
    ("x: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ("x: !!python/name:os.abort", "could not determine a constructor"),
    ("? [1]\n: 2", "a word or a number"),
    ("a: *b", "undefined alias"),
    ("x: \0", "not allowed"),
]


@pytest.mark.parametrize(("given", "words"), LARGE, ids=range(len(LARGE)))
def test_what_is_too_large_or_no_value_is_a_sentence(given: str, words: str, tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(yaml.YAMLError, match=words):
        parse_yaml(given)
    path = tmp_path / "spec.yaml"
    path.write_text(given)
    with pytest.raises(SpecError, match=words) as found:
        read_yaml(path)
    assert len(str(found.value)) < 1000
    assert time.process_time() - began < 30, "a limit is there to be reached soon"


def test_values_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MOST_VALUES", 100)
    assert len(parse_yaml(f"[{','.join('1' * 99)}]")) == 99
    with pytest.raises(yaml.YAMLError, match="at most 100 values"):
        parse_yaml(f"[{','.join('1' * 100)}]")
    with pytest.raises(yaml.YAMLError, match="at most 100 values"):
        parse_yaml(f"a: &a [{','.join('1' * 49)}]\nb: *a")


def test_an_override_has_the_same_limits() -> None:
    for value in ("[" * 500, "x" * (text.LONGEST + 1), "9" * 5000, "*a"):
        with pytest.raises(SpecError, match="the value of an override must be YAML"):
            read({"objective": "toy"}, [f"seed={value}"])


def test_aliases_and_merges_of_people_are_read() -> None:
    assert parse_yaml("a: &a {low: 1, high: 2}\nb: *a\nc: {<<: *a, high: 3}") == {
        "a": {"low": 1, "high": 2},
        "b": {"low": 1, "high": 2},
        "c": {"low": 1, "high": 3},
    }
    assert len(parse_yaml("\n".join(f"k{n}: {n}" for n in range(2000)))) == 2000


@given(st.text(alphabet=st.sampled_from("ab:{}[]&*!<>|-?,#'\"%@ \n\t0.eE~"), max_size=60))
def test_any_text_is_a_value_or_a_yaml_error(given: str) -> None:
    try:
        parse_yaml(given)
    except yaml.YAMLError as error:
        assert str(error)
