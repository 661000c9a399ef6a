"""Rules of what goes together: each is broken once, and not broken by what it must let pass."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from objectives.base import Conflict, Intent, Value
from objectives.compatibility import RULES, Rule, conflicts

PLAIN = Intent(model="mlp_small", dataset="fashion_mnist", likelihood=None, on={}, searched=frozenset(), epochs=40, first_rung=8)
SOME: tuple[Value, ...] = (0.01, 1.0)
NS: dict[str, tuple[Value, ...]] = {"loss": ("non_saturating",)}
W: dict[str, tuple[Value, ...]] = {"loss": ("wasserstein",)}


def on(*names: str, **values: tuple[Value, ...]) -> dict[str, tuple[Value, ...]]:
    return dict.fromkeys(names, SOME) | values


def broken(objective: str, knobs: dict[str, tuple[Value, ...]], searched: tuple[str, ...] = (), **facts: Any) -> list[Conflict]:
    return conflicts(objective, replace(PLAIN, on=knobs, searched=frozenset(searched), **facts))


# rule -> (objective, knobs on, searched, facts) that break it, and the same that do not.
BROKEN: dict[str, Any] = {
    "l1_twice": (("vae", on("l1", "l1_prox")), ("vae", on("l1", "l2"))),
    "l2_decoder_twice": (("vae", on("l2", "l2_decoder")), ("vae", on("l1", "l2_decoder"))),
    "l2_twice": (("gan", on("l2_g", "l2_unsquared_g")), ("gan", on("l2_g", "l2_unsquared_d"))),
    "l2_unsquared_decoder": (("autoencoder", on("l2_unsquared", "l2_decoder")), ("autoencoder", on("l2_decoder"))),
    "beta_replaced": (("vae", on("beta", "capacity"), ("beta",)), ("vae", on("beta", "capacity"), ("capacity",))),
    "two_targets": (("vae", on("capacity", "geco")), ("vae", on("capacity"))),
    "two_reconstructions": (
        ("vae", on("geco", optimal_sigma=(1.0,)), (), {"likelihood": "gaussian"}),
        ("vae", on(optimal_sigma=(1.0,)), (), {"likelihood": "gaussian"}),
    ),
    "tc_twice": (("vae", on("tc", "factor")), ("vae", on("tc", "beta"))),
    "dip_twice": (("vae", on("dip_i", "dip_ii")), ("vae", on("dip_i", "beta"))),
    "augmented_twice": (("gan", on("diffaug", "ada")), ("gan", on("diffaug", "cr"))),
    "normalized_twice": (("gan", on("spectral_norm_d", "weight_norm_d")), ("gan", on("spectral_norm_d", "weight_norm_g"))),
    "two_schedules": (("vae", on("kl_cycles", kl_warmup=(1, 5))), ("vae", on(kl_warmup=(1, 5)))),
    "two_floors": (("vae", on("free_bits", "capacity")), ("vae", on("free_bits", "beta"))),
    "noise_twice": (("gan", on("instance_noise", "input_noise")), ("gan", on("instance_noise"))),
    "consistency_twice": (("gan", on("cr", "bcr")), ("gan", on("cr", "zcr_d"))),
    "smoothed_labels": (("gan", on("label_smoothing", loss=("hinge",))), ("gan", on("label_smoothing", loss=("minimax",)))),
    "sigma_of_bernoulli": (
        ("vae", on(optimal_sigma=(1.0,)), (), {"likelihood": "bernoulli"}),
        ("vae", on(optimal_sigma=(1.0,)), (), {"likelihood": "gaussian"}),
    ),
    "two_decays": (("gan", on("l2_d", "decoupled_wd_d")), ("gan", on("l2_d", "decoupled_wd_g"))),
    "penalized_batch_norm": (
        ("gan", NS | on("wgan_gp", norm_d=("batch", "layer"))),
        ("gan", NS | on("wgan_gp", norm_d=("layer", "group"), norm_g=("batch",))),
    ),
    "wasserstein_batch_norm": (
        ("gan", W | on("weight_clip", norm_d=("batch",))),
        ("gan", NS | on("weight_clip", norm_d=("batch",))),
    ),
    "wasserstein_l2": (("gan", W | on("l2_d", "wgan_gp")), ("gan", W | on("l2_g", "wgan_gp"))),
    "wasserstein_unbounded": (("gan", W | on("l2_g", "spectral_norm_g")), ("gan", W | on("spectral_norm_d"))),
    "scale_free": (("gan", on("l2_d", "spectral_norm_d")), ("gan", on("l2_g", "spectral_norm_d"))),
    "r1_with_sn": (("gan", on("r1", "spectral_norm_d"), ("r1",)), ("gan", on("r1", "spectral_norm_d"), ("r1", "spectral_norm_d"))),
    "across_losses": (("gan", on("r1", loss=("hinge", "lsgan"))), ("gan", on("r1", loss=("hinge",)))),
    "two_variances": (("vae", on("optimal_sigma", "beta"), ("beta",)), ("vae", on("optimal_sigma", "beta"))),
    "judged_while_warming": (("vae", on(kl_warmup=(1, 10))), ("vae", on(kl_warmup=(1, 8)))),
    "never_warm": (("vae", on(kl_warmup=(1, 40))), ("vae", on(kl_warmup=(1, 39)))),
    "early_rung": (("gan", on("l2_d"), (), {"first_rung": 7}), ("gan", on("l2_d"), (), {"first_rung": 8})),
    "flipped_digits": (("vae", on("flip"), (), {"dataset": "digits"}), ("vae", on("flip"))),
}


def told(case: Any) -> list[Conflict]:
    objective, knobs, searched, facts = case if len(case) == 4 else (*case, {}) if len(case) == 3 else (*case, (), {})
    return broken(objective, knobs, searched, **facts)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_broken_by_what_it_is_about_and_by_nothing_else(rule: Rule) -> None:
    breaking, passing = BROKEN[rule.name]
    found = [conflict for conflict in told(breaking) if conflict.rule == rule.name]
    assert len(found) == 1, (rule, told(breaking))
    assert found[0].level == rule.level
    assert "{" not in found[0].message
    assert rule.name not in {conflict.rule for conflict in told(passing)}


def test_every_rule_has_a_name_of_its_own_and_a_case() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert set(BROKEN) == {rule.name for rule in RULES}


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
    subprocess.run([sys.executable, "-c", "import sys; sys.modules['torch'] = None; import objectives.compatibility"], check=True)
