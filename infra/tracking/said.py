"""What an error of a call to MLflow tells, as text."""

from __future__ import annotations

import re
from textwrap import shorten

from infra.storage import strip_password


def first_line(error: BaseException) -> str:
    """An error in one line, without passwords."""
    lines = strip_password(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {shorten(lines[0], 300, placeholder=' …')}" if lines else type(error).__name__


def status(text: str) -> str:
    """The HTTP status that an error of a call tells of; empty where it tells of none."""
    found = re.search(r"\berror code (\d{3})|\b(\d{3}) (?:Client|Server) Error|(\d{3}) error responses", text)
    return str(found[1] or found[2] or found[3]) if found else ""
