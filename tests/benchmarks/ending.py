"""What the end of a sweep costs its driver: the answer, its files and Optuna's projection, made again for a sweep that is kept.

    python -m tests.benchmarks.ending --of HOME --sweep large --times 10

HOME is as `tests.benchmarks.scale --home` leaves one. Its catalogue is copied, with each member of the search so many times, and is told
that the sweep still runs. `search.resume` is what goes on. CPU counts from the moment at which the books are open, as they are when the
last member of a sweep ends, to the return of `resume`. No MLflow.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from infra.catalogue import Catalogue
from infra.storage import Home
from search.choosing.answer import Answer
from search.running.where import Where
from search.sweep import resume
from tests.benchmarks.cluster_of import Simulation
from tests.benchmarks.many import multiplied
from tests.benchmarks.scale import NAME, _profiled, peak_mb, simulated
from tests.study.worlds import WORLDS


def ended_again(home: Home, name: str, gpus: int) -> tuple[Answer | None, dict[str, Any]]:
    """The end of a sweep of this home once more, and what it cost."""
    with closing(sqlite3.connect(home.root / "lagrange.db")) as plain, plain:
        plain.execute("update sweeps set status = 'running', answer = null where name = ?", (name,))
    marks: dict[str, tuple[float, float]] = {}
    with simulated(Simulation(WORLDS["digits"], gpus)):
        carry_out = Where.carry_out

        def begun(self: Where, plan: Any, dispatch: Any, interrupted: Callable[[], bool]) -> bool:
            marks["open"] = time.process_time(), time.monotonic()
            done = carry_out(self, plan, dispatch, interrupted)
            marks["answer"] = time.process_time(), time.monotonic()
            return done

        with patch.object(Where, "carry_out", begun):
            began = time.process_time()
            outcome = resume(name, home=home, tracking=False)
    cpu, wall = time.process_time(), time.monotonic()
    with Catalogue(home.catalogue_url) as books:
        members = len(books.members(name))
    return outcome.answer, {
        "members": members,
        "opened_cpu_s": round(marks["open"][0] - began, 1),
        "answer_cpu_s": round(marks["answer"][0] - marks["open"][0], 1),
        "rest_cpu_s": round(cpu - marks["answer"][0], 1),
        "end_cpu_s": round(cpu - marks["open"][0], 1),
        "end_s": round(wall - marks["open"][1], 1),
        "peak_mb": peak_mb(),
        "answer": "" if outcome.answer is None else outcome.answer.sentence(),
        "problem": outcome.problem,
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--of", type=Path, required=True, help="a home with the sweep, in SQLite")
    parser.add_argument("--sweep", default=NAME)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--gpus", type=int, default=1000)
    parser.add_argument("--profile", type=Path, help="write what cProfile sees here")
    parser.add_argument("--answer", type=Path, help="write the answer here, to be compared")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        multiplied(given.of, Path(folder), given.times)
        with _profiled(given.profile) if given.profile else nullcontext():
            answer, found = ended_again(Home.open(folder), given.sweep, given.gpus)
        if given.answer and answer is not None:
            given.answer.write_text(json.dumps(answer.to_dict(), indent=1))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
