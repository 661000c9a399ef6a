"""Is the device there? Only the process that trains can tell: the machine of the driver may have another one, or another torch."""

from __future__ import annotations

from collections.abc import Callable

from objectives.base import ObjectiveError
from objectives.lazy import torch

DEVICES: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": lambda: torch.cuda.is_available(),
    "mps": lambda: torch.backends.mps.is_available(),
    "xpu": lambda: torch.xpu.is_available(),
}
ACCELERATOR = "accelerator"


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
