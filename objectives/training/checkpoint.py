"""What a run writes to disk: checkpoints, which hold only plain tensors, numbers and words, and the weights that are scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from objectives._files import replaced
from objectives.base import ObjectiveError


def write(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint, atomically."""
    with replaced(path) as temporary:
        torch.save(dict(state), temporary)


def read(path: Path, device: str) -> dict[str, Any]:
    """The state in a checkpoint. Loading it executes nothing."""
    found: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
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
    return _joined(states)


def write_weights(parameters: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any], path: Path) -> None:
    """Write parameters by part and name as safetensors, with `facts` as metadata."""
    from safetensors.torch import save_file

    tensors = {f"{part}.{name}": value.detach().cpu().clone() for part, named in parameters.items() for name, value in named.items()}
    with replaced(path) as temporary:
        save_file(tensors, temporary, {key: json.dumps(value) for key, value in facts.items()})


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
