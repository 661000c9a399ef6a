"""Units of other projects: known numbers, what is said of a mistake, and what was assumed. Each project's losses: `tests/contracts`."""

from __future__ import annotations

import pytest

from objectives.conventions import ConventionError, Size, convert, restore


@pytest.mark.parametrize(
    ("convention", "given", "size", "knob", "expected"),
    [
        # The three published numbers that everybody trips over.
        ("pytorch-vae", {"kld_weight": "0.00025"}, Size(image=(64, 64, 3)), "beta", 1.536),
        ("pytorch-vae", {"kld_weight": "0.00025"}, Size(pixels=12288), "beta", 1.536),
        ("pytorch-vae", {"beta": "10"}, Size(image=(64, 64, 3)), "beta", 15.36),
        ("keras-rae", {"embedding_weight": "1e-4"}, Size(image=(32, 32, 1), latent=16), "latent_l2", 0.0064),
        ("pythae", {"embedding_weight": "0.0128"}, Size(), "latent_l2", 0.0064),
        ("gan_stability", {"reg_param": "10"}, Size(), "r1", 20.0),
        ("compare_gan", {"lambda": "1e-2", "penalty": "l2"}, Size(kernels=5), "l2_d", 0.002),
        ("s1", {"lambda_g": "1e-4"}, Size(), "l2_g", 2e-4),
        ("s3", {"lambda": "1e-3"}, Size(image=(28, 28, 1)), "l2", 0.392),
        ("studiogan", {"wc_bound": "0.01"}, Size(), "weight_clip", 100.0),
        ("torch", {"weight_decay": "0.05", "optimizer": "adamw"}, Size(), "decoupled_wd", 0.05),
        ("torch", {"p": "0.25"}, Size(), "dropout", 0.25),
        ("s2", {"dropout": "0.2", "as": "code"}, Size(), "dropout", 0.8),
    ],
)
def test_known_numbers(convention: str, given: dict[str, str], size: Size, knob: str, expected: float) -> None:
    (found,) = convert(convention, given, size)
    assert found.target == knob
    assert found.result == pytest.approx(expected, rel=1e-12)


def test_the_inverse_of_a_bound() -> None:
    (found,) = restore("studiogan", {"weight_clip": "100"})
    assert (found.target, found.result) == ("wc_bound", pytest.approx(0.01))


def faults(convention: str, given: dict[str, str], size: Size | None = None) -> list[str]:
    with pytest.raises(ConventionError) as caught:
        convert(convention, given, size)
    return caught.value.faults


def test_all_faults_are_told_at_once() -> None:
    found = faults("pytorch-vae", {"kld_weight": "much", "bta": "3", "model": "BetaVEA"})
    assert len(found) == 3
    for words in ("'much'", "Did you mean 'beta'?", "Did you mean 'BetaVAE'?"):
        assert sum(words in fault for fault in found) == 1, found


@pytest.mark.parametrize(
    ("convention", "given", "words"),
    [
        ("pytorch-vea", {}, ["'pytorch-vea'", "Did you mean 'pytorch-vae'?"]),
        ("pytorch-vae", {"kld_weight": "1"}, ["--image HxWxC", "averaged over the D values", "β = w·D/2"]),
        ("keras-rae", {"embedding_weight": "1"}, ["--latent N", "d latent dimensions"]),
        ("compare_gan", {"lambda": "1", "penalty": "l2"}, ["--kernels N", "mean over the kernels"]),
        ("pythae", {"reg_weight": "1", "model": "WAE_MMD", "reconstruction_loss": "old_mse"}, ["--batch N"]),
        ("pytorch-vae", {"model": "BetaVAE"}, ["must be given a parameter", "kld_weight"]),
        ("pytorch-vae", {"gamma": "6", "model": "FactorVAE"}, ["no equivalent", "within a code"]),
        ("pytorch-vae", {"reg_weight": "1", "model": "InfoVAE"}, ["alpha must be given", "Write alpha="]),
        ("pythae", {"beta": "6", "alpha": "2", "gamma": "1", "model": "BetaTCVAE"}, ["alpha must equal gamma", "alpha=2", "gamma=1"]),
        ("studiogan", {"real_lambda": "10", "fake_lambda": "5"}, ["real_lambda must equal fake_lambda", "10", "5"]),
        ("studiogan", {"wc_bound": "0"}, ["must not be 0"]),
        ("gan_stability", {"reg_param": "-1"}, ["at least 0", "-1"]),
        ("gan_stability", {"reg_param": "inf"}, ["finite", "'inf'"]),
        ("pythae", {"C": "5", "model": "BetaVAE"}, ["model=DisentangledBetaVAE", "model=BetaVAE"]),
    ],
)
def test_a_mistake_says_the_rule_and_the_remedy(convention: str, given: dict[str, str], words: list[str]) -> None:
    found = " ".join(faults(convention, given))
    for word in words:
        assert word in found, (word, found)


def test_what_was_assumed_is_said() -> None:
    (found,) = convert("pythae", {"beta": "4"})
    assert "model=BetaVAE" in found.note
    (found,) = convert("pythae", {"beta": "4", "model": "BetaVAE"})
    assert not found.note
