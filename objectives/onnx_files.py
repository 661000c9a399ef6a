"""A trained model as ONNX: its decoder or generator and its encoder, loaded back and compared with torch."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from objectives._files import replaced
from objectives.base import ObjectiveError
from objectives.trained import TrainedModel

LIBRARIES = ("onnx", "onnxruntime", "onnxscript")
TRIED = (1, 7)  # rows: the batch is as long as one wants


@dataclass(frozen=True)
class Written:
    """A file, and the largest difference between its outputs and those of torch."""

    file: Path
    difference: float


class _Half(nn.Module):
    """One method of a model as its forward."""

    def __init__(self, model: TrainedModel, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, x: Tensor) -> Tensor:
        """Whatever the method takes and gives."""
        found: Tensor = getattr(self.model, self.method)(x)
        return found


def missing() -> str:
    """What is to be installed before ONNX can be written; empty where all is there."""
    absent = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    return f"ONNX needs {', '.join(absent)}; install the extra: pip install 'lagrange-search[onnx]'." if absent else ""


def write(model: TrainedModel, folder: Path) -> list[Written]:
    """Write `decoder.onnx` or `generator.onnx`, and `encoder.onnx` where there is one. Batches may have any length.

    Raises:
        ObjectiveError: a library is missing, or the model has something that ONNX has not.
    """
    if why := missing():
        raise ObjectiveError(why)
    maker = "decoder" if model.codable else "generator"
    codes = model.draw_codes(max(TRIED))
    found = [_written(model, "decode", codes, folder / f"{maker}.onnx", "codes", "images")]
    if model.codable:
        with torch.no_grad():
            images = model.decode(codes).clamp(0, 1)
        found.append(_written(model, "encode", images, folder / "encoder.onnx", "images", "codes"))
    return found


def _written(model: TrainedModel, method: str, example: Tensor, file: Path, takes: str, gives: str) -> Written:
    try:
        with _quiet():
            program = torch.onnx.export(
                _Half(model, method).eval(),
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                input_names=[takes],
                output_names=[gives],
                verbose=False,
            )
    except Exception as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ObjectiveError(f"{model.model}: {method} cannot be written as ONNX: {line[:300]}. Take --weights instead.") from error
    assert program is not None
    with replaced(file) as beside:
        program.save(str(beside), external_data=False)
    return Written(file, _difference(model, method, example, file))


def _difference(model: TrainedModel, method: str, example: Tensor, file: Path) -> float:
    """The largest difference between what onnxruntime and torch make of batches of other lengths."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (name,) = [one.name for one in session.get_inputs()]
    apart = []
    for n in TRIED:
        with torch.no_grad():
            wanted = getattr(model, method)(example[:n])
        apart.append(float((torch.from_numpy(session.run(None, {name: example[:n].numpy()})[0]) - wanted).abs().max()))
    return max(apart)


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, what exporters say about themselves is not printed."""
    loud = logging.getLogger("onnxscript"), logging.getLogger("onnx_ir"), logging.getLogger("torch.onnx")
    before = [logger.level for logger in loud]
    for logger in loud:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loud, before, strict=True):
            logger.setLevel(level)
