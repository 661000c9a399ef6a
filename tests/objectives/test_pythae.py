"""pythae's models keep the promises of every objective, train with pythae's own loss, and are scored as ours are."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives import onnx_files, registry, trained
from objectives.base import Member, ObjectiveError, State
from objectives.checks.alive import check
from objectives.families.pythae import AUTOENCODERS, VARIATIONAL, objective
from tests.contracts import test_objectives as contract

pytestmark = pytest.mark.trains

installed = pytest.mark.skipif(importlib.util.find_spec("pythae") is None, reason="pythae is not installed: pip install .[pythae]")
EVERY = [f"pythae:{name}" for name in (*AUTOENCODERS, *VARIATIONAL)]
SOME = ["pythae:RAE_L2", "pythae:WAE_MMD", "pythae:BetaVAE"]


def test_without_pythae_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    objective.cache_clear()
    with pytest.raises(ObjectiveError, match=r"pythae:VAE.*not installed.*lagrange-search\[pythae\]"):
        registry.load("pythae:VAE")


def test_a_model_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ObjectiveError, match=r"BetaVAE.*got 'BetaVAEE'.*Did you mean 'BetaVAE'"):
        registry.load("pythae:BetaVAEE")
    with pytest.raises(ObjectiveError, match="adversary"):
        registry.load("pythae:VAEGAN")


@installed
@pytest.mark.parametrize("name", EVERY)
def test_its_attributes_agree_and_it_fulfils_the_protocols(name: str) -> None:
    contract.test_its_attributes_agree_with_one_another(name)
    contract.test_it_fulfils_the_protocols(name)


@installed
@pytest.mark.parametrize("name", SOME)
def test_it_keeps_the_promises_of_every_objective(name: str, tmp_path: Path) -> None:
    contract.test_members_train_to_the_end_and_report_declared_metrics_only(name)
    contract.test_a_seed_is_a_training(name)
    contract.test_a_checkpoint_goes_on_to_the_same_reports(name, tmp_path)
    contract.test_a_stopped_member_reports_no_more(name)
    contract.test_the_test_split_is_scored_from_saved_weights(name, tmp_path)


@installed
@pytest.mark.parametrize("name", EVERY)
def test_every_numeric_parameter_of_pythae_is_a_knob_with_its_default(name: str) -> None:
    from pythae import models

    model = name.removeprefix("pythae:")
    config: Any = getattr(models, f"{model}_Config", None) or getattr(models, f"{model}Config")
    theirs = {field.name: field.default for field in dataclasses.fields(config) if field.type in (int, float, "int", "float")}
    # The scale of the reconstruction is the inverse of reg_weight; the size of the latent is everyone's.
    theirs = {key: value for key, value in theirs.items() if key not in ("latent_dim", "reconstruction_loss_scale")}
    ours = {key: knob.default for key, knob in registry.load(name).knobs.items() if key not in ("lr", "latent_dim", "weight_decay")}
    assert ours.keys() == theirs.keys()
    assert {key: value for key, value in ours.items() if key != "lbd"} == {key: value for key, value in theirs.items() if key != "lbd"}


@installed
@pytest.mark.parametrize("name", EVERY)
def test_every_lambda_is_alive(name: str) -> None:
    found = check(contract.make(name))
    assert all(one.passed and one.proven for one in found), [one for one in found if not (one.passed and one.proven)]


@installed
def test_with_our_latent_noise_a_beta_vae_trains_as_ours_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same initialization, order, binarization and noise: then the same numbers, whoever computes the loss."""
    from pythae import models

    theirs, ours = (contract.make(name, epochs=4).start([Member(0, {"beta": 3.0, "lr": 1e-3}, 5)]) for name in ("pythae:BetaVAE", "vae"))
    streams = theirs.living[0].streams
    monkeypatch.setattr(models.BetaVAE, "_sample_gauss", lambda self, mean, std: (mean + streams.normal(mean.shape, "latent") * std, None))
    for _ in range(3):
        assert theirs.step()[0].rung_score == pytest.approx(ours.step()[0].rung_score, rel=1e-5)


@installed
def test_an_autoencoder_with_weight_decay_trains_as_ours_with_torch_adam() -> None:
    """pythae's loss is SSE, twice ours; Adam does not see the factor."""
    theirs, ours = (contract.make(name, epochs=4).start([Member(0, {"lr": 1e-3}, 5)]) for name in ("pythae:AE", "autoencoder"))
    for _ in range(3):
        assert theirs.step()[0].rung_score == pytest.approx(ours.step()[0].rung_score, rel=1e-4)


@installed
def test_a_member_is_the_same_alone_and_among_others() -> None:
    alone, among = (contract.make("pythae:VAE").start([Member(n, {}, n) for n in numbers]) for numbers in ((1,), (0, 1, 2)))
    torch.manual_seed(0)
    for _ in range(2):
        torch.rand(3)  # whoever else draws from torch's generator changes nothing
        (own,) = alone.step()
        assert own in among.step()


@installed
def test_it_leaves_torchs_own_random_numbers_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    contract.make("pythae:VAE").start([Member(0, {}, 0)]).step()
    assert torch.equal(torch.get_rng_state(), before)


@installed
def test_an_output_that_is_not_finite_is_a_divergence() -> None:
    """pythae's cross-entropy would raise for it; but it is λ's or the learning rate's doing, and no failure of the program."""
    run = contract.make("pythae:VAE").start([Member(0, {"lr": 1e18}, 0)])
    reports = [*run.step(), *run.step(), *run.step()]
    assert reports[-1].state is State.DIVERGED and math.isnan(reports[-1].rung_score)


@installed
def test_a_knob_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(ObjectiveError, match="knob of the objective 'pythae:VAE'"):
        contract.make("pythae:VAE").start([Member(0, {"beta": 2.0}, 0)])


@installed
def test_a_summary_says_which_knob_of_ours_it_is() -> None:
    assert "latent_l2: λ = w/2" in registry.load("pythae:RAE_L2").knobs["embedding_weight"].summary
    assert "mmd: λ = α + w − 1" in registry.load("pythae:INFOVAE_MMD").knobs["lbd"].summary


@installed
@pytest.mark.parametrize("name", SOME)
def test_its_model_comes_back_from_its_weights_and_goes_to_onnx(name: str, tmp_path: Path) -> None:
    run = contract.make(name, epochs=1).start(contract.members(1))
    run.step()
    run.save_weights(10, tmp_path / "weights.safetensors")
    model = trained.load(tmp_path / "weights.safetensors", registry.load(name), contract.make(name).settings, called=name)
    x = torch.rand(3, *model.shape)
    assert torch.equal(model.reconstruct(x), model.decode(model.encode(x)).reshape(x.shape))
    if not onnx_files.missing():
        written = onnx_files.write(model, tmp_path)
        assert {Path(one.file).name for one in written} == {"decoder.onnx", "encoder.onnx"}
        assert all(one.difference < 1e-5 for one in written)
