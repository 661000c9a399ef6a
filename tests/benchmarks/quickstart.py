"""The quickstart as a user meets it: `lagrange sweep` in an empty folder, from command to answer."""

from __future__ import annotations

import tempfile
from pathlib import Path

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives.base import Phase
from tests.benchmarks import processes, results
from tests.benchmarks.processes import lagrange
from tests.benchmarks.results import Row


def measure() -> list[Row]:
    """One run, with a fresh MLflow store."""
    with tempfile.TemporaryDirectory() as folder:
        used = processes.run(lagrange("sweep"), folder=Path(folder))
        with Catalogue(Home.open(Path(folder) / "mlflow_runs").catalogue_url, create=False) as catalogue:
            name = catalogue.sweeps()[0].name
            searched, confirmed = (len(catalogue.members(name, phase)) for phase in (Phase.SEARCH, Phase.CONFIRM))
    parts = {"cpu_s": used.cpu_s, "cpu_by_role": used.cpu_by_role}
    return [
        Row("quickstart, command to answer", used.wall_s, "s", 60, parts=parts),
        Row("quickstart, configs searched", searched, "", 24, at_least=True),
        Row("quickstart, members confirmed", confirmed, "", 25, at_least=True),
    ]


if __name__ == "__main__":
    results.main(__doc__, measure)
