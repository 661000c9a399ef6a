"""Every density of codes, found by listing the folder: facts without torch, samples from the draws alone, the moments of a Gaussian."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from objectives import latents, registry
from objectives.base import Member, ObjectiveError, Settings
from objectives.draws import Fixed, Live
from objectives.latents import kde
from objectives.metrics import kid
from objectives.metrics._subject import Subject
from objectives.registry import names
from tests.objectives.over_seeds import lowest

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

REPOSITORY = Path(__file__).parents[2]
NAMES = names("latents")
each = pytest.mark.parametrize("name", NAMES)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_facts_need_neither_torch_nor_scikit_learn() -> None:
    code = """
import sys
from objectives import latents
from objectives.registry import names
for name in names("latents"):
    found = latents.module(name)
    assert found.SUMMARY and found.SOURCE and callable(found.fit), name
heavy = {"torch", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@each
def test_samples_depend_on_codes_and_draws_alone(name: str) -> None:
    """The same draws give the same samples, whatever torch's and NumPy's own generators are at; other draws give others."""
    codes = normal(200, 5).float()
    copy = codes.clone()
    torch.manual_seed(1)
    first = latents.fit(name, codes)(50, Live(3))
    torch.manual_seed(2)
    again = latents.fit(name, codes)(50, Live(3))
    assert torch.equal(first, again) and not torch.equal(first, latents.fit(name, codes)(50, Live(4)))
    assert torch.equal(codes, copy), "codes are not written to"
    sample = latents.fit(name, codes)
    assert not torch.equal(sample(9, Live(3)), sample(9, Live(4))), "a fitted sampler holds no random state"


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_look_like_codes(name: str, dtype: torch.dtype) -> None:
    codes = normal(60, 3).to(dtype)
    for n in (1, 7):
        found = latents.fit(name, codes)(n, Fixed("latents", codes))
        assert found.shape == (n, 3) and found.dtype == dtype and found.device == codes.device and found.isfinite().all()
        assert not found.requires_grad


@each
def test_the_moments_of_gaussian_codes_are_recovered(name: str) -> None:
    """N(0, I) for all; for those that look at the codes any Gaussian, correlated and far from 0."""
    mix = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 3.0]]).double()
    shift, scale = (torch.zeros(3), torch.eye(3)) if name == "standard_normal" else (torch.tensor([5.0, -1.0, 0.0]), mix)
    codes = normal(3000, 3) @ scale.double().T + shift.double()
    found = latents.fit(name, codes)(20_000, Live(0, dtype=torch.float64))
    torch.testing.assert_close(found.mean(0), codes.mean(0), atol=0.12, rtol=0)
    torch.testing.assert_close(found.T.cov(), codes.T.cov(), atol=0.15, rtol=0.05)


@each
def test_dead_latents_stay_where_they_are(name: str) -> None:
    """A latent that is the same for every image, a second copy of a live one, and all of them dead."""
    codes = normal(300, 4).float()
    codes[:, 1], codes[:, 3] = 0.7, codes[:, 0]
    for given in (codes, torch.full((40, 3), 0.1)):
        found = latents.fit(name, given)(500, Live(0))
        assert found.isfinite().all()
        if name != "standard_normal":
            dead = given.std(0) < 1e-6
            torch.testing.assert_close(found[:, dead], given[:1, dead].expand(500, -1), atol=1e-5, rtol=0)
    if name != "standard_normal":
        found = latents.fit(name, codes)(500, Live(0))
        torch.testing.assert_close(found[:, 3], found[:, 0], atol=0.02, rtol=0)


@each
def test_too_few_codes_and_codes_that_are_no_numbers_are_refused(name: str) -> None:
    least = getattr(latents.module(name), "LEAST", 2)
    assert latents.fit(name, normal(max(least, 1), 2))(3, Live(0)).isfinite().all()
    if least:
        with pytest.raises(ObjectiveError, match=rf"{name!r} must be fitted to codes .* at least {least}; got shape \({least - 1}, 2\)"):
            latents.fit(name, normal(least - 1, 2))
    with pytest.raises(ObjectiveError, match="finite codes; 1 numbers are not"):
        latents.fit(name, torch.cat([normal(40, 2), torch.tensor([[0.0, float("nan")]]).double()]))


def test_a_name_nobody_knows_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ObjectiveError, match=r"gaussian, gmm.*Did you mean 'gmm'"):
        latents.fit("gnm", normal(9, 2))


def test_a_mixture_finds_two_clusters_with_their_shares() -> None:
    """Codes at ±4, three to one. One Gaussian puts a third of its samples between them; the mixture nearly none."""
    generator = torch.Generator().manual_seed(0)
    sign = torch.where(torch.rand(2000, 1, generator=generator) < 0.75, 1.0, -1.0).double()
    codes = 4 * sign + 0.5 * normal(2000, 2)
    found = {name: latents.fit(name, codes)(4000, Live(1, dtype=torch.float64)) for name in ("gmm", "gaussian")}
    between = {name: float((samples.mean(1).abs() < 2).double().mean()) for name, samples in found.items()}
    assert between["gmm"] < 0.01 and between["gaussian"] > 0.2
    right = found["gmm"].mean(1) > 0
    assert float(right.double().mean()) == pytest.approx(float((sign > 0).double().mean()), abs=0.03)
    torch.testing.assert_close(found["gmm"][right].T.cov(), 0.25 * torch.eye(2).double(), atol=0.03, rtol=0)


def test_kernels_are_narrower_the_more_codes_there_are() -> None:
    """Two clusters again, in one latent: the gap between them is empty with many codes. h is Scott's."""
    assert kde.bandwidth(10_000, 1) == pytest.approx(10_000 ** (-1 / 5)) and kde.bandwidth(100, 6) == pytest.approx(100**-0.1)
    codes = torch.cat([normal(3000, 1) * 0.3 - 4, normal(3000, 1, seed=1) * 0.3 + 4])
    few, many = (latents.fit("kde", codes[torch.arange(0, 6000, step)])(5000, Live(0, dtype=torch.float64)) for step in (300, 1))
    assert float((many.abs() < 1.5).double().mean()) < 0.02 < float((few.abs() < 1.5).double().mean())


def test_densities_fitted_to_codes_make_better_samples_than_a_standard_normal() -> None:
    """Autoencoders trained on digits, their decoded samples against validation images, over seeds that each have draws of their own."""
    seeds = range(6)
    family: Any = registry.load("autoencoder")
    run = family(Settings({"name": "digits"}, 10)).start([Member(seed, {"lr": 3e-3}, seed) for seed in seeds])
    for _ in range(10):
        run.step()

    def score(name: str, seed: int) -> float:
        net, generator = run.regularization.plain(run.ended[seed]), family(Settings({"name": "digits"}, 1, latents=name))
        subject = Subject(generator, net, run.images, "val")
        with torch.no_grad():
            samples = generator.samples(net, run.images, 1000, f"{name} {seed}")
            return kid.estimate(subject.extractor(samples), subject.real_features).value

    found = {name: [score(name, seed) for seed in seeds] for name in NAMES}

    def better(one: str, other: str) -> bool:
        return lowest([b - a for a, b in zip(found[one], found[other], strict=True)]) > 0

    for name in NAMES:
        assert name == "standard_normal" or better(name, "standard_normal"), found
    assert better("gmm", "gaussian"), found
