"""Kill anything, at any time: nothing is lost, nothing is counted twice, and the sweep makes the decisions it would have made."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue, MemberRow
from infra.errors import InfraError
from infra.storage import Home
from search.running.where import IN_PROCESS
from search.running.writing.leftovers import Leftovers
from search.sweep import resume, run
from tests.search.kept import kept
from tests.search.killed_driver import POINTS, SPEC

two_rays = pytest.mark.turns(2)  # each starts Rays of its own


def everything(home: Home) -> tuple[Any, dict[str, Any] | None]:
    """All that is kept of the sweep, and its answer, without what was spent: a second try costs."""
    with Catalogue(home.catalogue_url) as catalogue:
        answer = catalogue.sweep("s").answer
    if answer:
        answer["beside"].pop("plan")
    return kept(home, "s"), answer and {key: value for key, value in answer.items() if key != "spent"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any] | None]:
    home = Home.open(tmp_path_factory.mktemp("undisturbed"))
    assert run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False).status == "complete"
    return everything(home)


# The count says which call of the point is the last: seeded, so that deaths fall early, in the middle and late. Ray is killed twice.
COUNTS = dict(zip(POINTS, (5, 4, 6, 3, 1, 2, 2, 1, 1), strict=True))


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize(("point", "address"), [*((point, IN_PROCESS) for point in POINTS), ("mid-epoch", None), ("confirm", None)])
def test_a_driver_killed_at_any_point_resumes_to_the_same_members_and_answer(
    tmp_path: Path, undisturbed: tuple[Any, dict[str, Any] | None], point: str, address: str | None
) -> None:
    command = [sys.executable, "-m", "tests.search.killed_driver", str(tmp_path), point, str(COUNTS[point]), address or "ray"]
    died = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    home = Home.open(tmp_path)
    assert resume("s", home=home, workers=1, address=address, tracking=False).status == "complete"
    assert everything(home) == undisturbed


@pytest.mark.parametrize("address", [IN_PROCESS, pytest.param(None, marks=[pytest.mark.slow, two_rays], id="ray")])
def test_a_sweep_whose_driver_is_alive_is_not_resumed_twice_and_ctrl_c_ends_it_cleanly(tmp_path: Path, address: str | None) -> None:
    script = (
        "from search.sweep import run; from infra.storage import Home; import sys;"
        "spec = {'objective': 'toy', 'dataset': {'name': 'none', 'seconds_per_epoch': 0.5}, 'budget': {'trials': 50, 'epochs': 5000}};"
        f"print(run(spec, name='s', home=Home.open(sys.argv[1]), workers=1, address={address!r}, tracking=False).status)"
    )
    driver = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        home = Home.open(tmp_path)
        while driver.poll() is None and not reported(home):
            time.sleep(0.2)
        with pytest.raises(InfraError, match="one driver at a time"):
            resume("s", home=home, tracking=False)
        driver.send_signal(signal.SIGINT)
        out, _ = driver.communicate(timeout=600)
    finally:
        driver.kill()
    assert out.strip() == "interrupted"
    with Catalogue(home.catalogue_url) as catalogue:
        assert catalogue.sweep("s").status == "interrupted"
        assert catalogue.locked_by("s") is None


def reported(home: Home) -> bool:
    """Whether a driver has the sweep, and a member of it has reported."""
    if not (home.root / "lagrange.db").exists():
        return False
    with Catalogue(home.catalogue_url) as catalogue:
        return catalogue.has_sweep("s") and bool(catalogue.locked_by("s") and catalogue.reports("s"))


@pytest.mark.slow
@two_rays
def test_two_sweeps_in_one_folder_work_at_the_same_time(tmp_path: Path) -> None:
    """Two drivers, two Rays, one catalogue, one MLflow store and one Optuna database, all made by whoever comes first."""
    script = (
        "from search.sweep import run; from infra.storage import Home; import sys;"
        "spec = {'objective': 'toy', 'budget': {'trials': 5, 'epochs': 3}, 'confirm': {'configs': 2, 'seeds': 2}};"
        "outcome = run(spec, name=sys.argv[2], home=Home.open(sys.argv[1]), workers=1); print(outcome.status, outcome.notes)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    drivers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    said = [driver.communicate(timeout=240)[0].strip() for driver in drivers]
    assert said == ["complete ()", "complete ()"]
    with Catalogue(Home.open(tmp_path).catalogue_url) as catalogue:
        assert {row.name for row in catalogue.sweeps()} == {"one", "two"}
        assert {row.state for name in ("one", "two") for row in catalogue.members(name)} <= {"complete", "stopped"}


def test_of_a_search_that_goes_on_few_members_keep_their_sheets(tmp_path: Path) -> None:
    """Also where most members have left no folder at all."""
    home = Home.open(tmp_path)
    rows = [MemberRow(at, {"l2": 0.1}, 1, arm="search", state="complete", score=float(at % 7)) for at in range(14)]
    for number in (0, 3, 6, 9):
        home.sheets("s", number).mkdir(parents=True)
        (home.sheets("s", number) / "3.png").write_bytes(b"drawn")
        (home.member("s", number) / "log.txt").write_bytes(b"said")
    Leftovers(home, "s").resumed(rows)
    assert [number for number in range(14) if home.sheets("s", number).exists()] == [0, 6]  # the best and the worst, the first of equals
    assert all((home.member("s", number) / "log.txt").exists() for number in (0, 3, 6, 9))
