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
    ("x: 0x" + "f" * 5000, "at most 300 digits"),
    ("x: 1:" + ":".join(["59"] * 5000), "at most 300 digits"),
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


def _asked(where: str, value: object) -> dict[str, object]:
    """A spec with one value at a place such as `budget.trials`; `[]` stands for a list."""
    for key in reversed(where.split(".")):
        value = [0, value] if key == "[]" else {key: value}
    assert isinstance(value, dict)
    return {"objective": "toy", **value}


WHOLE = [
    "margin", "search.l2.[]", "search.l2.choices.[]", "search.l2.low", "workers", "pack", "batch_size", "budget.trials", "budget.epochs",
    "confirm.seeds", "confirm.configs", "confirm.screen", "limits.retries", "limits.retries_total", "seed", "fixed.lr", "baseline.l2",
    "sampler.n_startup_trials", "scheduler.reduction", "dataset.train_size", "resources.cpu",
]  # fmt: skip


@pytest.mark.parametrize("where", WHOLE)
@pytest.mark.parametrize("digits", [60, 299, 5000])
def test_a_whole_number_that_nothing_holds_is_one_fault(where: str, digits: int) -> None:
    """No float, no column of a database and no message of Python's takes numbers of any size."""
    with pytest.raises(SpecError) as found:
        read(_asked(where, 10**digits))
    said = [fault for fault in found.value.faults if "must be a number up to" in fault]
    assert len(said) == 1 and len(said[0]) < 200 and "digits" in said[0], found.value.faults
    assert where.replace("[]", "1") in said[0]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("confirm.seeds", 10_001),
        ("confirm.screen", 10_001),
        ("resources.cpu", 1e-9),  # would be two thousand million workers
        ("resources.gpu", 1e-5),
        ("resources.memory_gb", 1e300),
        ("resources.wait_minutes", 1e300),
        ("limits.silence_seconds", 1e300),  # no clock waits so long
        ("limits.member_minutes", 1e300),
        ("limits.memory_gb", 1e300),
        ("budget.wall_minutes", 1e300),
    ],
)
def test_what_neither_ray_nor_a_clock_can_count_is_a_fault(where: str, value: float) -> None:
    with pytest.raises(SpecError, match=where):
        read(_asked(where, value), remote=True)


def test_large_numbers_that_people_use_are_no_faults() -> None:
    assert read({"objective": "toy", "seed": 2**128 - 1}).seed == 2**128 - 1
    assert read({"objective": "toy", "resources": {"cpu": 0.0001}}).resources.cpu == 0.0001
    assert read({"objective": "toy", "limits": {"silence_seconds": 86_400 * 30}}).limits.silence_seconds == 86_400 * 30


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
