"""What every regularizer promises; collected from the folder, so a new file is tested without editing this one.

Its value has a closed form, its gradient is that of finite differences, its off value is its absence, members trained together are the
members trained alone, and it moves what it is there to move.
"""

from __future__ import annotations

import itertools
import re
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from objectives import registry, regularizers
from objectives.base import Knob, Member, Report, Settings, State, Value
from objectives.draws import Live
from objectives.regularizers._truths import Effect, Trained
from objectives.training import traced
from objectives.training.loop import TrainingRun
from tests.objectives.over_seeds import lowest

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

MODULES = regularizers.modules()
PLACES = ("autoencoder", "vae", "gan.generator", "gan.discriminator")
every = pytest.mark.parametrize(("name", "module"), MODULES.items(), ids=list(MODULES))
# Each regularizer in each place: (objective, knob's name there).
FOUND = {
    (objective, knob): found
    for objective in ("autoencoder", "vae", "gan")
    for knob, found in regularizers.acting_on(objective, tuple(registry.load(objective).players)).items()  # type: ignore[attr-defined]
}
everywhere = pytest.mark.parametrize(("objective", "knob"), FOUND, ids=[f"{objective}-{knob}" for objective, knob in FOUND])


def having(attribute: str) -> Any:
    return pytest.mark.parametrize("module", [pytest.param(m, id=name) for name, m in MODULES.items() if hasattr(m, attribute)])


def values_of(knob: Knob) -> list[Value]:
    """Two values that are not off: inside the range and toward its more regularized end. Of choices, all that any model can use."""
    if knob.choices:
        usable = getattr(MODULES.get(knob.name.removesuffix("_g").removesuffix("_d")), "ANY_MODEL", knob.choices)
        return [choice for choice in usable if choice != knob.off]
    assert knob.low is not None and knob.high is not None
    if knob.integer:
        return [round(knob.high), round(knob.low) or round(knob.high)]
    middle = (knob.low * knob.high) ** 0.5 if knob.log else 0.5 * (knob.low + knob.high)
    quarter = (knob.low * middle) ** 0.5 if knob.log else 0.5 * (knob.low + middle)
    return [middle, quarter]


def begin(objective: str, configs: list[dict[str, Value]], *, dtype: str = "float64", **options: Any) -> TrainingRun:
    """A run on few digits, with the smallest model."""
    family: Any = registry.load(objective)
    settings: dict[str, Any] = {"dataset": {"name": "digits", "train_size": 64}, "epochs": 2, "batch_size": 32}
    settings |= {"model": "mlp_small" if objective == "gan" else None, "likelihood": likelihood(objective, configs)}
    shared = {"latent_dim": 3, "lr": 3e-3}
    members = [Member(n, {**shared, **config}, seed=100 + n) for n, config in enumerate(configs)]
    run: TrainingRun = unevaluated(family, dtype)(Settings(**{**settings, **options})).start(members)
    return run


def unevaluated(family: Any, dtype: str = "float32") -> Any:
    """A family that is trained and not evaluated, where weights and losses are all that is looked at: it would take most of the time."""
    cheap = family.cheap or family.score
    quick = {"evaluate": lambda *_: {cheap: torch.zeros(())}, "finish": lambda self, *_: {self.deciding: 0.0}}
    return type("Tested", (family,), {"dtype": dtype, **quick})


def likelihood(objective: str, configs: list[dict[str, Value]]) -> str | None:
    """What a knob needs, if it needs one: it says so in `LIKELIHOODS`."""
    needs = [getattr(MODULES[name], "LIKELIHOODS", None) for config in configs for name in config if name in MODULES]
    return next((need[0] for need in needs if need), None) if objective == "vae" else None


@every
def test_its_knob_is_a_lambda_named_like_the_file(name: str, module: ModuleType) -> None:
    knob = module.KNOB
    assert knob.name == name and knob.off is not None
    assert knob.default == knob.off or module.DEFAULT_ON, "a λ is off unless its file says why"
    assert knob.summary and knob.formula and knob.unit and knob.source and (module.__doc__ or "").strip()
    assert re.search(r"\d", knob.cost), "the cost is a share of a plain step, such as 1–3 %"
    if knob.choices:
        assert knob.off in knob.choices
        return
    assert knob.more in ("high", "low"), "one end of the range must be the more regularized one"
    assert knob.low < knob.high and (not knob.log or knob.low > 0)
    # The off value lies at the less regularized side of the range, or inside it where a knob can be turned both ways (β).
    assert knob.low <= knob.off <= knob.high or (knob.off < knob.low if knob.more == "high" else knob.off > knob.high)


@every
def test_its_companions_are_no_lambdas_and_carry_its_name(name: str, module: ModuleType) -> None:
    for companion in getattr(module, "COMPANIONS", ()):
        assert not companion.is_lambda and companion.name.startswith(f"{name}_") and companion.source


@every
def test_it_acts_somewhere(name: str, module: ModuleType) -> None:
    assert any(hasattr(module, hook) for hook in (*regularizers.HOOKS, "takes", "ELSEWHERE"))
    assert module.ON and set(module.ON) <= set(PLACES)
    assert hasattr(module, "examples") or hasattr(module, "ELSEWHERE"), "its value has a closed form or another way to compute it"
    assert hasattr(module, "effect"), "it is there to move something"


@having("examples")
def test_its_values_are_what_they_must_be(module: ModuleType) -> None:
    assert module.examples()
    for example in module.examples():
        found = example.found(*example.inputs)
        expected = torch.as_tensor(example.expected, dtype=found.dtype).expand_as(found)
        said = partial("{}: {}".format, example.why)
        torch.testing.assert_close(found, expected, rtol=example.rtol, atol=example.atol, msg=said)
        if hasattr(module, "penalty") and example.smooth:
            assert found.shape == (), "a penalty is a scalar"


@pytest.mark.sampled(12)
@having("examples")
def test_its_gradients_are_those_of_finite_differences(module: ModuleType) -> None:
    for example in module.examples():
        if example.smooth:
            leaves = [value.clone().requires_grad_() for value in example.inputs]
            assert torch.autograd.gradcheck(example.found, leaves, eps=1e-6, atol=1e-6, rtol=1e-4), example.why


@having("examples")
def test_it_maps_over_members(module: ModuleType) -> None:
    for example in module.examples():
        if example.smooth:
            stacks = [torch.stack([value, 0.5 * value + 0.1, -value + 0.3]) for value in example.inputs]
            together = torch.func.vmap(example.found, randomness="same")(*stacks)
            alone = torch.stack([example.found(*values) for values in zip(*stacks, strict=True)])
            torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9, msg=partial("{}: {}".format, example.why))


@pytest.mark.sampled(4)
@everywhere
def test_its_off_value_is_its_absence_to_the_bit(objective: str, knob: str) -> None:
    """One batch, the same weights and draws: the loss with the regularizer computed at its off value, and without it."""
    found = FOUND[objective, knob]
    if found.knob.structural:
        pytest.skip("structural: members that have it on never share a computation with members that have it off")
    on = {knob: values_of(found.knob)[0]}
    run = begin(objective, [{knob: found.knob.off}, on], dtype="float32", likelihood=likelihood(objective, [on]))
    regularization = run.regularization
    batch = run.rows[:32]
    knobs = {name: value[0] for name, value in run.crew.knobs.items()}
    thetas = {player: theta[0] for player, theta in run.crew.thetas.items()}
    memories = {name: {key: value[0] for key, value in memory.items()} for name, memory in run.crew.memories.items()}

    def losses() -> list[torch.Tensor]:
        rest = (batch, Live(7), knobs, memories, run.crew.clock, 0)
        return [regularization.loss(player, thetas, *rest)[1][0]["loss"] for player in run.family.players]

    computed = losses()
    assert knob in regularization.on
    regularization.switch([{knob: found.knob.off}])
    absent = losses()
    if not found.has("penalty") or found.knob.off == 0:
        assert knob not in regularization.on
    for with_it, without in zip(computed, absent, strict=True):
        assert torch.equal(with_it, without)


@pytest.mark.sampled(24)
@everywhere
def test_members_together_are_the_members_alone(objective: str, knob: str) -> None:
    """Off, and two values, with seeds and learning rates of their own, in double precision; of what is structural, each value by itself."""
    found = FOUND[objective, knob]
    assert found.knob.off is not None
    on = [value for value in values_of(found.knob) if value != found.knob.off]
    packs = [[value] for value in on] if found.knob.structural else [[found.knob.off, *on[:2]]]
    for companions, values in itertools.product(structures(found), packs):
        configs: list[dict[str, Value]] = [{knob: value, "lr": 1e-3 * (n + 1), **companions} for n, value in enumerate(values)]
        configs = configs if len(configs) > 1 else [*configs, {**configs[0], "lr": 4e-3}]
        together = begin(objective, configs)
        for _ in range(2):
            for report in together.step():
                assert report.state in (None, State.COMPLETE), report.traceback or report.reason
        for number, config in enumerate(configs):
            alone = begin(objective, [config], likelihood=together.settings.likelihood)
            member = Member(0, alone.members[0].config, seed=100 + number)
            alone = alone.family.start([member])
            alone.step(), alone.step()
            for player, weights in alone.ended[0].items():
                torch.testing.assert_close(together.ended[number][player], weights, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.sampled(12)
@everywhere
def test_a_pack_whose_operations_are_done_again_is_the_pack(objective: str, knob: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, in single precision: nothing that it computes is decided outside of what a step is given."""
    found = FOUND[objective, knob]
    for companions, value in itertools.product(structures(found), values_of(found.knob)[:1]):
        runs = []
        for after in (10**9, 1):
            monkeypatch.setattr(traced, "AFTER", after)
            run = begin(objective, [{knob: value, **companions}] * 2, dtype="float32")
            for _ in range(4):
                run.train_steps(2)
                run.crew.epoch += 1  # what has a schedule moves
            runs.append(run)
        assert all(torch.equal(theta, runs[0].crew.thetas[player]) for player, theta in runs[1].crew.thetas.items())
        assert not [trace.refused for trace in runs[1].family.traces.values() if trace.refused]
        assert any(trace.operations for trace in runs[1].family.traces.values())


STATEFUL = {place: one for place, one in FOUND.items() if {"memory", "step_memory", "parameters"} & set(dir(one.module))}


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("objective", "knob"), STATEFUL, ids=[f"{objective}-{knob}" for objective, knob in STATEFUL])
def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(objective: str, knob: str, tmp_path: Path) -> None:
    """What it remembers, and what it trains beside the model, is in the checkpoint: the same weights to the bit."""
    config: dict[str, Value] = {knob: values_of(FOUND[objective, knob].knob)[0]}
    run = begin(objective, [config], dtype="float32")
    run.step()
    run.save(tmp_path / "run.pt")
    resumed = begin(objective, [config], dtype="float32")
    resumed.restore(tmp_path / "run.pt")
    assert [one.step()[0].state for one in (run, resumed)] == [State.COMPLETE] * 2
    for player, weights in run.ended[0].items():
        assert torch.equal(resumed.ended[0][player], weights)


def structures(found: regularizers.Regularizer) -> list[dict[str, Value]]:
    """Every choice of its structural companions; of a whole number, its default."""
    axes = {knob.name: knob.choices or (knob.default,) for knob in found.companions if knob.structural}
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


@pytest.mark.sampled(12)
@having("effect")
def test_it_moves_what_it_is_there_to_move(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over seeds that both trainings share: the lower end of a one-sided 95 % interval (Student's t) lies on the demanded side."""
    monkeypatch.setattr(traced, "AFTER", 10**9)  # to trace costs more than so few steps save
    effect: Effect = module.effect()
    without, with_it = ([effect.measure(one) for one in trained(effect, knobs)] for knobs in ({}, effect.on))
    assert lowest(effect.margins(without, with_it)) >= 0, f"without {without}, with {with_it}"
    assert without != with_it


def trained(effect: Effect, knobs: dict[str, Value]) -> list[Trained]:
    """One member a seed, together: they are the members alone."""
    model = effect.model or ("mlp_small" if effect.objective == "gan" else None)
    settings = Settings({"name": "digits", "train_size": effect.images}, effect.epochs, model, effect.likelihood, batch_size=32)
    members = [Member(n, {"lr": 3e-3, **effect.always, **knobs}, seed=n) for n in range(effect.seeds)]
    family = registry.load(effect.objective)
    run: Any = (unevaluated(family) if effect.objective == "gan" else family)(settings).start(members)
    reports: dict[int, list[Report]] = {member.number: [] for member in members}
    while found := run.step():
        for report in found:
            reports[report.number].append(report)
    return [result(run, reports[member.number]) for member in members]


def result(run: TrainingRun, reports: list[Report]) -> Trained:
    # What an effect is measured against may be a collapse, which is what the regularizer is there to prevent.
    assert reports[-1].state in (State.COMPLETE, State.COLLAPSED), reports[-1].traceback or reports[-1].reason
    weights = run.ended[reports[-1].number]
    kernels = {player: layout.kernels(weights[player]) for player, layout in run.regularization.layouts.items()}
    return Trained(run.regularization.plain(weights), kernels, run.images, reports, run.family)
