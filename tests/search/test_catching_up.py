"""What a tracking server missed of a sweep arrives later, once; sweeps without a name begin at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue
from infra.storage import Home
from search.kept import begin
from search.spec.reading import read
from search.sweep import resume, run

pytestmark = pytest.mark.turns(2)
SPEC: dict[str, Any] = {
    "objective": "toy",
    "dataset": {"name": "none"},
    "scheduler": "none",
    "budget": {"trials": 4, "epochs": 2},
    "confirm": {"configs": 2, "seeds": 2},
}


def test_resume_of_a_complete_sweep_sends_what_mlflow_missed_and_sends_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.tracking.GIVE_UP_S", 0.1)
    monkeypatch.setattr("infra.tracking.BACKOFF_S", (0.05,))
    away = Home.open(tmp_path, tracking_uri="http://127.0.0.1:9")
    outcome = run(SPEC, name="s", home=away, address="in-process")
    assert outcome.status == "complete" and any("has not taken" in note for note in outcome.notes), outcome.notes
    again = resume("s", home=away, address="in-process")
    assert "MLflow has taken 0 of" in again.notes[0] and "has not taken" in again.notes[1], again.notes
    back = Home.open(tmp_path)
    (note,) = resume("s", home=back, address="in-process").notes
    assert "records that it had missed" in note and not note.startswith("this sweep was complete; MLflow has taken 0"), note
    assert not back.spool.exists()
    assert resume("s", home=back).notes == ("this sweep was complete: nothing was left to do",)
    from mlflow import MlflowClient

    client = MlflowClient(back.tracking_uri)
    (experiment,) = [one for one in client.search_experiments() if one.name.startswith("lagrange/")]
    runs = client.search_runs([experiment.experiment_id])
    members = {run.data.tags["lagrange.member"]: run for run in runs if "lagrange.member" in run.data.tags}
    with Catalogue(back.catalogue_url) as catalogue:
        rows = catalogue.members("s")
    assert len(runs) == len(rows) + 1 == len(members) + 1
    for row in rows:
        history = client.get_metric_history(members[str(row.number)].info.run_id, "val_risk")
        assert [point.step for point in history] == list(range(1, row.epochs + 1))


def test_resume_of_a_complete_sweep_mends_what_mlflow_shows_of_a_member(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    assert run(SPEC, name="s", home=home, address="in-process").status == "complete"
    from mlflow import MlflowClient

    client, mine = MlflowClient(home.tracking_uri), "tags.`lagrange.member` = '1'"
    experiments = [one.experiment_id for one in client.search_experiments()]
    (before,) = client.search_runs(experiments, mine)
    client.set_tag(before.info.run_id, "state", "running")
    (note,) = resume("s", home=home, address="in-process").notes
    assert note == "this sweep was complete; MLflow was told again how 1 members ended, which it showed otherwise"
    assert client.search_runs(experiments, mine)[0].data.tags == before.data.tags
    assert resume("s", home=home).notes == ("this sweep was complete: nothing was left to do",)


def test_sweeps_without_a_name_that_begin_at_once_get_the_next_numbers(tmp_path: Path) -> None:
    spec, home = read(SPEC), Home.open(tmp_path)

    def one(_: int) -> str:
        with Catalogue(home.catalogue_url) as catalogue:
            return begin(catalogue, spec, None, home, lambda text: None)

    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(one, range(6)))
    assert sorted(names) == [f"toy-none-{number}" for number in range(1, 7)]
