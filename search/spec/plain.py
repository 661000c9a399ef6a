"""A spec as it is stored."""

from __future__ import annotations

from typing import Any

from infra.storage import strip_passwords
from search.spec.keys import Spec


def plain_spec(spec: Spec) -> dict[str, Any]:
    """The spec as it is stored: plain data, without passwords."""
    found: dict[str, Any] = strip_passwords(spec.model_dump(mode="json", exclude_none=True))
    return found
