#!/usr/bin/env python3
"""Whether what runs in this container is well: `lagrange-healthy node`, `head` or `mlflow`. Exit code 0 is well.

It needs nothing but Python: this image has no wget, which KubeRay's own probes call for an older Ray. For a newer one they do not ask the
head's dashboard, which takes jobs. None of the addresses asks for a token or password.
"""

from __future__ import annotations

import sys
import urllib.request

ADDRESSES = {
    "node": "http://127.0.0.1:52365/api/local_raylet_healthz",  # the agent of every node
    "head": "http://127.0.0.1:8265/api/gcs_healthz",  # the dashboard of the head
    "mlflow": "http://127.0.0.1:5000/health",
}
SECONDS = 4.0


def main(what: str) -> int:
    """Ask, and say what is wrong."""
    if what not in ADDRESSES:
        print(f"what is asked for must be one of {', '.join(ADDRESSES)}; got {what!r}", file=sys.stderr)
        return 2
    # What stands in http_proxy is not meant for this container itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(ADDRESSES[what], timeout=SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(f"{ADDRESSES[what]} does not answer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "node"))
