"""Rules of what goes together: each is broken once, and not broken by what it must let pass."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from objectives.base import Conflict, Intent, Value
from objectives.checks.conflicts import RULES, Rule, conflicts

PLAIN = Intent(model="mlp_small", dataset="fashion_mnist", likelihood=None, on={}, searched=frozenset(), epochs=40, first_rung=8)
SOME: tuple[Value, ...] = (0.01, 1.0)
W: dict[str, tuple[Value, ...]] = {"loss": ("wasserstein",)}


def on(*names: str, **values: tuple[Value, ...]) -> dict[str, tuple[Value, ...]]:
    return dict.fromkeys(names, SOME) | values


def broken(objective: str, knobs: dict[str, tuple[Value, ...]], searched: tuple[str, ...] = (), **facts: Any) -> list[Conflict]:
    return conflicts(objective, replace(PLAIN, on=knobs, searched=frozenset(searched), **facts))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_broken_by_what_it_is_about_and_by_nothing_else(rule: Rule) -> None:
    told = conflicts(rule.broken.objective, rule.broken.intent)
    found = [conflict for conflict in told if conflict.rule == rule.name]
    assert len(found) == 1, (rule, told)
    assert found[0].level == rule.level
    assert "{" not in found[0].message
    assert rule.name not in {conflict.rule for conflict in conflicts(rule.kept.objective, rule.kept.intent)}


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_plain_sweep_breaks_no_rule() -> None:
    for objective, names in (("vae", ("beta", "l2", "lr")), ("gan", ("l2_g", "l2_d", "lr")), ("autoencoder", ("l2", "dropout"))):
        assert not broken(objective, on(*names), names)


def test_errors_come_first_and_the_message_names_the_knobs() -> None:
    found = broken("gan", W | on("l2_d", "decoupled_wd_d", "cr", "bcr"))
    assert [conflict.level for conflict in found] == sorted((conflict.level for conflict in found), key="warning".__eq__)
    (error,) = [conflict for conflict in found if conflict.level == "error"]
    assert "cr and bcr" in error.message


def test_both_players_are_two_places() -> None:
    found = broken("gan", on("l2_g", "l2_d", "decoupled_wd_g", "decoupled_wd_d"))
    assert [conflict.rule for conflict in found] == ["two_decays"] * 2
    assert "l2_g and decoupled_wd_g" in found[0].message
    assert "l2_d and decoupled_wd_d" in found[1].message


def test_every_searched_loss_without_labels_is_named() -> None:
    found = broken("gan", on("label_smoothing", loss=("non_saturating", "hinge", "lsgan")), ("loss",))
    assert [conflict.rule for conflict in found] == ["smoothed_labels"] * 2


def test_no_scheduler_judges_nothing() -> None:
    assert not broken("vae", on(kl_warmup=(1, 20)), first_rung=None)
    assert not broken("gan", on("l2_d"), first_rung=None)


def test_rules_are_readable_without_torch() -> None:
    subprocess.run([sys.executable, "-c", "import sys; sys.modules['torch'] = None; import objectives.checks.conflicts"], check=True)


def test_a_kind_of_normalization_counts_and_none_does_not() -> None:
    """`norm` is no λ, so an intent names it always: with `none` it is off."""
    assert [conflict.message.partition(":")[0] for conflict in broken("vae", on("l2", norm=("none", "layer")))] == ["l2 and norm"]
    assert not broken("vae", on("l2", norm=("none",)))


def test_only_a_game_may_be_judged_too_early() -> None:
    assert [conflict.rule for conflict in broken("gan", on("l2_g"), first_rung=1)] == ["early_rung"]
    assert not broken("vae", on("l2"), first_rung=1)
