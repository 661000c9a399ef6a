"""Wait until a Ray has so many nodes: `python nodes.py HOST:PORT COUNT SECONDS`. Exit code 0: they are there."""

from __future__ import annotations

import logging
import socket
import sys
import time

PAUSE_SECONDS = 1.0


def main(address: str, count: int, seconds: float) -> int:
    """Wait, and say how many came."""
    deadline = time.monotonic() + seconds
    while not _joined(address):
        if time.monotonic() > deadline:
            print(f"the head node at {address} does not answer after {seconds:g} s", file=sys.stderr)
            return 1
        time.sleep(PAUSE_SECONDS)
    import ray

    try:
        alive = 0
        while time.monotonic() < deadline:
            alive = sum(node["Alive"] for node in ray.nodes())
            if alive >= count:
                return 0
            time.sleep(PAUSE_SECONDS)
        print(f"{alive} of {count} nodes are there after {seconds:g} s", file=sys.stderr)
        return 1
    finally:
        ray.shutdown()


def _joined(address: str) -> bool:
    """Whether this process is a driver of the Ray now. A head that listens may still refuse for some seconds."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2):  # Ray itself would wait for minutes
            pass
        import ray

        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError):  # ConnectionError is an OSError
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
