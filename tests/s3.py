"""A local server that speaks S3: moto's, in a thread of the test's process. Everything of it is gone when the test ends."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

BUCKET = "lagrange"
SECRET = "s3cr3t-of-the-test"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def served(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with one bucket, and an environment that leads to it. Gives the server's address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        for name, value in {"AWS_ENDPOINT_URL": address, **_CREDENTIALS}.items():
            patch.setenv(name, value)
        forget()
        urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST")).close()  # of an earlier test's server
        store().mkdir(BUCKET)
        yield address
    finally:
        server.stop()
        forget()


@contextmanager
def silent(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that takes each connection and all that is sent, and never says a word; and an environment that leads to it."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with suppress(OSError):  # it was closed
                while True:
                    taken.append(server.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name, value in {"AWS_ENDPOINT_URL": address, **_CREDENTIALS}.items():
            patch.setenv(name, value)
        forget()
        yield address
    for one in taken:
        one.close()
    forget()


def store() -> Any:
    """fsspec's view of the server that the environment names now."""
    import fsspec

    return fsspec.filesystem("s3")


def forget() -> None:
    """fsspec keeps its connections; those to an earlier server are of no use."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
