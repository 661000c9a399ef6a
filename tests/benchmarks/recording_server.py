"""A server that speaks MLflow's REST API as far as a sweep uses it, and only counts what it is told.

    python -m tests.benchmarks.recording_server FOLDER

It prints its address. `GET /told` answers with the counts: calls by name, bytes, runs, points, and how many points came twice.
"""

from __future__ import annotations

import json
import socketserver
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse


class Told:
    """What the server was told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls, self.bytes = folder, Counter[str](), 0
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.points, self.twice = 0, 0

    def summary(self) -> dict[str, Any]:
        """The counts."""
        members = [run["member"] for run in self.runs.values() if run["member"] is not None]
        ended = sum(run["info"]["status"] != "RUNNING" for run in self.runs.values() if run["member"] is not None)
        doubled = len(members) - len(set(members))
        return {
            "calls": dict(self.calls),
            "bytes": self.bytes,
            "runs": len(self.runs),
            "members": len(set(members)),
            "members_ended": ended,
            "members_doubled": doubled,
            "points": self.points,
            "points_twice": self.twice,
        }

    def answer(self, name: str, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What MLflow would say to a call."""
        self.calls[name] += 1
        if name == "experiments/get-by-name":
            found = self.experiments.get(said["experiment_name"])
            missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}
            return (200, {"experiment": self._experiment(said["experiment_name"])}) if found else (404, missing)
        if name == "experiments/create":
            self.experiments[said["name"]] = str(len(self.experiments) + 1)
            return 200, {"experiment_id": self.experiments[said["name"]]}
        if name == "experiments/get":
            named = next(name for name, number in self.experiments.items() if number == said["experiment_id"])
            return 200, {"experiment": self._experiment(named)}
        if name == "experiments/search":
            return 200, {"experiments": [self._experiment(one) for one in self.experiments]}
        if name == "runs/search":
            return 200, {"runs": []}
        if name == "runs/create":
            return 200, {"run": self._run(self._begun(said))}
        run = self.runs.get(said.get("run_id") or said.get("run_uuid") or "")
        if name == "runs/get" and run:
            return 200, {"run": self._run(run)}
        if name == "runs/log-batch" and run:
            for metric in said.get("metrics", ()):
                key = hash((metric["key"], metric.get("step", 0)))
                self.twice += key in run["points"]
                run["points"].add(key)
                self.points += 1
        if name == "runs/update" and run:
            run["info"] |= {key: said[key] for key in ("status", "end_time", "run_name") if key in said}
            return 200, {"run_info": run["info"]}
        return 200, {}

    def _begun(self, said: dict[str, Any]) -> dict[str, Any]:
        number = f"{len(self.runs):032x}"
        tags = {tag["key"]: tag["value"] for tag in said.get("tags", ())}
        info = {
            "run_id": number,
            "run_uuid": number,
            "experiment_id": said["experiment_id"],
            "run_name": said.get("run_name", ""),
            "status": "RUNNING",
            "start_time": said.get("start_time", int(time.time() * 1000)),
            "artifact_uri": (self.folder / number).as_uri(),
            "lifecycle_stage": "active",
        }
        self.runs[number] = {"info": info, "member": tags.get("lagrange.member"), "points": set()}
        return self.runs[number]

    @staticmethod
    def _run(run: dict[str, Any]) -> dict[str, Any]:
        return {"info": run["info"], "data": {}}

    def _experiment(self, name: str) -> dict[str, Any]:
        where = (self.folder / "experiment").as_uri()
        return {"experiment_id": self.experiments[name], "name": name, "artifact_location": where, "lifecycle_stage": "active"}


def serve(folder: Path) -> None:
    """Answer until the process is ended."""
    told = Told(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a small answer would wait 40 ms for its second packet
        wbufsize = 1 << 16

        def do_GET(self) -> None:
            url = urlparse(self.path)
            said = {key: values[0] for key, values in parse_qs(url.query).items()}
            self._answer(url.path, said)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.bytes += len(body)
            self._answer(urlparse(self.path).path, json.loads(body or b"{}"))

        do_PATCH = do_POST

        def _answer(self, path: str, said: dict[str, Any]) -> None:
            code, plain = (200, told.summary()) if path == "/told" else told.answer(path.partition("/mlflow/")[2], said)
            body = json.dumps(plain).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        def server_bind(self) -> None:
            socketserver.TCPServer.server_bind(self)  # without a look-up of the host's name
            self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
