"""The training loop: resume, how members end, common random numbers, scored weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from objectives import registry
from objectives.base import Member, ObjectiveError, Report, Settings, State
from objectives.draws import stream_seed
from objectives.regularizers import l2
from objectives.training.loop import TrainingRun

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

FAMILIES = ("autoencoder", "vae", "gan")
DIGITS = {"name": "digits", "train_size": 128}


def begin(name: str, members: list[Member], **options: Any) -> TrainingRun:
    family: Any = registry.load(name)
    run: TrainingRun = family(Settings(**{"dataset": DIGITS, "epochs": 4, "batch_size": 32, **options})).start(members)
    return run


def train(run: TrainingRun) -> list[Report]:
    found = []
    while reports := run.step():
        found += reports
    return found


def pack(count: int, **config: Any) -> list[Member]:
    return [Member(number, config, seed=number) for number in range(count)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("count", "score"), [(1, "last"), (3, "best_epoch")])
def test_resumed_training_gives_the_same_bits(name: str, count: int, score: str, tmp_path: Path) -> None:
    members = pack(count, **({"dropout": 0.2, "lr": 3e-3}))
    run, file = begin(name, members, score=score), tmp_path / "deep" / "run.pt"
    run.step(), run.step()
    if count > 1:
        run.stop(1)
    run.save(file)
    resumed = begin(name, members, score=score)
    resumed.restore(file)
    assert train(resumed) == train(run)
    for number in range(count):
        assert all(torch.equal(resumed.ended[number][player], weights) for player, weights in run.ended[number].items())
    assert [path.name for path in file.parent.iterdir()] == ["run.pt"]


def test_a_checkpoint_of_other_members_is_refused(tmp_path: Path) -> None:
    begin("autoencoder", pack(1)).save(tmp_path / "run.pt")
    with pytest.raises(ObjectiveError, match="it holds member 0"):
        begin("autoencoder", [Member(0, {}, seed=5)]).restore(tmp_path / "run.pt")


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, file = begin("autoencoder", pack(1)), tmp_path / "run.pt"
    run.save(file)
    before = file.read_bytes()

    def torn(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(OSError, match="disk full"):
        run.save(file)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_diverging_member_ends_within_one_report_and_leaves_the_others_alone(name: str) -> None:
    configs: list[dict[str, Any]] = [{}, {"lr": 1e30}, {}]
    members = [Member(number, config, number) for number, config in enumerate(configs)]
    run, calm = begin(name, members), begin(name, pack(3))
    first, expected = run.step(), calm.step()
    assert [report.state for report in first] == [None, State.DIVERGED, None]
    assert "not finite" in first[1].reason and first[1].score is None
    assert (first[0], first[2]) == (expected[0], expected[2])
    assert [report.number for report in run.step()] == [0, 2]


def test_a_loss_that_blows_up_has_diverged() -> None:
    run = begin("autoencoder", pack(1))
    run.step()
    run.crew.thetas["model"].mul_(100)
    (report,) = run.step()
    assert report.state is State.DIVERGED and "training loss rose" in report.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("a user's penalty"), "ValueError: a user's penalty"),
        (MemoryError("no room"), "out of memory: no room"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory: DefaultCPUAllocator"),
        (RuntimeError("CUDA out of memory. Tried"), "out of memory: CUDA"),
    ],
)
def test_a_member_that_raises_has_failed_and_says_why(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def penalty(terms: object) -> None:
        raise error

    run = begin("autoencoder", pack(1, l2=1e-3))
    run.step()
    monkeypatch.setattr(l2, "penalty", penalty)
    (report,) = run.step()
    assert report.state is State.FAILED and report.reason.startswith(reason) and report.epoch == 2
    assert "in penalty" in report.traceback and math.isnan(report.rung_score)
    assert run.step() == []


def test_a_final_evaluation_that_raises_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin("autoencoder", pack(2), epochs=1)

    def finish(*_: object) -> None:
        raise ValueError("late")

    monkeypatch.setattr(run.family, "finish", finish)
    assert [(report.state, report.reason) for report in run.step()] == [(State.FAILED, "ValueError: late")] * 2


@pytest.mark.parametrize("name", FAMILIES)
def test_members_of_one_seed_share_initialization_order_and_noise_whatever_lambda(name: str) -> None:
    knobs = registry.load(name).knobs
    # Structural ones may be another model (packing) or ask for another likelihood.
    regularized = {knob: found.high for knob, found in knobs.items() if found.is_lambda and not found.structural}
    runs = [begin(name, [Member(0, config, seed=3)], epochs=1) for config in ({}, regularized)]
    # What a regularizer trains for itself lies behind the model's own parameters.
    for player, theta in runs[0].crew.thetas.items():
        assert torch.equal(theta, runs[1].crew.thetas[player][:, : theta.shape[1]])
    streams = [run.crew.living[0].streams for run in runs]
    for run in runs:
        run._train_epoch()
    plain, noisy = (found.state() for found in streams)
    assert {"order"} < set(noisy) or name == "autoencoder"
    assert all(torch.equal(noisy[stream], plain[stream]) for stream in plain)
    other = begin(name, [Member(0, {}, seed=4)])
    assert not any(torch.equal(runs[0].crew.thetas[player], other.crew.thetas[player]) for player in other.crew.thetas)


def test_streams_are_unrelated() -> None:
    seeds = {stream_seed(seed, stream) for seed in range(50) for stream in ("init", "order", "noise", "dropout")}
    assert len(seeds) == 200 and all(0 <= seed < 2**63 for seed in seeds)


def test_initialization_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    begin("autoencoder", pack(2))
    assert torch.equal(torch.rand(1), expected)


def test_best_epoch_scores_the_best_weights_and_last_the_last() -> None:
    scores = {}
    for score in ("last", "best_epoch"):
        run = begin("autoencoder", pack(1, lr=3e-3), score=score)
        reports = [run.step()[0] for _ in range(3)]
        run.crew.thetas["model"].mul_(1.5)  # so far that the last epoch cannot make up for it: it ends at twice the error, for any seed
        reports += run.step()
        scores[score] = [report.rung_score for report in reports], reports[-1]
    curve, last = scores["last"]
    assert curve[-1] > 1.2 * min(curve)
    assert last.score == pytest.approx(curve[-1], rel=1e-5)
    assert scores["best_epoch"][1].score == pytest.approx(min(curve), rel=1e-5)
    assert scores["best_epoch"][1].metrics["scored_epoch"] == 1 + curve.index(min(curve))


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_weights_are_the_scored_ones_and_load_without_code(name: str, tmp_path: Path) -> None:
    member = Member(4, {"lr": 2e-3, "latent_dim": 6}, seed=11)
    run, file = begin(name, [member], epochs=2), tmp_path / "weights.safetensors"
    train(run)
    run.save_weights(4, file)
    with safe_open(file, framework="pt") as opened:
        facts = {key: json.loads(value) for key, value in opened.metadata().items()}
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  (not a dict)
    assert facts["config"] == member.config and facts["seed"] == 11 and facts["shape"] == [1, 8, 8] and facts["objective"] == name
    kept = torch.cat([theta for _, theta in sorted(run.ended[4].items())])
    assert sum(tensor.numel() for tensor in tensors.values()) == kept.numel()
    found = run.family.read_test(member.config, file)
    assert math.isfinite(found["score"]) and found["score"] == found[run.family.deciding.replace("val_", "test_")]
    assert found == run.family.read_test(member.config, file)
    with pytest.raises(ObjectiveError, match="does not fit"):
        run.family.read_test({**member.config, "latent_dim": 7}, file)


@pytest.mark.parametrize("name", FAMILIES)
def test_pictures_are_written_for_images_only(name: str, tmp_path: Path) -> None:
    run = begin(name, pack(2), epochs=1)
    assert run.save_picture(1, tmp_path / "living.png") and (tmp_path / "living.png").stat().st_size > 500
    run.step()
    assert run.save_picture(0, tmp_path / "ended.png")
    if name == "autoencoder":
        rows = begin(name, pack(1), dataset={"name": "noisy_linear", "n_train": 64})
        assert not rows.save_picture(0, tmp_path / "none.png")


def test_members_must_agree_in_structural_knobs_and_know_every_name() -> None:
    with pytest.raises(ObjectiveError, match="latent_dim"):
        begin("vae", [Member(0, {"latent_dim": 4}, 0), Member(1, {"latent_dim": 8}, 0)])
    with pytest.raises(ObjectiveError, match="got 'l3'"):
        begin("vae", [Member(0, {"l3": 1.0}, 0)])


def test_a_gan_is_scored_by_its_average_over_the_last_evaluations() -> None:
    run = begin("gan", pack(1), epochs=11)  # the last ⌈11/5⌉ = 3
    reports = train(run)
    curve = [report.rung_score for report in reports]
    assert reports[-1].score == pytest.approx(sum(curve[-3:]) / 3)
    assert not torch.equal(run.crew.averages["generator"], run.crew.thetas["generator"]) or not len(run.crew.living)


def test_the_average_follows_its_recursion() -> None:
    run = begin("gan", pack(1), batch_size=128)  # one update per epoch
    average = run.crew.averages["generator"].clone()
    for update in range(3):
        run._train_epoch()
        decay = (1 + update) / (10 + update)
        average = decay * average + (1 - decay) * run.crew.thetas["generator"]
        torch.testing.assert_close(run.crew.averages["generator"], average)


def test_bernoulli_of_real_values_is_refused() -> None:
    family: Any = registry.load("vae")
    with pytest.raises(ObjectiveError, match="gaussian"):
        family(Settings(dataset={"name": "noisy_linear"}, epochs=1)).prepare()
    family(Settings(dataset={"name": "noisy_linear"}, epochs=1, likelihood="gaussian")).prepare()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "mlp40"}, "mlp400"),
        ({"metric": "val_kdi"}, "val_neg_elbo_nats"),
        ({"likelihood": "poisson"}, "gaussian"),
        ({"epochs": 0}, "1"),
    ],
)
def test_wrong_settings_are_answered_with_what_exists(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        begin("vae", pack(1), **options)
