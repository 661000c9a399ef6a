"""Inception-v3's pool3 features, 2,048 of them, from weights that the user brings: `features: {name: inception, weights: PATH}`.

Two layouts are known. *FID weights* (of pytorch-fid and torch-fidelity, converted from the graph of Heusel et al.) have 1,008 classes. The
poolings of their network differ from torchvision's. Published FIDs use these weights. *torchvision's* `inception_v3` has 1,000 classes. Its
features are as good, but a number in them is no published FID. The label names the layout. Gray images become three equal channels. All
images are resized to 299 by bilinear interpolation without antialiasing (half-pixel centres; TensorFlow 1's graph has its own).
Source: Szegedy et al., arXiv 1512.00567; Heusel et al., arXiv 1706.08500; on resizing: Parmar et al., arXiv 2104.11222.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor, tensor_hash
from objectives.lazy import Tensor, functional, nn, torch
from objectives.registry import unknown

SUMMARY = "2,048 pool3 features of Inception-v3, from weights that you bring (weights: PATH)"
RANK = 5
OPTIONS = ("weights",)
DIM = 2048
SIDE = 299
CHUNK = 50  # images per forward pass: a thousand at 299 pixels do not fit into memory
CLASSES = {1000: "torchvision", 1008: "fid"}
_AVERAGED = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b")
_NEEDLESS = ("AuxLogits.", "num_batches_tracked")  # parts of a name: what is used in training only


def faults(options: Mapping[str, Any]) -> list[str]:
    """An unknown option, no weights, or no such file."""
    found = [unknown("option of features 'inception'", str(key), OPTIONS) for key in options if key not in OPTIONS]
    weights = options.get("weights")
    remedy = "Write features: {name: inception, weights: PATH}; Lagrange brings none."
    if not isinstance(weights, str | Path) or not str(weights):
        return [*found, f"features 'inception' need weights, a file of Inception-v3's state_dict; got {weights!r}. {remedy}"]
    if not Path(weights).is_file():
        found.append(f"features 'inception': weights must be a file; there is none at {str(weights)!r}. {remedy}")
    return found


def suits(images: ImageSet) -> bool:
    """Never a default: the weights must be named."""
    return False


def make(images: ImageSet, cache: Path | None, options: Mapping[str, Any]) -> Extractor:
    """The extractor of gray or colour images of any size.

    Raises:
        ObjectiveError: the images do not have one or three channels, or the weights are missing or are of something else.
    """
    if wrong := faults(options):
        raise ObjectiveError("\n".join(wrong))
    if images.shape[0] not in (1, 3):
        raise ObjectiveError(f"features 'inception' need gray or colour images; got {images.shape[0]} channels. Choose features: randconv.")
    path = Path(options["weights"])
    state = _read(path)
    network, kind = _network(state, path)
    network.to(images.val.device)
    sha256 = tensor_hash(state)

    def of(part: Tensor) -> Tensor:
        found: Tensor = network(_prepared(part, kind))
        return found

    facts = {"dim": DIM, "sha256": sha256, "layout": kind, "weights": path.name}
    return Extractor(f"inception-{kind}-{DIM}@{sha256[:8]}", images.shape, DIM, of, facts, chunk=CHUNK)


def _prepared(images: Tensor, kind: str) -> Tensor:
    """(n, C, H, W) in [0, 1] to (n, 3, 299, 299), in the range that the layout was trained with."""
    x = images.expand(-1, 3, -1, -1)
    if x.shape[-2:] != (SIDE, SIDE):
        x = functional.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return (255 * x - 128) / 128 if kind == "fid" else 2 * x - 1


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors by name, from safetensors or from a file of `torch.save` that is loaded without executing anything."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise _wrong(path, f"it cannot be read ({type(error).__name__})") from error
    except Exception as error:  # pickle's own error, which torch raises for a file that is more than tensors
        raise _wrong(path, f"it is not plain tensors ({type(error).__name__})") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise _wrong(path, f"it holds {type(found).__name__}")
    return {str(name).removeprefix("module."): value for name, value in found.items()}


def _wrong(path: Path, what: str) -> ObjectiveError:
    rule = "features 'inception': weights must be a state_dict of Inception-v3, in the layout of torchvision or of pytorch-fid"
    return ObjectiveError(f"{rule}; {path.name}: {what}.")


def _network(state: Mapping[str, Tensor], path: Path) -> tuple[nn.Module, str]:
    """Inception-v3 up to pool3 with these weights, and the name of their layout.

    Raises:
        ObjectiveError: names or shapes are missing or differ; the first few are told.
    """
    from torchvision.models.inception import Inception3

    classes = len(state["fc.weight"]) if "fc.weight" in state else 0
    if classes and classes not in CLASSES:
        raise _wrong(path, f"its last layer has {classes} classes, where it must have 1000 (torchvision) or 1008 (FID)")
    with torch.device("meta"):  # no numbers are drawn only to be replaced
        network = Inception3(num_classes=classes or 1000, aux_logits=False, init_weights=False)
    wanted = {name: value.shape for name, value in network.state_dict().items() if not any(part in name for part in _NEEDLESS)}
    missing = [name for name in wanted if name not in state]
    if missing:
        raise _wrong(path, f"it lacks {len(missing)} of {len(wanted)} tensors: {', '.join(missing[:3])}, …")
    unlike = [name for name, shape in wanted.items() if state[name].shape != shape]
    if unlike:
        name = unlike[0]
        raise _wrong(path, f"{len(unlike)} tensors have another shape: {name} is {tuple(state[name].shape)}, not {tuple(wanted[name])}")
    network.to_empty(device="cpu")
    network.load_state_dict({name: state[name] for name in wanted}, strict=False)
    network.fc, network.dropout = nn.Identity(), nn.Identity()
    kind = CLASSES[classes]
    if kind == "fid":
        _pool_like_the_graph(network)
    return network.eval().requires_grad_(False), kind


def _pool_like_the_graph(network: nn.Module) -> None:
    """TensorFlow's averages leave the padding out of the count, and the last block takes a maximum instead."""

    class Pooled(nn.Module):
        """A block whose last branch starts with another pooling."""

        def __init__(self, block: Any, pool: nn.Module) -> None:
            super().__init__()
            self.block, self.pool = block, pool

        def forward(self, x: Tensor) -> Tensor:
            *branches, _ = self.block._forward(x)
            return torch.cat([*branches, self.block.branch_pool(self.pool(x))], 1)

    for name in _AVERAGED:
        setattr(network, name, Pooled(getattr(network, name), nn.AvgPool2d(3, 1, 1, count_include_pad=False)))
    network.Mixed_7c = Pooled(network.Mixed_7c, nn.MaxPool2d(3, 1, 1))
