"""Ray that does not start is the user's to know of, in words."""

from __future__ import annotations

from typing import Any

import pytest

from infra import cluster
from infra.errors import InfraError


def test_a_ray_that_does_not_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def late(**_: Any) -> None:
        raise Exception("The current node timed out during startup.\nA page of hints")

    monkeypatch.setattr(ray, "init", late)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with (
        pytest.raises(InfraError, match=r"did not: The current node timed out during startup\. If the machine is very busy") as found,
        cluster.connect(),
    ):
        pass
    assert "page of hints" not in str(found.value)
