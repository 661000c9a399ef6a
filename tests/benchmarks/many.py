"""What a sweep of 5,000 members costs whoever looks at it: CPU time of the commands and of MLflow's pages, and the size of the report.

    python -m tests.benchmarks.many --members 5000
    python -m tests.benchmarks.many --of HOME --sweep large --times 10

A small sweep is run. Then its catalogue gets more searched members, made by a formula: 20 epochs each, 10 metrics an epoch. All of it is
sent to MLflow as a sweep sends it. With `--of` it is a sweep that is there, as `tests.benchmarks.scale --home` leaves one, with each
member of its search so many times; MLflow is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sqlite3
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from infra.catalogue import Catalogue, MemberRow, ReportRow
from infra.storage import Home
from infra.tracking import find, ui_command, ui_environment
from objectives.base import Phase, State
from search.choosing import from_members
from search.choosing.answer import Answer
from search.running.where import IN_PROCESS
from search.spec.reading import read
from search.sweep import run
from search.telling.files import exports
from search.telling.mlflow import mirror
from tests.benchmarks import processes
from tests.chaos.parts import Server, free_port, listens

EPOCHS, METRICS, LIMIT_S = 20, 10, 3.0
SPEC: dict[str, Any] = {"objective": "toy", "search": {"l2": {}, "lr": {}}, "budget": {"trials": 24, "epochs": EPOCHS}}
NAME = "many"


def fill(home: Home, members: int) -> float:
    """A complete sweep with so many members, in the catalogue, in files and in MLflow. Returns the CPU seconds of telling MLflow."""
    assert run(SPEC, name=NAME, home=home, address=IN_PROCESS, tracking=False).answer is not None
    with Catalogue(home.catalogue_url) as catalogue:
        rows = catalogue.members(NAME)
        made = list(_made(rows, members))
        for first in range(0, len(made), 500):
            part = made[first : first + 500]
            catalogue.add_members(NAME, part)
            catalogue.add_reports(NAME, [report for row in part for report in _curve(row)])
        row = catalogue.sweep(NAME)
        spec, answer = read(row.spec), Answer.from_dict(row.answer or {})
        curves: dict[int, dict[int, float]] = {}
        for report in catalogue.reports(NAME):
            curves.setdefault(report.number, {})[report.epoch] = float(report.rung_score or math.nan)
        table = from_members.table(catalogue.members(NAME), curves, [])
        exports.write_reports(NAME, spec, answer, table, catalogue, home, "complete")
        began = time.process_time()
        tracker = mirror.mirrored(NAME, spec, home, catalogue)
        mirror.end(tracker, NAME, "complete", answer)
        left = tracker.close(3600)
        assert not left, left
        return time.process_time() - began


def _made(rows: list[MemberRow], members: int) -> Iterator[MemberRow]:
    """More searched members: most stopped, some complete, some lost."""
    luck, first = random.Random(0), max(row.number for row in rows) + 1
    for number in range(first, first + members - len(rows)):
        value, kind = 10 ** luck.uniform(-3, 1), luck.random()
        state = State.COMPLETE if kind < 0.25 else State.STOPPED if kind < 0.9 else State.COLLAPSED if kind < 0.95 else State.DIVERGED
        score = 0.1 + 0.05 * (math.log10(value) + 1) ** 2 + 0.02 * luck.gauss(0, 1)
        epochs = EPOCHS if state is State.COMPLETE else luck.choice([2, 4, 8])
        yield MemberRow(
            number=number,
            phase=Phase.SEARCH,
            arm="search" if number % 6 else "off",
            config={"l2": value if number % 6 else 0.0, "lr": 10 ** luck.uniform(-4, 0)},
            seed=7,
            state=state,
            reason="" if state is State.COMPLETE else f"made as {state}",
            score=score if state is State.COMPLETE else None,
            rung_score=score,
            epochs=epochs,
            seconds=0.1,
            metrics={f"metric_{index}": score + index for index in range(METRICS)},
        )


def _curve(row: MemberRow) -> list[ReportRow]:
    last = row.rung_score or 0.0
    return [
        ReportRow(row.number, epoch, last + 1 / epoch, {f"metric_{index}": last + index + 1 / epoch for index in range(METRICS)})
        for epoch in range(1, row.epochs + 1)
    ]


def multiplied(source: Path, target: Path, times: int) -> int:
    """Copy a home's SQLite catalogue, with the search's members and their reports so many times. Returns how many members there are."""
    with closing(sqlite3.connect(source / "lagrange.db")) as found, closing(sqlite3.connect(target / "lagrange.db")) as made:
        found.backup(made)
        searched, step = made.execute("select * from members where phase = 'search'").fetchall(), 0
        numbers = {row[1] for row in searched}
        reports = [row for row in made.execute("select * from reports").fetchall() if row[1] in numbers]
        last = made.execute("select max(number) from members").fetchone()[0]
        for _ in range(times - 1):
            step += last + 1
            for table, rows in (("members", searched), ("reports", reports)):
                made.executemany(
                    f"insert into {table} values ({', '.join('?' * len(rows[0]))})", ((row[0], row[1] + step, *row[2:]) for row in rows)
                )
        made.commit()
        return int(made.execute("select count(*) from members").fetchone()[0])


def looked(home: Home, name: str = NAME) -> dict[str, dict[str, float]]:
    """CPU seconds and memory of each command that looks at the sweep, beside those of `lagrange --version`."""
    at = ["--home", str(home.root)]
    commands = {
        "version": ["--version"],
        "ls": ["ls", *at],
        "show": ["show", name, *at],
        "best": ["best", *at],
        "export": ["export", name, *at],
        "report": ["report", name, *at],
    }
    used = {word: processes.run(processes.lagrange(*words), folder=home.root, memory=True) for word, words in commands.items()}
    return {word: {"cpu_s": round(one.cpu_s, 2), "mb": round(max(one.uss_mb.values(), default=0.0))} for word, one in used.items()}


def pages(home: Home, name: str) -> dict[str, dict[str, float]]:
    """CPU seconds of MLflow's server for what each page asks, and asks again: the experiments, the runs by score, the sweep's run."""
    place, port = find(home, name), free_port()
    server = Server("mlflow", ui_command(home, port), {**os.environ, **ui_environment(home)}, home.root, lambda: listens(port))
    asked: dict[str, tuple[str, dict[str, Any] | None]] = {
        "experiments": ("experiments/search", {"max_results": 25}),
        "runs": ("runs/search", {"experiment_ids": [place.experiment], "order_by": ["metrics.`score` ASC"], "max_results": 100}),
        "the sweep's run": (f"runs/get?run_id={place.run}", None),
    }
    try:
        server.start()
        assert server.process is not None
        return {page: {word: _asked(server.process.pid, port, *one) for word in ("cpu_s", "again_cpu_s")} for page, one in asked.items()}
    finally:
        server.kill()


def _asked(pid: int, port: int, path: str, body: dict[str, Any] | None) -> float:
    """CPU seconds of a server and its processes while it answers one request of its page."""

    def spent() -> float:
        whole = psutil.Process(pid)
        return sum(sum(one.cpu_times()[:2]) for one in [whole, *whole.children(recursive=True)])

    before = spent()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert answer.status == 200 and answer.read()
    return round(spent() - before, 2)


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=5000)
    parser.add_argument("--of", type=Path, help="a home with a sweep that is looked at, instead of one that is made")
    parser.add_argument("--sweep", default=NAME, help="the name of that sweep")
    parser.add_argument("--times", type=int, default=1, help="how often each member of its search is there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home.open(Path(folder) / "home")
        name, found = given.sweep if given.of else NAME, dict[str, Any]()
        if given.of:
            home.root.mkdir(parents=True, exist_ok=True)
            found["members"] = multiplied(given.of, home.root, given.times)
        else:
            found |= {"members": given.members, "telling MLflow": {"cpu_s": round(fill(home, given.members), 1)}}
            found["MLflow's pages"] = pages(home, name)
        found |= looked(home, name)
        found["report"]["megabytes"] = round((home.reports(name) / "report.html").stat().st_size / 1e6, 2)
        found["stored"] = {file.name: round(file.stat().st_size / 1e6, 1) for file in home.root.glob("*.db")}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
