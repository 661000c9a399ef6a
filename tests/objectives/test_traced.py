"""A pack whose operations are done again is the pack that is mapped, to the bit; what cannot be done again is found out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from objectives import registry
from objectives.base import Member, Settings, SpoiledError, State
from objectives.training import traced
from objectives.training.loop import TrainingRun
from objectives.training.traced import Replays, Trace

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

FAMILIES = ("autoencoder", "vae", "gan")
# Noise, a memory, a clock, a norm of its own: what a step may depend on.
PACKS: dict[str, list[dict[str, Any]]] = {
    "autoencoder": [{"l2": 1e-2, "dropout": 0.3}, {"input_noise": 0.1, "clip_norm": 0.5}, {"lr": 3e-3}],
    "vae": [{"beta": 4.0, "dropout": 0.2}, {"kl_warmup": 0.5, "lr": 3e-3}, {"beta": 0.1}],
    "gan": [{"r1": 1.0, "ada": 0.6}, {"spectral_norm_d": 0.5, "lr": 3e-4}, {"instance_noise": 0.1}],
}
NEVER = 10**9


def begin(name: str, configs: Sequence[dict[str, Any]], family: Any = None, **options: Any) -> TrainingRun:
    settings: dict[str, Any] = {"dataset": {"name": "digits", "train_size": 160}, "epochs": 4, "batch_size": 32, **options}
    if name == "gan":
        settings = {"features": {"name": "randconv"}, "model": "mlp_small", **settings}
    made: TrainingRun = (family or registry.load(name)(Settings(**settings))).start(
        [Member(n, config, seed=100 + n) for n, config in enumerate(configs)]
    )
    return made


def apart(one: TrainingRun, other: TrainingRun) -> float:
    return max(float((theta - other.crew.thetas[player]).abs().max()) for player, theta in one.crew.thetas.items())


def traces(run: TrainingRun) -> list[Trace]:
    found: list[Trace] = list(run.family.traces.values())
    return found


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_pack_replayed_is_the_pack_mapped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "AFTER", NEVER)
    mapped = begin(name, PACKS[name])
    reports = [mapped.step(), mapped.step()]
    monkeypatch.setattr(traced, "AFTER", 1)
    replayed = begin(name, PACKS[name])
    again = [replayed.step(), replayed.step()]
    assert apart(replayed, mapped) == 0
    assert [[report.metrics for report in epoch] for epoch in again] == [[report.metrics for report in epoch] for epoch in reports]
    assert not any(trace.operations for trace in traces(mapped))
    assert all(not trace.refused for trace in traces(replayed))
    assert any(trace.operations for trace in traces(replayed))


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_coarser_products_are_replayed_as_coarse(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for after in (NEVER, 1):
        monkeypatch.setattr(traced, "AFTER", after)
        found.append(begin("autoencoder", [{}, {"l2": 1e-2}], precision=precision))
        found[-1].step()
    assert apart(*found) == 0
    assert [(trace.operations is not None, trace.refused) for trace in traces(found[1])] == [(True, "")]


def test_a_member_that_stops_or_comes_to_nothing_leaves_the_others_as_they_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [{}, {"lr": 1e30}, {"l2": 1e-3}, {}]
    ended = []
    for after in (NEVER, 1):
        monkeypatch.setattr(traced, "AFTER", after)
        run = begin("autoencoder", configs)
        assert [report.state for report in run.step()] == [None, State.DIVERGED, None, None]
        run.stop(3)
        run.step()
        assert all(not trace.refused for trace in traces(run)), "what is not a number equals itself"
        ended.append(run)
    assert apart(*ended) == 0


def test_the_next_run_of_a_process_finds_what_was_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "AFTER", 1)
    first = begin("autoencoder", [{}, {"l2": 1e-3}])
    first.step()
    monkeypatch.setattr(Trace, "record", lambda *_: pytest.fail("traced again"))
    second = begin("autoencoder", [{"l2": 1e-2}, {}], first.family)
    second.step()
    monkeypatch.setattr(traced, "AFTER", NEVER)
    mapped = begin("autoencoder", [{"l2": 1e-2}, {}])
    mapped.step()
    assert apart(second, mapped) == 0


def test_the_run_that_went_on_from_a_checkpoint_ends_as_the_one_that_was_never_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(traced, "AFTER", 1)
    whole, first = begin("vae", PACKS["vae"]), begin("vae", PACKS["vae"])
    first.step()
    first.save(tmp_path / "run.pt")
    second = begin("vae", PACKS["vae"], first.family)
    second.restore(tmp_path / "run.pt")
    whole.step(), whole.step(), second.step()
    assert apart(second, whole) == 0


# Functions that may not be done again ------------------------------------------------------


def call(function: Callable[..., Any], times: int, replays: Replays | None = None) -> list[Any]:
    replays = replays or Replays({})
    return [replays("f", function, torch.full((2,), float(n)), {"b": torch.ones(2)}) for n in range(times)]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "AFTER", 0)


@pytest.mark.usefixtures("at_once")
def test_what_a_function_gives_keeps_its_form() -> None:
    found = call(lambda a, tree: (a * 2, {"sum": a + tree["b"], "none": ()}), 9)
    assert found[8][0].tolist() == [16, 16]
    assert found[8][1]["sum"].tolist() == [9, 9]
    assert found[8][1]["none"] == ()


@pytest.mark.usefixtures("at_once")
def test_one_that_counts_by_itself_is_called_as_before() -> None:
    steps, known = count(), dict[Any, Trace]()
    found = call(lambda a, _: a * 0 + next(steps), 9, Replays(known))
    # The second value went into the trace.
    assert [int(x[0]) for x in found] == [0, *range(2, 10)]
    assert [trace.refused for trace in known.values()] == ["at a later call it gave something else"]


@pytest.mark.usefixtures("at_once")
def test_one_that_changes_late_is_an_error() -> None:
    steps, known = count(), dict[Any, Trace]()
    with pytest.raises(SpoiledError, match=r"must depend on its arguments only.* after 8 steps.*pack: 1"):
        call(lambda a, _: a + next(steps) // 5, 99, Replays(known))


@pytest.mark.usefixtures("at_once")
def test_operations_that_another_form_of_memory_refuses_are_given_up() -> None:
    known, square = dict[Any, Trace](), torch.arange(4.0).view(2, 2)

    def flat(a: Tensor) -> Tensor:
        return a.view(-1) if a.is_contiguous() else a.reshape(-1)

    replays, found = Replays(known), []
    for n in range(4):
        found.append(replays("f", flat, square if n < 1 else square.T).tolist())
    assert found == [[0, 1, 2, 3]] + [[0, 2, 1, 3]] * 3
    assert next(iter(known.values())).refused
    Replays(known)("f", flat, square.T)
    assert len(known) == 2, "from the start it would have been another trace"


@pytest.mark.usefixtures("at_once")
def test_one_that_reads_numbers_is_called_as_before() -> None:
    known = dict[Any, Trace]()
    found = call(lambda a, _: a + 1 if float(a.sum()) > 4 else a, 5, Replays(known))
    assert [int(x[0]) for x in found] == [0, 1, 2, 4, 5]
    assert next(iter(known.values())).refused.startswith("it cannot be traced (")


@pytest.mark.usefixtures("at_once")
def test_other_shapes_and_other_circumstances_are_other_traces() -> None:
    known = dict[Any, Trace]()
    for about, size in (("a", 2), ("a", 2), ("a", 3), ("b", 2)):
        replays = Replays(known, about)
        for _ in range(3):
            assert replays("f", torch.neg, torch.ones(size)).tolist() == [-1] * size
    assert len(known) == 3


def test_a_process_keeps_what_it_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "KEPT", 3)
    known = dict[Any, Trace]()
    for size in (1, 2, 3, 1, 4, 1, 5):
        Replays(known)("f", torch.neg, torch.ones(size))
    assert [trace.calls for trace in known.values()] == [1, 3, 1], "of sizes 4, 1 and 5"


# Captured: operations on memory that stays where it is ------------------------------------------------------


def emulated(action: Callable[[], Sequence[Tensor]]) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """A CUDA graph's terms on a processor: what is launched again reads and writes the memory of the first time."""
    results = action()

    def launch() -> None:
        for kept, now in zip(results, action(), strict=True):
            kept.copy_(now)

    return launch, results


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_captured_pack_is_the_pack_mapped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "AFTER", NEVER)
    mapped = begin(name, PACKS[name])
    expected = [[report.metrics for report in mapped.step()] for _ in range(3)]
    monkeypatch.setattr(traced, "AFTER", 1)
    monkeypatch.setitem(traced.CAPTURES, "cpu", emulated)
    launched = begin(name, PACKS[name])
    assert [[report.metrics for report in launched.step()] for _ in range(3)] == expected
    assert apart(launched, mapped) == 0
    # Another run does not find the memory of the first.
    other = begin(name, PACKS[name], launched.family)
    for _ in range(3):
        other.step()
    assert apart(other, mapped) == 0


@pytest.mark.usefixtures("at_once")
def test_what_stays_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(traced.CAPTURES, "cpu", emulated)
    weights, replays, found = torch.zeros(2), Replays({}), []
    for n in range(8):
        found.append(replays("f", torch.add, weights, torch.full((2,), float(n))).clone())
        weights += 10  # in place, as an optimizer does
    assert [int(x[0]) for x in found] == [11 * n for n in range(8)]
    (known,) = replays._known.values()
    assert replays.captured() == [True]
    assert known.captured is not None
    assert [kept is weights for kept in known.captured._inputs] == [True, False]


@pytest.mark.usefixtures("at_once")
def test_what_cannot_be_captured_is_called_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def full(_: object) -> Any:
        tries.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(traced.CAPTURES, "cpu", full)
    assert [int(x[0]) for x in call(lambda a, _: a + 1, 9)] == list(range(1, 10))
    assert len(tries) == 1
