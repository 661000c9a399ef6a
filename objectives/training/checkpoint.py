"""What a run writes to disk: checkpoints, which hold only plain tensors, numbers and words, and the weights that are scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from objectives._files import replaced
from objectives.base import ObjectiveError
from objectives.terms import Net


def write(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint, atomically."""
    with replaced(path) as temporary:
        torch.save(dict(state), temporary)


def read(path: Path, device: str) -> dict[str, Any]:
    """The state in a checkpoint. Loading it executes nothing.

    Raises:
        ObjectiveError: it is damaged, or holds more than plain tensors, numbers and words.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged file raises anything
        if isinstance(error, OSError) or "out of memory" in str(error):
            raise
        told = str(error).partition("\n")[0][:200]
        raise ObjectiveError(f"{path} must be a checkpoint as Lagrange writes them, which holds nothing that runs; {told}") from error
    if not isinstance(found, dict):
        raise ObjectiveError(f"{path} must be a checkpoint as Lagrange writes them; it holds {type(found).__name__}.")
    return found


def read_together(paths: Sequence[Path], device: str) -> dict[str, Any]:
    """One state of the members of several checkpoints.

    Raises:
        ObjectiveError: the checkpoints are of different epochs.
    """
    states = [read(path, device) for path in paths]
    epochs = sorted({state["epoch"] for state in states})
    if len(epochs) > 1:
        raise ObjectiveError(f"members that go on together must have trained equally long; got epochs {epochs}.")
    steps = sorted({tuple(optimizer["steps"] for optimizer in state["optimizers"].values()) for state in states})
    if len(steps) > 1:  # a member that started from another's optimizer has the steps of that one, too
        raise ObjectiveError(f"members that go on together must have optimizers of equally many steps; got {steps}.")
    return _joined(states)


def inherited(own: Mapping[str, Any], other: Mapping[str, Any], start: int, path: Path) -> dict[str, Any]:
    """The state of a member that begins with what another has become; `path` is the file of the other.

    Weights, averages, optimizers and the memories of regularizers are the other's. The member and its random streams are its own. With
    `start` the epochs, steps and judgements so far are the other's, too.

    Raises:
        ObjectiveError: the other's state is of another epoch than `start`, or of another structure.
    """
    if start and other["epoch"] != start:
        raise ObjectiveError(f"{path} must be a checkpoint of epoch {start}; it is of epoch {other['epoch']}.")
    for player, theta in own["thetas"].items():
        given = other["thetas"].get(player)
        if given is None or given.shape != theta.shape:
            found = "none" if given is None else tuple(given.shape)
            raise ObjectiveError(f"{path} must hold weights of {player} of shape {tuple(theta.shape)}; it holds {found}.")
    taken = {key: other[key] for key in ("thetas", "averages")}
    # The moments of another kind of optimizer mean nothing to this one.
    moments = {player: other["optimizers"][player] for player in own["optimizers"]}
    alike = all(moments[player].keys() == kept.keys() for player, kept in own["optimizers"].items())
    taken["optimizers"] = moments if alike else own["optimizers"]
    # A memory that only one of the two has belongs to a regularizer that is off in the other.
    kept = {key: {name: other[key].get(name, memory) for name, memory in own[key].items()} for key in ("memories", "step_memories")}
    going_on = ("epoch", "steps", "rungs", "first_loss", "best", "history") if start else ()
    return {**own, **taken, **kept, **{key: other[key] for key in going_on}}


def key(module: nn.Module, part: str, name: str) -> str:
    """The name of a weight in a file: `part.name`. One module that is several parts has its own names, as in its `state_dict`."""
    return name if getattr(module, "whole", False) else f"{part}.{name}"


def tensors(net: Net) -> dict[str, Tensor]:
    """The parameters of a model, and the buffers that a `state_dict` of its modules has, by their names in a file."""
    found = {}
    for part, named in net.parameters.items():
        module = net.module(part)
        kept = {} if net.state is None else net.state.held.of(net.state.values, part)
        known = module.state_dict().keys() if kept else ()
        buffers = {name: value for name, value in kept.items() if name in known}
        found.update({key(module, part, name): value for name, value in {**named, **buffers}.items()})
    return found


def write_weights(named: Mapping[str, Tensor], facts: Mapping[str, Any], path: Path) -> None:
    """Write tensors by name as safetensors, with `facts` as metadata."""
    from safetensors.torch import save_file

    with replaced(path) as temporary:
        own = {name: value.detach().cpu().clone().contiguous() for name, value in named.items()}
        save_file(own, temporary, {key: json.dumps(value) for key, value in facts.items()})


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts that `write_weights` wrote. Reading them executes nothing.

    Raises:
        ObjectiveError: it is no file of weights.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = {key: json.loads(value) for key, value in (file.metadata() or {}).items() if key != "format"}
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - it is no mapping
    except (SafetensorError, ValueError) as error:
        raise ObjectiveError(f"{path} must be weights as Lagrange writes them (safetensors); {error}.") from error


def _joined(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One state of all members: lists are joined, tensors joined along the axis of members; common numbers are the first one's."""

    def join(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, Tensor):
            return torch.cat(list(values))
        if isinstance(first, Mapping):
            return {key: join([value[key] for value in values]) for key in first}
        return [item for value in values for item in value] if isinstance(first, list) else first

    return {key: join([state[key] for state in states]) for key in states[0]}
