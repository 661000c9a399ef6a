"""What a user's training leaves: a checkpoint that loads without executing code, weights, a picture."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives._files import replaced
from objectives.base import ObjectiveError
from objectives.pictures import Sheet, drawn, read, save, write

_ZIP = b"PK"  # how a file of torch's begins
BEYOND_NUMBER = "(reported beyond)"  # stands for the final numbers of a function that went on after its last epoch: how many it had
NUMBERS = "numbers"  # the key of the final numbers in the metadata of weights
_PLAIN = (bool, int, float, str, bytes, type(None))


def checkpoint_faults(state: Any, where: str = "state") -> list[str]:
    """What in a state could not be loaded without executing code, by its place. At most five faults."""
    found: list[tuple[str, str]] = []
    _look(state, where, found)
    return [
        f"a checkpoint must hold only tensors, numbers, strings and containers of these; {place} is a {kind}. Save its state_dict."
        for place, kind in found[:5]
    ]


def _look(value: Any, where: str, found: list[tuple[str, str]]) -> None:
    if type(value) in _PLAIN or _is_tensor(value):
        return
    if type(value) is dict or (type(value) is OrderedDict and "torch" in sys.modules):
        for key, item in value.items():
            _look(key, f"the key {key!r} of {where}", found)
            _look(item, f"{where}[{key!r}]", found)
    elif type(value) in (list, tuple):
        for place, item in enumerate(value):
            _look(item, f"{where}[{place}]", found)
    else:
        kind = type(value)
        found.append((where, kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"))


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # where it is not loaded there is no tensor
    return torch is not None and isinstance(value, torch.Tensor)


def write_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write plain data, as `checkpoint_faults` allows it: with torch where it is loaded, for only then can there be tensors."""
    with replaced(path) as beside:
        if "torch" in sys.modules:
            sys.modules["torch"].save(state, beside)
        else:
            beside.write_bytes(pickle.dumps(state))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote. Nothing in the file is executed.

    Raises:
        ObjectiveError: it is damaged, or holds more than plain data.
    """
    data = path.read_bytes()
    try:
        if data.startswith(_ZIP):
            import torch

            return torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")  # type: ignore[no-any-return]
        return _Plain(io.BytesIO(data)).load()  # type: ignore[no-any-return]
    except Exception as error:  # a damaged pickle raises anything
        told = str(error).partition("\n")[0][:200]
        raise ObjectiveError(f"{path} must be a checkpoint of plain data, as `save` writes it; {type(error).__name__}: {told}.") from error


class _Plain(pickle.Unpickler):
    """Reads containers, numbers and strings, and nothing that has a class."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"a checkpoint must hold plain data only; it holds {module}.{name}")


def save_weights(weights: Mapping[str, Any], numbers: Mapping[str, float], path: Path) -> None:
    """Write tensors by name as safetensors, with final numbers in the file's metadata.

    Raises:
        ObjectiveError: it is no mapping of names to tensors or arrays.
    """
    import torch
    from safetensors.torch import save_file

    if not isinstance(weights, Mapping):
        raise ObjectiveError(f"weights must be tensors by name, such as model.state_dict(); got a {type(weights).__name__}.")
    tensors = {}
    for name, value in weights.items():
        if not _is_tensor(value) and not hasattr(value, "__array__"):
            raise ObjectiveError(f"weights[{name!r}] must be a tensor or an array; got a {type(value).__name__}.")
        # A copy: two names may share memory, which the format does not allow.
        tensors[str(name)] = torch.as_tensor(value).detach().cpu().clone().contiguous()
    with replaced(path) as beside:
        save_file(tensors, beside, metadata=_metadata(numbers))


def save_picture(picture: Any, path: Path) -> None:
    """Write a PNG of images, a PIL image, a matplotlib figure or the file of a picture.

    Raises:
        ObjectiveError: it is none of these.
    """
    with replaced(path) as beside:
        if isinstance(picture, str | Path):
            shutil.copyfile(picture, beside)
        elif hasattr(picture, "savefig"):
            picture.savefig(beside, format="png")
        elif hasattr(picture, "save"):
            picture.save(beside, format="PNG")
        else:
            _save_images(picture, beside)


def _save_images(images: Any, path: Path) -> None:
    import torch

    try:
        tensor = torch.as_tensor(images).detach().cpu().float()
    except (TypeError, ValueError, RuntimeError):
        raise ObjectiveError(f"picture must be images, a figure or the path of a PNG; got a {type(images).__name__}.") from None
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.ndim == 3:
        tensor = tensor[:, None]
    if tensor.ndim != 4 or tensor.shape[1] not in (1, 3):
        raise ObjectiveError(f"picture must have the shape (n, 1 or 3, height, width) or (n, height, width); got {tuple(tensor.shape)}.")
    found = (tensor[:64].nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    write(Sheet({"picture": found.permute(0, 2, 3, 1).contiguous().numpy()}), path)


def show_picture(source: Path, path: Path) -> bool:
    """Write what `save_picture` has written for a person to see: images large and labelled, another picture as it is. False without one."""
    if (found := read(source)) is not None:
        save(drawn(found), path)
    elif source.exists():
        with replaced(path) as beside:
            shutil.copyfile(source, beside)
    return source.exists()


def save_numbers(numbers: Mapping[str, float], path: Path) -> None:
    """Write final numbers as weights without a tensor: they stand in the file's metadata. Loads no torch."""
    from safetensors import serialize_file

    with replaced(path) as beside:
        serialize_file({}, beside, metadata=_metadata(numbers))


def numbers_of(path: Path) -> dict[str, float]:
    """The final numbers beside weights. Loads no torch."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return {name: float(value) for name, value in json.loads((file.metadata() or {}).get(NUMBERS, "{}")).items()}


def _metadata(numbers: Mapping[str, float]) -> dict[str, str]:
    return {NUMBERS: json.dumps(dict(numbers))}
