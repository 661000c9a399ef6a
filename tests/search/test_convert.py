"""`lagrange convert`: what is printed, and what is refused."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from search.cli import app


def convert(*args: str) -> Result:
    return CliRunner().invoke(app, ["convert", *args])


def test_the_mysterious_weight_is_an_ordinary_vae() -> None:
    done = convert("--from", "pytorch-vae", "kld_weight=0.00025", "--image", "64x64x3")
    assert done.exit_code == 0, done.output
    for words in (
        "beta ≈ 1.536",
        "kld_weight = 0.00025",
        "β = w·D/2",
        "D = 12288",
        "pytorch-vae: mean_D (x − x̂)² + w·KL",
        "vanilla_vae.py",
    ):
        assert words in done.output, done.output


def test_json_holds_the_numbers() -> None:
    done = convert("--from", "keras-rae", "embedding_weight=1e-4", "--image", "32x32", "--latent", "16", "--json")
    (row,) = json.loads(done.output)
    assert row["target"] == "latent_l2"
    assert row["result"] == pytest.approx(0.0064)
    assert row["where"]["d"] == 16


def test_back_and_through() -> None:
    done = convert("--to", "gan_stability", "r1=20", "--json")
    assert [(row["target"], row["result"]) for row in json.loads(done.output)] == [("reg_param", 10.0)]
    done = convert("--from", "keras-rae", "--to", "pythae", "embedding_weight=1e-4", "--image", "32x32x1", "--latent", "16", "--json")
    assert [(row["target"], pytest.approx(row["result"])) for row in json.loads(done.output)] == [
        ("latent_l2", 0.0064),
        ("embedding_weight", 0.0128),
    ]


def test_without_parameters_it_lists() -> None:
    every = convert()
    for name in ("pythae", "pytorch-vae", "keras-rae", "compare_gan", "studiogan", "gan_stability", "torch", "s0", "s1", "s2", "s3", "s4"):
        assert name in every.output
    one = convert("--from", "gan_stability")
    assert one.exit_code == 0
    for words in ("reg_param", "γ = 2w", "reg_type=…", "wgangp"):
        assert words in one.output, one.output
    rows = json.loads(convert("--from", "compare_gan", "--json").output)
    assert {"l2_d", "wgan_gp", "dragan", "ema"} == {row["knob"] for row in rows}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--from", "pytorch-vae", "kld_weight=0.00025"], ["--image HxWxC (or --pixels N) must be given", "kld_weight"]),
        (["--from", "pytorch-vae", "kld_weight"], ["NAME=VALUE", "'kld_weight'"]),
        (["--from", "pytorch-vae", "kld_weight=1", "kld_weight=2"], ["given twice"]),
        (["--from", "pytorch-vae", "kld_weight=1", "--image", "64"], ["--image must be HxWxC", "'64'"]),
        (["--from", "pytorch-vae", "kld_weight=1", "--pixels", "0"], ["--pixels must be at least 1", "got 0"]),
        (["--from", "pytorchvae", "kld_weight=1"], ["'pytorchvae'", "Did you mean 'pytorch-vae'?"]),
        (["--from", "nothing-like-it"], ["a convention must be one of", "studiogan"]),
        (["kld_weight=1"], ["--from or --to"]),
        (["--to", "gan_stability", "beta=1"], ["a knob that gan_stability has", "'beta'"]),
    ],
)
def test_a_mistake_is_told_and_costs_2(args: list[str], words: list[str]) -> None:
    done = convert(*args)
    assert done.exit_code == 2, done.output
    for word in words:
        assert word in done.output, done.output


def test_all_mistakes_are_told_at_once() -> None:
    done = convert("--from", "compare_gan", "lambda=x", "lamda=1", "penalty=l3")
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 3, done.output
