"""A member's checkpoint is its own: members may be trained in one pack up to an epoch, in another from there, and alone after that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from objectives import registry
from objectives.base import Member, ObjectiveError, PackedRun, Settings
from objectives.training.loop import TrainingRun

pytestmark = [pytest.mark.trains, pytest.mark.turns(2)]

# λ with a memory (ema of logits, u of a spectral norm), with trained parameters (gates) and with none.
CONFIGS: dict[str, list[dict[str, Any]]] = {
    "autoencoder": [{"l2": 1e-2, "lr": 1e-3}, {"dropout": 0.3}, {"l1": 1e-3, "lr": 3e-3}, {}],
    "vae": [{"l0": 1e-3, "beta": 2.0}, {"l0": 1e-4}, {"l0": 1e-2, "dropout": 0.1}, {"l0": 1e-3}],
    "gan": [{"lecam": 0.1, "spectral_norm_d": 1.0}, {"lecam": 0.3, "spectral_norm_d": 0.5}, {"lecam": 0.1, "spectral_norm_d": 0.9}],
}


def begin(name: str, members: list[Member]) -> TrainingRun:
    family: Any = registry.load(name)
    double = type("Double", (family,), {"dtype": "float64"})
    dataset = {"name": "digits", "train_size": 96}
    run: TrainingRun = double(Settings(dataset=dataset, epochs=4, batch_size=32)).start(members)
    return run


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", CONFIGS)
def test_regrouped_members_are_the_members_alone(name: str, tmp_path: Path) -> None:
    members = [Member(number, config, seed=50 + number) for number, config in enumerate(CONFIGS[name])]
    paths = {member.number: tmp_path / f"{member.number}.pt" for member in members}
    bundles = {registry.load(name).bundle(member.config) for member in members}  # type: ignore[attr-defined]
    assert len(bundles) == 1
    first = [begin(name, members[:2]), begin(name, members[2:])]
    assert isinstance(first[0], PackedRun)
    for run in first:
        run.step()
        run.save_each(paths)
    regrouped = begin(name, [members[1], members[2]])
    regrouped.restore_each(paths)
    regrouped.step()
    regrouped.save_each(paths)
    last = begin(name, [members[2]])
    last.restore(paths[2])
    last.step(), last.step()
    alone = begin(name, [members[2]])
    for _ in range(4):
        alone.step()
    for player, weights in alone.ended[2].items():
        torch.testing.assert_close(last.ended[2][player], weights, rtol=1e-9, atol=1e-9)


def test_members_of_different_epochs_do_not_go_on_together(tmp_path: Path) -> None:
    members = [Member(0, {}, seed=0), Member(1, {}, seed=1)]
    paths = {0: tmp_path / "0.pt", 1: tmp_path / "1.pt"}
    run, other = begin("autoencoder", members[:1]), begin("autoencoder", members[1:])
    run.step(), other.step(), other.step()
    run.save_each(paths), other.save_each(paths)
    with pytest.raises(ObjectiveError, match=r"equally long; got epochs \[1, 2\]"):
        begin("autoencoder", members).restore_each(paths)


def test_what_has_a_state_only_where_it_is_on_is_a_bundle_of_its_own() -> None:
    bundle = registry.load("gan").bundle  # type: ignore[attr-defined]
    assert bundle({"l2_g": 1e-3}) == bundle({"l2_g": 0.0, "lr": 1e-4}) != bundle({"lecam": 0.1})
    assert bundle({"latent_dim": 8}) != bundle({"latent_dim": 16})
