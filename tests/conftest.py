"""Shared fixtures, and which rows of a long table run. Nothing here needs the network, a GPU or data that is not inside a dependency."""

from __future__ import annotations

import base64
import gc
import os
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# One thread a process: two workers and the driver share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# In the folder above the repository, or wherever the variable says: MNIST and Fashion-MNIST in torchvision's layout.
DATA = Path(os.environ.get("LAGRANGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
# What hypothesis finds must be found again by anyone: no memory of earlier runs; and nothing may depend on how fast a machine is.
hypothesis.settings.register_profile("anywhere", database=None, deadline=None)
hypothesis.settings.load_profile("anywhere")


@pytest.fixture(scope="session")
def ray_up() -> Iterator[None]:
    """One local Ray with two workers for all sweeps of a test run."""
    from infra.ray import cluster

    with cluster.connect(workers=2):
        yield


@pytest.fixture
def data_root() -> Path:
    """The folder with MNIST and Fashion-MNIST; the test is skipped where there is none."""
    if not (DATA / "MNIST" / "raw").exists():
        pytest.skip("no image data: put MNIST in torchvision's layout under $LAGRANGE_DATA")
    return DATA


# Garbage ----------------------------------------------------------------------------------------------------------------------------------


class Libraries:
    """Half a million objects of libraries stay until the end. Each collection of garbage would look through them, for 0.3 s and more."""

    loaded = 0

    @classmethod
    def kept(cls) -> None:
        if len(sys.modules) > cls.loaded + 200:
            gc.collect()
            gc.freeze()
            cls.loaded = len(sys.modules)


def pytest_runtest_teardown() -> None:
    Libraries.kept()  # MLflow and Ray come with a test


# Tests that train -------------------------------------------------------------------------------------------------------------------------


class Steps:
    """How many steps of training this process has done, since torch was seen."""

    taken = 0
    counting = False


def pytest_collection_finish() -> None:
    Libraries.kept()
    count_steps()


def count_steps() -> None:
    """From here on: a file that is run alone may load torch with its first test, and its others are held to the mark, too."""
    if Steps.counting or "torch" not in sys.modules:
        return
    Steps.counting = True
    from objectives.training.optimizers import KINDS, Optimizer

    for kind in set(KINDS.values()):

        def counted(self: Optimizer, *values: Any, plain: Any = kind.step) -> None:
            Steps.taken += 1
            plain(self, *values)

        kind.step = counted  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    count_steps()
    before = Steps.taken
    yield
    if Steps.taken > before and not item.get_closest_marker("trains"):
        pytest.fail("it trains, and must bear the mark `trains`, so that `make test-portable` runs it: @pytest.mark.trains")


# Pictures ---------------------------------------------------------------------------------------------------------------------------------

ONE_PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


class Pictures:
    """Every sweep ends with a λ curve. What is in it is made in every test, its pixels (0.3 s of matplotlib) where one looks at them."""

    rendered: Any = None

    @staticmethod
    def unrendered(canvas: Any, path: Any, **more: Any) -> None:
        if more or not isinstance(path, str):  # a user's own figure
            Pictures.rendered(canvas, path, **more)
        else:
            Path(path).write_bytes(ONE_PIXEL)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    agg: Any = sys.modules.get("matplotlib.backends.backend_agg")
    if agg is not None:  # else the first picture is rendered, too
        Pictures.rendered = Pictures.rendered or agg.FigureCanvasAgg.print_png
        looked_at = item.get_closest_marker("renders") or item.config.option.whole_tables
        agg.FigureCanvasAgg.print_png = Pictures.rendered if looked_at else Pictures.unrendered


# Long tables ------------------------------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample-seed", type=int, help="which rows of tables marked `sampled(k)` run; else that of today, so that in k days all do"
    )
    parser.addoption(
        "--whole-tables", action="store_true", help="run every row of every table and every file whole, as `make test-all` does"
    )
    parser.addoption("--whole-files", action="store_true", help="run every test of every file, but of long tables some rows")


def pytest_configure(config: pytest.Config) -> None:
    # The options go from here to the workers of pytest-xdist, which must all draw the same rows.
    if config.option.whole_tables:
        os.environ["LAGRANGE_WHOLE_TABLES"] = "1"  # how many examples hypothesis draws is said where a module is imported
    if config.option.sample_seed is None:
        config.option.sample_seed = datetime.now(UTC).date().toordinal()


def pytest_report_header(config: pytest.Config) -> str:
    rows = "all" if config.option.whole_tables else f"drawn with --sample-seed {config.option.sample_seed}"
    return f"rows of long tables: {rows}"


@pytest.hookimpl(trylast=True)  # after `-m` and `-k`
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each test marked `sampled(k)` keep one row in k; then of each file marked `turns(k)` one test in k. What is named runs whole."""
    if config.option.whole_tables:
        return
    tables: dict[str, list[Any]] = defaultdict(list)
    files: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        if any(named(one, item.nodeid) for one in config.args):
            continue
        if item.get_closest_marker("sampled"):
            tables[item.nodeid.partition("[")[0]].append(item)
        if item.get_closest_marker("turns") and not config.option.whole_files:
            files[item.nodeid.partition("::")[0]].append(item)
    seed = config.option.sample_seed
    left_out = {item for rows in tables.values() for item in set(rows) - set(drawn(rows, seed))}
    for name, whole in files.items():
        kept = [item for item in whole if item not in left_out]
        left_out |= set(kept) - set(in_turn(kept, seed, name))
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def named(argument: str, nodeid: str) -> bool:
    """Whether an argument of the command line names this test, or its file."""
    return (".py" in argument) and nodeid.startswith(argument.removeprefix("./"))


def in_turn(items: list[Any], seed: int, name: str) -> list[Any]:
    """One test of a file in k, each in one of k seeds that follow one another."""
    if not items:
        return []
    (k,) = items[0].get_closest_marker("turns").args
    cycle, turn = divmod(seed, k)
    order = sorted(items, key=lambda item: str(item.nodeid))
    random.Random(f"{cycle} {name}").shuffle(order)
    return order[turn::k]


def drawn(rows: list[Any], seed: int) -> list[Any]:
    """One row in k, each in one of k seeds that follow one another; tests of one file with the same rows get the same."""
    (k,) = rows[0].get_closest_marker("sampled").args
    cycle, turn = divmod(seed, min(k, len(rows)))
    order = sorted(rows, key=lambda item: str(item.callspec.id))
    random.Random(f"{cycle} {rows[0].path.name}").shuffle(order)
    return order[turn :: min(k, len(rows))]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: Any = yield
    if report.failed and item.get_closest_marker("sampled") and not item.config.option.whole_tables:
        report.sections.append(("row of a long table", f"drawn with --sample-seed {item.config.option.sample_seed}"))
    return report
