"""Proof that all nodes of a cluster see one storage. A folder that one node does not share would lose what is trained there.

The driver writes a token (`begin`). On each node a worker reads it and writes a word of its own (`answer`). The driver reads these words
(`missing`), and removes all of it (`end`). It works alike for folders and URLs.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from infra.errors import StorageError
from infra.storage.depot import Depot, said

FOLDER = ".shared"
LATE_S = 5.0  # a network file system may show a new file to others a moment later
AGAIN_S = 0.2


def begin(depot: Depot) -> str:
    """Write a new token under the storage, and return it. Raises OSError or StorageError where the storage cannot be written."""
    token = secrets.token_hex(16)
    depot.write(_file(depot, token, "driver"), token)
    return token


def answer(depot: Depot, token: str, node: str, late_s: float = LATE_S) -> str:
    """On a node: read the driver's token and answer with a file of this node. Returns why it cannot be done; empty where it is done.

    Where the token is not there, nothing is written, so that no folder is left on a disk of this node's own.
    """
    try:
        found = _awaited(lambda: depot.read(_file(depot, token, "driver")), late_s)
        if found != token:
            return f"{socket.gethostname()} does not see there what the driver has written"
        depot.write(_file(depot, token, node), _word(token, node))
    except (OSError, StorageError) as error:
        return f"{socket.gethostname()} cannot write there: {said(error)}"
    return ""


def missing(depot: Depot, token: str, answers: Mapping[str, str], late_s: float = LATE_S) -> list[str]:
    """Of the nodes that were asked, with what `answer` returned there: a sentence for each that does not share the storage."""
    found = []
    for node, why in answers.items():
        if not why and _awaited(lambda node=node: depot.read(_file(depot, token, node)), late_s) != _word(token, node):  # type: ignore[misc]
            why = "the driver does not see what it has written there"
        if why:
            place = depot.url or depot.here
            found.append(f"All nodes must share the storage {place}; node {node} does not: {why.rstrip('.')}. {_remedy(depot)}")
    return found


def end(depot: Depot, token: str) -> None:
    """Remove what `begin` and `answer` have written."""
    depot.remove_folder(depot.here / FOLDER / token)
    with suppress(OSError):  # another sweep is at its proof
        (depot.here / FOLDER).rmdir()


def _file(depot: Depot, token: str, node: str) -> Path:
    return depot.here / FOLDER / token / hashlib.sha256(node.encode()).hexdigest()[:16]


def _word(token: str, node: str) -> str:
    return f"{token} {node}"


def _awaited(read: Callable[[], str], late_s: float) -> str:
    """What `read` finds within `late_s`; empty where there is no such file."""
    deadline = time.monotonic() + late_s
    while True:
        try:
            return read()
        except FileNotFoundError:
            if time.monotonic() >= deadline:
                return ""
        time.sleep(AGAIN_S)


def _remedy(depot: Depot) -> str:
    if depot.url.startswith("memory:"):
        return "What memory:// holds is seen by its own process only. Name a bucket or a shared folder: --storage."
    return "Name a folder that all nodes mount, or a bucket (s3://BUCKET/FOLDER): --storage, or LAGRANGE_STORAGE."
