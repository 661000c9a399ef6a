"""What the benchmark of packs counts and leaves out; its seconds are nobody's test."""

from __future__ import annotations

import pytest

from objectives.base import Member
from tests.benchmarks.population import (
    ROWS,
    Case,
    Timed,
    Where,
    Width,
    count,
    family_of,
    measure_row,
    missing,
    mlp_flops,
    shares,
    table,
    turn,
)

pytestmark = pytest.mark.trains

RANDOM = Where(data=None, device="cpu", train_size=64)


def test_the_formula_of_a_chain_is_three_products_a_layer_and_two_for_the_first() -> None:
    """784-128-32-128-784 at batch 16: 2·16·(3·208,896 − 100,352)."""
    assert mlp_flops([784, 128, 32, 128, 784], 16) == 32 * (3 * (2 * 784 * 128 + 2 * 128 * 32) - 784 * 128)
    assert mlp_flops([3, 5], 1) == 2 * 2 * 3 * 5, "forth and for the weights; nobody asks for the gradient of the images"


@pytest.mark.parametrize("config", [{}, {"l2": 1e-3}])
def test_a_step_of_an_autoencoder_is_counted_as_its_formula_says(config: dict[str, float]) -> None:
    """Penalties on the weights are elementwise and count nothing; what is kept for the way back is more than the weights."""
    run = family_of(Case("autoencoder", "mlp", "mnist", 16), RANDOM).start([Member(0, {"latent_dim": 32, **config}, 0)])
    run.crew.epoch = 1
    flops, saved = count(run)
    assert flops == mlp_flops([784, 128, 32, 128, 784], 16)
    assert saved > 4 * 784 * 128


def test_an_epoch_has_the_steps_that_training_takes() -> None:
    timed = Timed(family_of(ROWS["autoencoder-digits"], RANDOM), {}, 2)
    before = timed.run.crew.steps
    timed.run.step()
    assert timed.run.crew.steps - before == timed.steps_per_epoch
    timed.steps(0)
    assert timed.run.crew.steps - before == timed.steps_per_epoch, "a shuffle alone is no step"


def test_a_turn_is_at_least_a_step_and_at_most_an_epoch() -> None:
    assert turn(10.0, 21, 0.3) == 1 and turn(1e-9, 21, 0.3) == 21 and turn(0.03, 21, 0.3) == 10


def test_what_does_not_fit_the_budget_is_skipped_and_said() -> None:
    row = measure_row(Case("autoencoder", "shallow", "digits", 512), RANDOM, [1, 2], budget_s=0.0)
    assert [one["members"] for one in row["widths"]] == [1, 2] and row["best"] == {"members": 1, "gain": 1.0}
    assert "were left" in row["widths"][1]["skipped"] and row["widths"][0]["seconds"] > 0
    assert "skipped: about" in table({"small": row})
    assert [one["members"] for one in shares(row, {"flop_per_s": 1e9, "bytes_per_s": 1e9})] == [1]


def test_a_share_is_what_members_do_in_a_second_over_the_ceiling() -> None:
    widths = [{"members": 4, "step_s": 0.5, "skipped": ""}]
    (found,) = shares(
        {"widths": widths, "flop_per_member_step": 100, "bytes_per_member_step": 10}, {"flop_per_s": 1600, "bytes_per_s": 800}
    )
    assert found["flop_per_s"] == 800 and found["flop_share"] == 0.5 and found["bytes_share"] == 0.1


def test_a_run_without_a_gpu_says_which_figures_are_missing() -> None:
    assert len(missing("cpu")) == 5 and all(line.startswith("not measured") for line in missing("cpu"))
    assert not missing("cuda") and Width(4, train_s=2.0, evaluate_s=1.0).seconds == 3.0
