"""Mapped gradients do not load torch's compiler, and nobody who wants it misses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEFORE = """
import sys
import torch
from objectives.training import population
population.rehearse()
assert "torch._dynamo" not in sys.modules, "a mapped gradient has loaded the compiler"
slopes = torch.func.vmap(torch.func.grad(lambda x: (x**3).sum()))(torch.arange(6.0).view(2, 3))
assert torch.equal(slopes, 3 * torch.arange(6.0).view(2, 3) ** 2)
stand_in = torch._dynamo
"""
WHOLE = "assert torch._dynamo.config.cache_size_limit > 0 and torch._dynamo is not stand_in"
IMPORTED = "import torch._dynamo\nassert torch._dynamo is sys.modules['torch._dynamo']"
AUTOGRAD = "assert torch._dynamo.compiled_autograd.compiled_autograd_enabled is False"
AFTER = """
assert "torch._dynamo" in sys.modules
with stand_in.compiled_autograd._disable():
    assert torch._dynamo.compiled_autograd.active_disable_ctx
population.rehearse()
"""


def test_mapping_leaves_the_compiler_unloaded() -> None:
    subprocess.run([sys.executable, "-c", BEFORE], check=True)


@pytest.mark.slow
@pytest.mark.sampled(3)  # four CPU seconds each
@pytest.mark.parametrize("asked", [WHOLE, IMPORTED, AUTOGRAD], ids=["whole", "imported", "autograd"])
def test_whoever_asks_the_stand_in_gets_the_compiler(asked: str) -> None:
    subprocess.run([sys.executable, "-c", BEFORE + asked + AFTER], check=True)
