"""Plain data (numbers, strings, lists, dictionaries) as JSON text, and the hash of a config."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def encode(value: Any) -> str:
    """Plain data as standard JSON: NaN and ±inf become {"$float": "nan"}. Tuples come back as lists; numbers of numpy as Python's.

    Raises TypeError for what is no plain data.
    """
    try:
        text = json.dumps(value, allow_nan=False, default=_number, ensure_ascii=False, separators=(",", ":"))
        if '"$' in text:
            text = json.dumps(_escape(value), default=_number, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_escape(value), allow_nan=False, default=_number, ensure_ascii=False, separators=(",", ":"))
    return text


def decode(text: str) -> Any:
    """The inverse of `encode`."""
    return _unescape(json.loads(text)) if '"$' in text else json.loads(text)


def config_hash(config: Mapping[str, Any], schedule: Mapping[str, Any] | None = None) -> str:
    """First 12 hex digits of the SHA-256 of the config's JSON with sorted keys. 1 and 1.0 are one value, True is another.

    `schedule` holds the knobs that move in training, if there are any; then it belongs to what is hashed.
    """

    def plain(value: Any) -> Any:
        return float(value) + 0.0 if isinstance(value, int | float) and not isinstance(value, bool) else value

    moving = {"schedule": schedule} if schedule else {}
    text = json.dumps(_escape({key: plain(config[key]) for key in config} | moving), sort_keys=True, default=_number, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _number(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy, without importing it
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"The catalogue stores plain data (numbers, strings, lists, dicts); got {type(value).__name__}: {value!r}.")


def _escape(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(float(value))}
    if isinstance(value, Mapping):
        return {f"${key}" if str(key).startswith("$") else key: _escape(item) for key, item in value.items()}
    return [_escape(item) for item in value] if isinstance(value, list | tuple) else value


def _unescape(value: Any) -> Any:
    if isinstance(value, list):
        return [_unescape(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$float"}:
        return float(value["$float"])
    return {key.removeprefix("$"): _unescape(item) for key, item in value.items()}
