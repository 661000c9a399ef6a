"""Is the device there? Only the process that trains can tell: the machine of the driver may have another one, or another torch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from objectives.base import ObjectiveError
from objectives.lazy import torch

DEVICES: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": lambda: torch.cuda.is_available(),
    "mps": lambda: torch.backends.mps.is_available(),
    "xpu": lambda: torch.xpu.is_available(),
}
ACCELERATOR = "accelerator"
ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"  # torch's settings of its memory on a GPU, for processes that start after it was set
_FRACTION = re.compile(r"per_process_memory_fraction:[^,]*,?")
_DRIVER = Path("/proc/driver/nvidia/version")


def device_of(wanted: str) -> str:
    """The device that a name in the settings means in this process.

    Raises:
        ObjectiveError: torch does not find the device here.
    """
    if wanted == "cpu":
        return wanted
    found = [name for name, there in DEVICES.items() if there()]
    if wanted == ACCELERATOR and torch.accelerator.is_available():
        return torch.accelerator.current_accelerator().type  # type: ignore[union-attr]
    kind = wanted.partition(":")[0]
    if kind in found:
        return wanted
    raise ObjectiveError(
        f"device must be one that torch finds here, {', '.join(found)}; got {wanted!r}. "
        "Set resources.device to one of them (and resources.gpu to 0 for cpu), or install a torch that is built for the device."
    )


def occupied(wanted: str, gpus: float) -> dict[str, str | int]:
    """Let this process take no more than its part of a GPU, and say for the record what it trains on: empty where torch finds no GPU.

    `gpus` is how many it was given, or which part of one. Without a limit several members on one GPU would take each other's memory. With
    it, the one that asks for too much fails by itself. It holds for torch in this process and in those that it starts, and does not count
    what CUDA itself takes in each (some hundred MB).
    """
    if not wanted.startswith(("cuda", ACCELERATOR)) or not torch.cuda.is_available():
        return {}
    part = gpus if 0 < gpus < 1 else 1.0
    if part < 1:
        others = _FRACTION.sub("", os.environ.get(ALLOCATOR, "")).strip(",")
        os.environ[ALLOCATOR] = ",".join(filter(None, [others, f"per_process_memory_fraction:{part:g}"]))
        for number in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(part, number)
    seen = torch.cuda.get_device_properties(0)
    found: dict[str, str | int] = {
        "gpu": seen.name,
        "gpus": torch.cuda.device_count(),
        "gpu_memory_gb": round(seen.total_memory / 2**30),
        "gpu_part": f"{part:g}",
        "cuda": str(torch.version.cuda or torch.version.hip),
    }
    driver = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", _DRIVER.read_text()) if _DRIVER.exists() else None
    return found | ({"gpu_driver": driver[1]} if driver else {})
