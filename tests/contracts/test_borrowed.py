"""What Lagrange promises of modules as people write them (`tests/borrowed.py`): they train, pack, stop and load as its own models do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from objectives import models, registry
from objectives.base import Member, Settings, State
from objectives.checks.alive import check
from objectives.draws import initialized
from objectives.guests import IgnoredError
from objectives.models._borrowed import Borrowed
from objectives.training import checkpoint, traced
from objectives.training.loop import TrainingRun
from objectives.training.regularization import BUFFERS
from tests import borrowed

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

LATENT, SHAPE = 4, (1, 8, 8)
CONFIGS: dict[str, list[dict[str, Any]]] = {
    "vae": [{"beta": 2.0}, {"l2": 1e-3, "lr": 3e-3}, {"input_noise": 0.1}],
    "autoencoder": [{"l2": 1e-2}, {"l1": 1e-3, "lr": 3e-3}, {"decoupled_wd": 0.3}],
    "gan": [{"l2_g": 1e-3}, {"r1": 0.1, "lr": 3e-4}, {"instance_noise": 0.1}],
}


def each(test: Any) -> Any:
    """All models, of which some run: they take most of a second each."""
    return pytest.mark.sampled(3)(pytest.mark.parametrize("name", borrowed.MODELS)(test))


def begin(name: str, configs: list[dict[str, Any]], dtype: str = "float32", first: int = 0, **options: Any) -> TrainingRun:
    family: Any = registry.load(borrowed.MODELS[name])
    own = type("Own", (family,), {"dtype": dtype})
    settings = {"dataset": {"name": "digits", "train_size": 96}, "epochs": 3, "batch_size": 32, "features": {"name": "randconv"}, **options}
    settings["features"] = settings["features"] if borrowed.MODELS[name] == "gan" else None
    run: TrainingRun = own(Settings(model=f"tests.borrowed:{name}", **settings)).start(
        [Member(first + n, {"latent_dim": LATENT, **config}, 100 + first + n) for n, config in enumerate(configs)]
    )
    return run


def configs(name: str) -> list[dict[str, Any]]:
    return CONFIGS[borrowed.MODELS[name]]


def apart(one: TrainingRun, other: TrainingRun, k: int = 0, j: int = 0) -> float:
    """How far members k and j of two runs are apart: weights and buffers."""
    pairs = [(theta[k], other.crew.thetas[player][j]) for player, theta in one.crew.thetas.items()]
    for key, value in one.crew.memories.get(BUFFERS, {}).items():
        pairs.append((value[k].double(), other.crew.memories[BUFFERS][key][j].double()))
    return max(float((a - b).abs().max()) for a, b in pairs)


@each
def test_members_together_are_members_alone(name: str) -> None:
    """Weights, running statistics and scores, in double precision; also what a module draws by itself."""
    together = begin(name, configs(name), "float64")
    fused = [together.step(), together.step()]
    assert [report.state for report in fused[1]] == [None] * 3, fused[1][0].traceback
    for k, config in enumerate(configs(name)):
        alone = begin(name, [config], "float64", first=k)
        single = [alone.step()[0], alone.step()[0]]
        assert apart(together, alone, k) < 1e-7  # Adam makes steps of the noise in gradients that are zero (biases before a normalization)
        # A generator is scored in single-precision features.
        assert fused[1][k].rung_score == pytest.approx(single[1].rung_score, rel=1e-4 if borrowed.MODELS[name] == "gan" else 1e-9)


@each
def test_a_pack_replayed_is_the_pack_mapped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "AFTER", 10**9)
    mapped = begin(name, configs(name)[:2])
    monkeypatch.setattr(traced, "AFTER", 1)
    replayed = begin(name, configs(name)[:2])
    for _ in range(2):
        monkeypatch.setattr(traced, "AFTER", 10**9)
        mapped.step()
        monkeypatch.setattr(traced, "AFTER", 1)
        replayed.step()
    assert any(trace.operations is not None for trace in replayed.family.traces.values())  # type: ignore[attr-defined]
    assert apart(mapped, replayed) == 0 == apart(mapped, replayed, 1, 1)


@each
@pytest.mark.parametrize("count", [1, 2])
def test_interrupted_is_uninterrupted(name: str, count: int, tmp_path: Path) -> None:
    """To the bit: a checkpoint holds the running statistics and the place in every stream, those of the module's own draws too."""
    whole, before, after = (begin(name, configs(name)[:count]) for _ in range(3))
    for _ in range(2):
        whole.step()
    before.step()
    paths = {number: tmp_path / f"{number}.pt" for number in range(count)}
    before.save_each(paths)
    after.restore_each(paths)
    after.step()
    assert apart(whole, after) == 0
    assert [report.score for report in whole.step()] == [report.score for report in after.step()]


@each
def test_exported_weights_load_into_the_module(name: str, tmp_path: Path) -> None:
    """Strictly, under the module's own names; in evaluation it then gives what was scored, and the test split is read from the same."""
    from safetensors.torch import load_file

    run = begin(name, configs(name)[:1], epochs=1)
    assert run.step()[0].state is State.COMPLETE
    run.save_weights(0, tmp_path / "w.safetensors")
    tensors = load_file(tmp_path / "w.safetensors")
    net = run.regularization.plain(run.ended[0])
    made = getattr(borrowed, name)(SHAPE, LATENT)
    if isinstance(made, nn.Module):
        made.load_state_dict(tensors)
        theirs = {"encoder": made, "decoder": made}
    else:
        for part, module in made.items():
            module.load_state_dict({key.removeprefix(f"{part}."): value for key, value in tensors.items() if key.startswith(f"{part}.")})
        theirs = made
    for part, module in theirs.items():
        module.eval()
        form = net.module(part).form
        size = LATENT if part in ("decoder", "generator") else math.prod(SHAPE)
        x = torch.rand(5, size)
        again = Borrowed(module, form)
        if not (form.draws and form.half):
            torch.testing.assert_close(again(x), net(part, x), rtol=1e-5, atol=1e-6)
    found = run.family.read_test({"latent_dim": LATENT}, tmp_path / "w.safetensors")  # type: ignore[attr-defined]
    assert math.isfinite(found["score"])
    assert found == run.family.read_test({"latent_dim": LATENT}, tmp_path / "w.safetensors")  # type: ignore[attr-defined]
    if borrowed.MODELS[name] != "gan":  # scores of a trained model, so near each other; without running statistics far apart
        assert found["score"] == pytest.approx(begin_score(run), rel=0.2)


def begin_score(run: TrainingRun) -> float:
    net = run.regularization.plain(run.ended[0])
    with torch.no_grad():
        found: float = run.family.finish(net, run.images, [0.0])[run.family.deciding]
    return found


@each
def test_every_trained_parameter_moves_and_a_frozen_one_stays(name: str) -> None:
    run = begin(name, configs(name)[:1])
    first = {player: theta.clone() for player, theta in run.crew.thetas.items()}
    built = initialized(100, lambda: models.build(f"tests.borrowed:{name}", borrowed.MODELS[name], SHAPE, LATENT, *asked(run)))
    run.step()
    for player, layout in run.regularization.layouts.items():
        before, after = layout.unflatten(first[player][0]), layout.unflatten(run.crew.thetas[player][0])
        still = [f"{part}.{key}" for part, named in before.items() for key, value in named.items() if torch.equal(value, after[part][key])]
        assert not still
    frozen = {f"{part}.{key}" for part, module in built.items() for key, _ in module.named_buffers() if key.endswith("decoder.3.bias")}
    assert bool(frozen) is (name == "autoencoder")
    for full in frozen & run.crew.memories.get(BUFFERS, {}).keys():
        part, _, key = full.partition(".")
        assert torch.equal(run.crew.memories[BUFFERS][full][0], built[part].get_buffer(key))


def asked(run: TrainingRun) -> tuple[Any, ...]:
    family: Any = run.family
    return family.parts(SHAPE, LATENT), family.meanings, None


@each
def test_the_check_finds_each_lambda_alive_and_the_score_free_of_it(name: str) -> None:
    objective: Any = registry.load(borrowed.MODELS[name])
    settings = Settings({"name": "digits", "train_size": 96}, 4, f"tests.borrowed:{name}", features={"name": "randconv"})
    lambdas = [key for key in configs(name)[0] | configs(name)[1] if objective.knobs[key].off is not None]
    assert [(one.knob, one.fault) for one in check(objective(settings), lambdas) if not one.passed] == []


@each
def test_lambdas_on_hidden_activations_are_refused_by_name(name: str) -> None:
    knob = "dropout"
    with pytest.raises(IgnoredError, match=f"{knob} acts on hidden activations, and tests.borrowed:{name} takes no `hidden`"):
        begin(name, [{knob: 0.2}])


@pytest.mark.slow
@each
def test_every_other_knob_trains_it(name: str) -> None:
    """Two members at once, so that second derivatives and penalties that run the network again are mapped over buffers too."""
    family: Any = registry.load(borrowed.MODELS[name])
    wrong = {}
    for knob_name, knob in family.knobs.items():
        ends = (knob.low, knob.high)
        value = ends[1] if knob.more == "high" else ends[0] if knob.more else None
        for one in knob.choices or ((int(value) if knob.integer else value,) if value is not None else ()):
            likelihood = (knob.likelihood or None) if family.name == "vae" else None
            try:
                run = begin(name, [{knob_name: one}] * 2, epochs=2, likelihood=likelihood, dataset={"name": "digits", "train_size": 64})
            except IgnoredError:
                continue
            found = [report.traceback for report in run.step() if report.state is State.FAILED]
            if found and f"{IgnoredError.__name__}: {knob_name} acts on" not in found[0]:  # or it is refused by its name, in training
                wrong[f"{knob_name}={one}"] = found[0].splitlines()[-1]
    assert not wrong


def test_running_statistics_are_those_of_torch() -> None:
    """After one batch: 0.9 · first + 0.1 · batch, as the module itself would have made them in training."""
    run = begin("autoencoder", [{}], epochs=1, batch_size=96, dataset={"name": "digits", "train_size": 96})
    own = initialized(100, lambda: borrowed.autoencoder(SHAPE, LATENT))
    order = torch.randperm(96, generator=type(run.crew.living[0].streams)(100).generator("order"))
    own.train()
    own(run.images.train[order])
    run.step()
    vector = run.ended[0][BUFFERS]
    held = run.regularization.held.split(vector)
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(held[f"encoder.encoder.1.{key}"], own.encoder[1].get_buffer(key))


def test_one_forward_that_is_both_parts_decodes_as_its_layers_do() -> None:
    """The output for a code z, found through noise that leads there, is that of the layers behind the code."""
    run = begin("forward_vae", [{}], "float64", epochs=2)
    run.step()
    net = run.regularization.plain(run.judge.current(0))
    own = borrowed.forward_vae(SHAPE, LATENT).double()
    own.load_state_dict(checkpoint.tensors(net))
    own.eval()
    assert isinstance(own, borrowed.ForwardVAE)
    z = torch.randn(7, LATENT, dtype=torch.float64)
    h = torch.relu(own.bn4(own.fc4(z)))
    torch.testing.assert_close(net("decoder", z).sigmoid(), torch.sigmoid(own.fc6(h)))
    x = torch.rand(7, 64, dtype=torch.float64)
    mean, log_variance = net("encoder", x).chunk(2, -1)
    h = torch.relu(own.bn1(own.fc1(x)))
    torch.testing.assert_close(mean, own.fc31(h))
    torch.testing.assert_close(log_variance, own.fc32(h))


def test_a_module_of_two_parts_is_trained_as_the_two_parts_are() -> None:
    """One forward with its noise given is `encode` and `decode`: the same loss and gradients."""

    class Split(borrowed.ForwardVAE):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.relu(self.bn1(self.fc1(x)))
            return self.fc31(h), self.fc32(h)

        def decode(self, z: Tensor) -> Tensor:
            return torch.sigmoid(self.fc6(torch.relu(self.bn4(self.fc4(z)))))

    borrowed.__dict__["split_vae"] = lambda shape, latent_dim: Split(math.prod(shape), latent_dim)
    try:
        family: Any = type("Double", (registry.load("vae"),), {"dtype": "float64"})
        ends = []
        for name in ("forward_vae", "split_vae"):
            settings = Settings({"name": "digits", "train_size": 96}, 3, f"tests.borrowed:{name}", batch_size=32)
            ends.append(family(settings).start([Member(0, {"latent_dim": LATENT}, 5)]))
            ends[-1].step()
        # The decoder's and the encoder's layers see the same; the order of parameters is that of the module in both.
        assert apart(*ends) < 1e-9
    finally:
        del borrowed.__dict__["split_vae"]
