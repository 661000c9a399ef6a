"""What is known beforehand about GANs: the games, who moves and how fast, the Dirac-GAN, and how regularizers meet in one discriminator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import logsigmoid, softplus

from objectives import registry
from objectives.base import Member, Settings, State, Value
from objectives.families import dirac
from objectives.losses import GAMES
from objectives.regularizers import mask_noise, norm, packing, path_length, r1, zcr
from objectives.regularizers._truths import Functions, context, numbers, zero
from objectives.terms import Terms
from objectives.training.loop import TrainingRun
from tests.objectives.over_seeds import lowest

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

each_game = pytest.mark.parametrize("game", GAMES)


def begin(configs: list[dict[str, Value]], *, seeds: list[int] | None = None, dtype: str = "float64", **options: Any) -> TrainingRun:
    family: Any = registry.load("gan")
    settings = {"dataset": {"name": "digits", "train_size": 96}, "epochs": 2, "batch_size": 32, "model": "mlp_small", **options}
    members = [Member(n, {"latent_dim": 3, **config}, seed=(seeds or range(100, 200))[n]) for n, config in enumerate(configs)]
    run: TrainingRun = type("Tested", (family,), {"dtype": dtype})(Settings(**settings)).start(members)
    return run


def trained(run: TrainingRun) -> TrainingRun:
    while reports := run.step():
        for report in reports:
            assert report.state in (None, State.COMPLETE), report.traceback or report.reason
    return run


def same_together_as_alone(configs: list[dict[str, Value]], **options: Any) -> None:
    together = trained(begin(configs, **options))
    for n, config in enumerate(configs):
        alone = trained(begin([config], seeds=[100 + n], **options))
        for player, weights in alone.ended[0].items():
            torch.testing.assert_close(together.ended[n][player], weights, rtol=1e-8, atol=1e-8)


# The games --------------------------------------------------------------------------------------------------------------------------------

REAL, FAKE = numbers(7, seed=1), numbers(7, seed=2)
ONE, NIL = torch.ones_like(REAL), torch.zeros_like(REAL)
# By hand: (loss of the discriminator, loss of the generator).
BY_HAND: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
    "non_saturating": (lambda: cross_entropy(REAL, ONE) + cross_entropy(FAKE, NIL), lambda: cross_entropy(FAKE, ONE)),
    "minimax": (lambda: cross_entropy(REAL, ONE) + cross_entropy(FAKE, NIL), lambda: -cross_entropy(FAKE, NIL)),
    "hinge": (
        lambda: torch.maximum(NIL, 1 - REAL).mean() + torch.maximum(NIL, 1 + FAKE).mean(),
        lambda: -FAKE.mean(),
    ),
    "lsgan": (
        lambda: torch.nn.functional.mse_loss(REAL, ONE) / 2 + torch.nn.functional.mse_loss(FAKE, NIL) / 2,
        lambda: torch.nn.functional.mse_loss(FAKE, ONE) / 2,
    ),
    "wasserstein": (lambda: FAKE.mean() - REAL.mean(), lambda: -FAKE.mean()),
    "relativistic": (lambda: -logsigmoid(REAL - FAKE).mean(), lambda: -logsigmoid(FAKE - REAL).mean()),
}


@each_game
def test_a_games_losses_are_those_written_by_hand(game: str) -> None:
    of_discriminator, of_generator = BY_HAND[game]
    torch.testing.assert_close(GAMES[game].discriminator(REAL, FAKE), of_discriminator())
    torch.testing.assert_close(GAMES[game].generator(REAL, FAKE), of_generator())


@each_game
def test_the_players_pull_the_logits_of_generated_images_in_opposite_directions(game: str) -> None:
    """D lowers what it says of generated images and raises what it says of real ones; G raises what D says of its images."""
    real, fake = (value.clone().requires_grad_() for value in (REAL, FAKE))
    if game == "lsgan":  # a quadratic turns around at its labels: between them
        real, fake = (value.detach().sigmoid().requires_grad_() for value in (real, fake))
    up, down = torch.autograd.grad(GAMES[game].discriminator(real, fake), (real, fake))
    assert (up <= 0).all() and (down >= 0).all() and (up < 0).any() and (down > 0).any()
    [raises] = torch.autograd.grad(GAMES[game].generator(real, fake), fake)
    assert (raises < 0).all()


def test_only_the_relativistic_generator_looks_at_real_images() -> None:
    for name, game in GAMES.items():
        real = REAL.clone().requires_grad_()
        loss = game.generator(real, FAKE.clone().requires_grad_())
        [found] = torch.autograd.grad(loss, real, allow_unused=True)
        assert (found is not None) == game.relative == (name == "relativistic")


# For densities p (data) and q (generated) on three points: the logits that minimize the discriminator's loss.
P, Q = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.1, 0.3, 0.6]).double()
BEST = {
    "non_saturating": (P / Q).log(),
    "minimax": (P / Q).log(),
    "lsgan": P / (P + Q),
    "hinge": (P - Q).sign(),  # any value in [−1, 1] where p = q
}


def expected(game: str, logits: Tensor) -> Tensor:
    """The discriminator's loss under p and q: its parts are linear in the densities, so each point can be weighed alone."""
    play = GAMES[game].discriminator
    sure = torch.full((1,), 0.0).double()
    parts = []
    for n in range(len(P)):
        at = logits[n : n + 1]
        alone_real, alone_fake, neither = play(at, sure), play(sure, at), play(sure, sure)
        parts.append(P[n] * (alone_real - neither) + Q[n] * (alone_fake - neither))
    return torch.stack(parts).sum()


@pytest.mark.parametrize("game", BEST)
def test_the_best_discriminator_is_that_of_theory(game: str) -> None:
    logits = torch.zeros(3).double().requires_grad_()
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = expected(game, logits)
        loss.backward()
        return loss

    optimizer.step(closure)
    wanted = BEST[game]
    if game == "hinge":
        assert expected(game, wanted) <= expected(game, logits) + 1e-9
        assert all(
            expected(game, wanted) < expected(game, wanted + move) for move in 0.1 * torch.tensor([[1, 0, 0], [-1, 0, 0], [0, 0, -1]])
        )
    else:
        torch.testing.assert_close(logits.detach(), wanted, rtol=1e-5, atol=1e-6)


def test_a_wasserstein_critic_has_no_best_logits() -> None:
    assert expected("wasserstein", 10 * (P - Q)) > expected("wasserstein", 20 * (P - Q))


@pytest.mark.sampled(6)
@each_game
def test_every_game_trains_and_members_together_are_the_members_alone(game: str) -> None:
    same_together_as_alone([{"loss": game}, {"loss": game, "lr": 3e-3, "l2_d": 1e-2, "beta1": 0.0, "lr_ratio": 3.0}])


# Who moves, and how fast ------------------------------------------------------------------------------------------------------------------


def updates(run: TrainingRun, player: str, steps: int) -> list[Tensor]:
    """θ of a player before and after each of so many minibatches of 32 images."""
    seen = [run.crew.thetas[player][0].clone()]
    batch = run.rows[None, :32]
    for _ in range(steps):
        for other in run.family.players:
            if run.crew.steps % run.family.every(other, run.options) == 0:
                run._update(other, batch)
        run.crew.steps += 1
        seen.append(run.crew.thetas[player][0].clone())
    return seen


def test_the_generator_moves_once_in_n_dis_steps_of_the_discriminator() -> None:
    generator = updates(begin([{"n_dis": 3}]), "generator", 7)
    moved = [not torch.equal(a, b) for a, b in pairwise(generator)]
    assert moved == [True, False, False, True, False, False, True]
    discriminator = updates(begin([{"n_dis": 3}]), "discriminator", 4)
    assert all(not torch.equal(a, b) for a, b in pairwise(discriminator))


@pytest.mark.parametrize(("n_dis", "interval", "due"), [(1, 4, [0, 4, 8]), (2, 4, [0, 8, 16]), (4, 4, [0, 16]), (5, 2, [0, 10])])
def test_a_lazy_penalty_counts_the_steps_of_its_own_player(n_dis: int, interval: int, due: list[int]) -> None:
    run = begin([{"n_dis": n_dis, "path_length": 2.0, "path_length_interval": interval}])
    moves = range(0, 20, n_dis)
    assert [step for step in moves if run.regularization.due("generator", step)][: len(due)] == due


def test_a_lazy_penalty_weighs_as_much_more() -> None:
    values = {}
    for interval in (1, 8):
        run = begin([{"r1": 3.0, "r1_interval": interval}])
        _, (logged, _) = first_loss(run)
        values[interval] = float(logged["loss"] - logged["data"])
        assert float(logged["penalty_r1"]) * 3.0 * interval == pytest.approx(values[interval])
    assert values[8] == pytest.approx(8 * values[1])


def first_loss(run: TrainingRun) -> Any:
    knobs = {name: value[0] for name, value in run.crew.knobs.items()}
    thetas = {player: theta[0] for player, theta in run.crew.thetas.items()}
    memories = {name: {key: value[0] for key, value in memory.items()} for name, memory in run.crew.memories.items()}
    return run.regularization.loss("discriminator", thetas, run.rows[:32], run.crew.living[0].streams, knobs, memories, run.crew.clock, 0)


def test_lr_ratio_scales_the_discriminators_rate_alone() -> None:
    """One step: D moves as with 4 times the learning rate, G as with the plain one."""
    config = {"lr": 1e-3, "beta1": 0.0}
    plain, ratio, fast = ({**config}, {**config, "lr_ratio": 4.0}, {**config, "lr": 4e-3})
    moved = {}
    for name, one in (("plain", plain), ("ratio", ratio), ("fast", fast)):
        for player in ("discriminator", "generator"):
            before, after = updates(begin([one]), player, 1)
            moved[name, player] = after - before
    torch.testing.assert_close(moved["ratio", "discriminator"], moved["fast", "discriminator"])
    torch.testing.assert_close(moved["ratio", "discriminator"], 4 * moved["plain", "discriminator"])
    # G answers a D that moved farther, so its direction differs; Adam's first step without momentum has the length of the rate.
    lengths = [float(moved[name, "generator"].abs().max()) for name in ("ratio", "plain", "fast")]
    assert lengths == pytest.approx([1e-3, 1e-3, 4e-3], rel=1e-3)


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
def test_beta1_is_that_of_torchs_adam(beta1: float) -> None:
    run = begin([{"beta1": beta1, "lr": 2e-3, "lr_ratio": 3.0}])
    steps, gradients = {"generator": 2e-3, "discriminator": 6e-3}, {"generator": [], "discriminator": []}
    optimizers = {player: torch.nn.Parameter(theta[0].clone()) for player, theta in run.crew.thetas.items()}
    adams = {player: torch.optim.Adam([one], lr=steps[player], betas=(beta1, 0.999)) for player, one in optimizers.items()}
    for player, optimizer in run.crew.optimizers.items():
        optimizer.step = spied(optimizer.step, gradients[player])  # type: ignore[method-assign]
    updates(run, "generator", 4)
    for player, adam in adams.items():
        for gradient in gradients[player]:
            optimizers[player].grad = gradient
            adam.step()
        torch.testing.assert_close(run.crew.thetas[player][0], optimizers[player].detach(), rtol=1e-9, atol=1e-12)


def spied(step: Callable[..., None], seen: list[Tensor]) -> Callable[..., None]:
    def stepped(theta: Tensor, gradient: Tensor, lr: Any) -> None:
        seen.append(gradient[0].clone())
        step(theta, gradient, lr)

    return stepped


# The Dirac-GAN ----------------------------------------------------------------------------------------------------------------------------

# γ → distance after 400 steps with h = 0.1 from (θ, ψ) = (−1, 1), both players moving at once.
DISTANCES = {0.0: 2.1, 0.5: 4.6e-5, 0.9: 5.5e-9, 1.0: 3.1e-8, 2.0: 4.7e-3, 10.0: 0.37}


def dirac_by_our_penalty(gamma: float) -> float:
    """The minimax game with data at 0, D(x) = ψx and G = θ: the shipped losses and the shipped R1, differentiated by torch."""
    game = GAMES["minimax"]
    at = torch.tensor(dirac.START).double()
    data = torch.zeros(1, 1).double()

    def loss_d(psi: Tensor, theta: Tensor) -> Tensor:
        terms = Terms(zero(), {"seen_real": data}, net=Functions(discriminator=lambda x: (x * psi).sum(-1)), context=context())
        return game.discriminator(psi * data[:, 0], psi * theta[None]) + gamma * r1.penalty(terms)

    def loss_g(theta: Tensor, psi: Tensor) -> Tensor:
        return game.generator(psi * data[:, 0], psi * theta[None])

    for _ in range(dirac.STEPS):
        theta, psi = at.unbind()
        at = at - dirac.STEP_SIZE * torch.stack([torch.func.grad(loss_g)(theta, psi), torch.func.grad(loss_d)(psi, theta)])
    return float(at.norm())


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("gamma", "distance"), DISTANCES.items())
def test_the_dirac_gan_with_our_r1_converges_as_it_must(gamma: float, distance: float) -> None:
    found = dirac_by_our_penalty(gamma)
    assert found == pytest.approx(distance, rel=0.03)
    assert math.hypot(*dirac.play(dirac.START, gamma, dirac.STEPS)) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.3, 0.9, 1.0, 1.5, 4.0])
def test_the_dirac_gan_converges_at_the_rate_of_its_slowest_eigenvalue(gamma: float) -> None:
    """Near the equilibrium and in small steps, the logarithm of the distance falls by Re(γ/2 − √(γ²/4 − ¼)) per unit of time."""
    h, steps = 0.01, 20_000
    rate = (gamma / 2 - (complex(gamma**2 / 4 - 0.25)) ** 0.5).real
    near = (1e-3, 1e-3)
    late, later = (math.log(math.hypot(*dirac.play(near, gamma, n, h))) for n in (steps // 2, steps))
    # What is left is of order 1/t: at γ = 1 the distance falls as t·exp(−t/2), and below it turns while it falls.
    assert (late - later) / (h * steps / 2) == pytest.approx(rate, abs=0.01)


def test_a_dirac_game_whose_steps_overshoot_has_diverged() -> None:
    run = dirac.Dirac(Settings({"name": "none"}, epochs=2)).start([Member(0, {"r1": 30.0}, seed=1), Member(1, {"r1": 1.0}, seed=1)])
    first, second = run.step()
    assert first.state is State.DIVERGED and second.state is None
    assert [report.number for report in run.step()] == [1]


def test_without_turning_the_start_a_dirac_score_is_the_table() -> None:
    objective = dirac.Dirac(Settings({"name": "none", "spread": 0.0}, epochs=1))
    [report] = objective.start([Member(0, {"r1": 0.9}, seed=5)]).step()
    assert report.score == pytest.approx(math.log10(5.5e-9), abs=0.01)


# Regularizers that meet in one discriminator ----------------------------------------------------------------------------------------------


def test_packing_acts_after_every_other_corruption_of_an_image() -> None:
    """What follows would otherwise see packs where it expects images."""
    on = {"packing": 2, "input_noise": 0.1, "diffaug": 0.5, "instance_noise": 0.1, "ada": 0.6}
    run = begin([on])
    order = list(run.regularization.active("corrupt", "discriminator"))
    assert set(order) == set(on) and order[-1] == "packing"


def test_penalties_cope_with_packs_and_with_every_corruption() -> None:
    config: dict[str, Value] = {"packing": 3, "diffaug": 0.5, "instance_noise": 0.1, "dropout": 0.2}
    penalties = ("r1", "r2", "wgan_gp", "dragan", "max_gp", "cr", "zcr_d", "zcr_g", "lecam")
    same_together_as_alone([{**config, **dict.fromkeys(penalties, 1.0)}, {**config, "bcr": 1.0, "path_length": 1.0, "ema": 0.9}])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("penalty", ["r1", "wgan_gp", "cr", "zcr_d"])
def test_a_neighbours_penalty_does_not_shift_the_dropout_of_a_member_without_it(penalty: str) -> None:
    same_together_as_alone([{"dropout": 0.4, penalty: 0.0}, {"dropout": 0.4, penalty: 1.0}])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("choice", norm.ANY_MODEL)
def test_r1_goes_through_normalization_twice_differentiated(choice: str) -> None:
    same_together_as_alone([{"norm_d": choice, "norm_g": choice, "r1": 1.0}, {"norm_d": choice, "norm_g": choice, "wgan_gp": 1.0}])


def test_groups_of_a_normalization_are_those_of_the_knob_in_training_and_at_evaluation() -> None:
    digits = {"name": "digits", "train_size": 96}
    scores = {}
    for groups in (1, 4):
        family: Any = registry.load("autoencoder")
        config: dict[str, Value] = {"norm": "group", "norm_groups": groups}
        run = family(Settings(digits, 1, batch_size=32)).start([Member(0, config, 3)])
        [report] = run.step()
        plain = run.regularization.plain(run.ended[0])
        assert report.score == pytest.approx(float(run.family.evaluate(plain, run.images)["val_half_sse"]), rel=1e-5)
        scores[groups] = report.score
    layered = family(Settings(digits, 1, batch_size=32)).start([Member(0, {"norm": "layer"}, 3)]).step()[0].score
    assert scores[1] == pytest.approx(layered, rel=1e-4) and scores[4] != pytest.approx(layered, rel=1e-4)


def test_instance_normalization_without_feature_maps_is_refused() -> None:
    [report] = begin([{"norm_d": "instance"}]).step()
    assert report.state is State.FAILED and "needs feature maps" in report.reason


def test_label_smoothing_without_labels_is_refused() -> None:
    [report] = begin([{"loss": "hinge", "label_smoothing": 0.9}]).step()
    assert report.state is State.FAILED and "needs a loss with labels" in report.reason


def test_smoothed_labels_have_the_optimum_that_they_must_have() -> None:
    """softplus(−D) + (1 − a)D + softplus(D)·q/p is least at D = log(a·p / ((1 − a)·p + q))."""
    a, ratio = 0.8, 1.7
    grid = torch.linspace(-4, 4, 80_001).double()
    best = grid[(softplus(-grid) + (1 - a) * grid + softplus(grid) / ratio).argmin()]
    assert float(best) == pytest.approx(math.log(a * ratio / ((1 - a) * ratio + 1)), abs=2e-4)


def test_the_generators_part_of_zcr_makes_neighbours_differ() -> None:
    """By a fifth and more, in the geometric mean over seeds."""

    def apart(config: dict[str, Value]) -> list[float]:
        run = trained(begin([{"ema": 0.0, "lr": 3e-3, **config}] * 8, epochs=6, dtype="float32"))
        z, near = numbers(256, 3).float(), numbers(256, 3).float() + 0.3 * numbers(256, 3, seed=1).float()
        nets = [run.regularization.plain(weights) for _, weights in sorted(run.ended.items())]
        with torch.no_grad():
            return [float((net("generator", z) - net("generator", near)).square().sum(-1).mean()) for net in nets]

    with_it, without = apart({"zcr_g": 10.0, "zcr_radius_g": 0.3}), apart({})
    assert lowest([math.log(b / a / 1.2) for a, b in zip(without, with_it, strict=True)]) > 0, (without, with_it)


def test_zcr_sees_which_player_it_acts_on() -> None:
    z = numbers(4, 2)
    net = Functions(generator=lambda z: 3 * z, discriminator=lambda x: x.sum(-1))
    values = {"latent": z, "fake": 3 * z, "on_fake": (3 * z).sum(-1)}
    own = context(knobs={"zcr_radius": 0.1})
    found = [float(zcr.penalty(Terms(zero(), values, net=net, context=replace(own, player=p)))) for p in ("generator", "discriminator")]
    assert found[0] < 0 < found[1]


def test_the_average_path_length_is_remembered_from_step_to_step() -> None:
    net = Functions(shape=(1, 1, 2), generator=lambda z: z @ numbers(2, 2))
    own = context(memory=path_length.memory({"w": zero()}))
    terms = Terms(zero(), {"latent": numbers(64, 2)}, net=net, context=own)
    lengths = []
    for _ in range(2):
        path_length.penalty(terms)
        lengths.append(float(own.memory["average"]))
    assert lengths[0] > 0 and lengths[1] != lengths[0]


def test_p_of_adaptive_augmentation_moves_with_the_steps_of_the_discriminator() -> None:
    run = begin([{"ada": 0.5, "ada_images": 1e3, "loss": "wasserstein"}, {"ada": 1.0, "loss": "wasserstein"}])
    steps = [run.crew.memories["ada"]["p"].clone()]
    batch = run.rows[:32].expand(2, -1, -1)
    for _ in range(10):
        run._update("discriminator", batch)
        steps.append(run.crew.memories["ada"]["p"].clone())
    p = torch.stack(steps)  # (11, 2)
    change = (p[1:, 0] - p[:-1, 0]).abs()
    assert ((change - 0.032).abs() < 1e-9).sum() >= 5 and (p[:, 0] >= 0).all()
    assert (p[:, 1] == 0).all()
    run._update("generator", batch)
    assert torch.equal(run.crew.memories["ada"]["p"], steps[-1])


def test_masking_and_packing_meet_no_images_of_another_kind() -> None:
    assert "gan.discriminator" not in mask_noise.ON and packing.ON == ("gan.discriminator",)
