"""What a training occupies: the spec's `resources`, and what is wrong with them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.ray.nodes import OWN_LABEL, Need

_RAYS_OWN = ("cpu", "gpu", "memory", "object_store_memory")
LEAST, MOST = 0.0001, 1e9  # Ray counts in these, as 64 bits
LONGEST = 1e7  # minutes; a clock of the system counts no further than 300 years
_WORD = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"  # as Ray wants it of names and values
_LABEL_NAME = re.compile(rf"(?:[a-zA-Z0-9.-]{{1,253}}/)?{_WORD}")
_SELECTOR = re.compile(rf"!?(?:in\({_WORD}(?:, ?{_WORD})*\)|{_WORD})")


class Resources(BaseModel):
    """What a training occupies on one node, and where. `device: auto`: the accelerator that torch finds if GPUs are asked for, or the CPU.

    `memory_gb` is reserved on the node, in units of 2³⁰ bytes (`limits.memory_gb` ends who takes more). `custom` are resources by the names
    that nodes were started with, `labels` what the labels of a node must be. `placement`: fill one node after another, or spread over all;
    None: as Ray does it. `wait_minutes`: how long a sweep waits for a node that has room for a member.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cpu: float = Field(default=1, gt=0, le=MOST)
    gpu: float = Field(default=0, ge=0, le=MOST)
    memory_gb: float | None = Field(default=None, gt=0, le=MOST)
    custom: dict[str, Annotated[float, Field(gt=0, le=MOST)]] | None = None
    labels: dict[str, str] | None = None
    placement: Literal["pack", "spread"] | None = None
    wait_minutes: float | None = Field(default=None, ge=0, le=LONGEST)
    device: Literal["auto", "cpu", "cuda", "mps", "xpu"] = "auto"

    @property
    def need(self) -> Need:
        """What one worker occupies."""
        return Need(self.cpu, self.gpu, self.memory_gb, self.custom or {}, self.labels or {})


def resource_faults(resources: Resources, remote: bool) -> list[str]:
    """What is wrong with them, whatever the cluster has. Whether a node meets them is found out when the nodes are seen."""
    asked = {"cpu": resources.cpu, "gpu": resources.gpu, **{f"custom.{name}": one for name, one in (resources.custom or {}).items()}}
    faults = [
        f"resources.{name} must be at least {LEAST:g}, the smallest part that Ray knows; got {one:g}. Raise it."
        for name, one in asked.items()
        if 0 < one < LEAST
    ]
    if resources.gpu > 1 and resources.gpu != int(resources.gpu):
        faults.append(f"resources.gpu must be a fraction up to 1 or a whole number; got {resources.gpu:g}. Round it.")
    if resources.gpu > 0 and not remote and not has_gpu():
        faults.append(
            f"resources.gpu must be 0 on a machine without a GPU; got {resources.gpu:g}. Set it to 0, or give --address of a cluster. "
            "(A Mac's GPU is not counted: set resources.device to mps.)"
        )
    if resources.gpu > 0 and resources.device == "cpu":
        faults.append(f"resources.gpu must be 0 where resources.device is cpu; got {resources.gpu:g}. Set it to 0, or leave device out.")
    cores = os.cpu_count() or 1
    if resources.cpu > cores and not remote:
        faults.append(f"resources.cpu must be at most this machine's {cores} cores; got {resources.cpu:g}. Lower it, or give --address.")
    for name in resources.custom or {}:
        if not name.strip() or name.casefold() in _RAYS_OWN or name.startswith("node:"):
            faults.append(
                f"resources.custom must name resources that nodes were started with (`ray start --resources`); got {name!r}. "
                "Processors, GPUs and memory are resources.cpu, resources.gpu and resources.memory_gb."
            )
    for name, wanted in (resources.labels or {}).items():
        if name == OWN_LABEL or not _LABEL_NAME.fullmatch(name) or not _SELECTOR.fullmatch(wanted):
            faults.append(
                f"resources.labels must be labels of nodes (`ray start --labels`), each as value, !value, in(a,b) or !in(a,b); "
                f"got {name}: {wanted!r}. A name or value has letters, digits, and . _ - between them."
            )
    return faults


def has_gpu() -> bool:
    """True where this machine has an accelerator. It asks the system, because importing torch takes seconds."""
    if any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists():
        return True
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=10, check=False).stdout.startswith(b"GPU")
    except (OSError, subprocess.TimeoutExpired):
        return False
