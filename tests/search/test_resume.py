"""Kill anything, at any time: nothing is lost, nothing is counted twice, and the sweep makes the decisions it would have made."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue
from infra.errors import InfraError
from infra.storage import Home
from search.sweep import resume
from tests.search.killed_driver import POINTS


def drive(home: Path, point: str = "none", count: int = 1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.search.killed_driver", str(home), "s", point, str(count)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def members(home: Path) -> tuple[list[Any], dict[str, Any] | None]:
    """Everything about members but clock times, and the answer without them."""
    with Catalogue(Home.open(home).catalogue_url) as catalogue:
        rows, answer = catalogue.members("s"), catalogue.sweep("s").answer
        curves = [(report.number, report.epoch, report.rung_score) for report in catalogue.reports("s")]
    found = [(row.number, row.phase, row.arm, row.config, row.seed, row.state, row.reason, row.score, row.epochs) for row in rows]
    return [*found, *curves], answer and {key: value for key, value in answer.items() if key != "spent"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], dict[str, Any] | None]:
    home = tmp_path_factory.mktemp("undisturbed")
    done = drive(home)
    assert done.stdout.startswith("complete"), done.stdout + done.stderr
    return members(home)


# The count says which call of the point is the last: seeded, so that deaths fall early, in the middle and late.
@pytest.mark.slow
@pytest.mark.parametrize(("point", "count"), list(zip(POINTS, (5, 4, 6, 3, 1, 2, 1, 1), strict=True)))
def test_a_driver_killed_at_any_point_resumes_to_the_same_members_and_answer(
    tmp_path: Path, undisturbed: tuple[list[Any], dict[str, Any] | None], point: str, count: int
) -> None:
    died = drive(tmp_path, point, count)
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    done = drive(tmp_path)
    assert done.stdout.startswith("complete"), done.stdout + done.stderr
    rows, answer = members(tmp_path)
    assert rows == undisturbed[0]
    assert answer == undisturbed[1]


def test_a_sweep_whose_driver_is_alive_is_not_resumed_twice_and_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    script = (
        "from search.sweep import run; from infra.storage import Home; import sys;"
        "spec = {'objective': 'toy', 'dataset': {'name': 'none', 'seconds_per_epoch': 0.5}, 'budget': {'trials': 50, 'epochs': 50}};"
        "print(run(spec, name='s', home=Home.open(sys.argv[1]), workers=1, tracking=False).status)"
    )
    driver = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        home = Home.open(tmp_path)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.3)
            if (tmp_path / "lagrange.db").exists():
                with Catalogue(home.catalogue_url) as catalogue:
                    if catalogue.has_sweep("s") and catalogue.locked_by("s") and catalogue.reports("s"):
                        break
        with pytest.raises(InfraError, match="one driver at a time"):
            resume("s", home=home, tracking=False)
        driver.send_signal(signal.SIGINT)
        out, _ = driver.communicate(timeout=60)
    finally:
        driver.kill()
    assert out.strip() == "interrupted"
    with Catalogue(home.catalogue_url) as catalogue:
        assert catalogue.sweep("s").status == "interrupted"
        assert catalogue.locked_by("s") is None


@pytest.mark.slow
def test_two_sweeps_in_one_folder_work_at_the_same_time(tmp_path: Path) -> None:
    """Two drivers, two Rays, one catalogue, one MLflow store and one Optuna database, all made by whoever comes first."""
    script = (
        "from search.sweep import run; from infra.storage import Home; import sys;"
        "spec = {'objective': 'toy', 'budget': {'trials': 8, 'epochs': 5}, 'confirm': {'configs': 3, 'seeds': 2}};"
        "outcome = run(spec, name=sys.argv[2], home=Home.open(sys.argv[1]), workers=1); print(outcome.status, outcome.notes)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    drivers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    said = [driver.communicate(timeout=240)[0].strip() for driver in drivers]
    assert said == ["complete ()", "complete ()"]
    with Catalogue(Home.open(tmp_path).catalogue_url) as catalogue:
        assert {row.name for row in catalogue.sweeps()} == {"one", "two"}
        assert {row.state for name in ("one", "two") for row in catalogue.members(name)} <= {"complete", "stopped"}
