"""Whether all nodes see one storage is found out by a token. Nodes here are folders of their own, or the same one."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.ray import shared
from infra.storage.depot import Depot


@pytest.fixture(params=["folder", "url"])
def depot(request: pytest.FixtureRequest, tmp_path: Path) -> Depot:
    return Depot("" if request.param == "folder" else f"memory://{tmp_path.name}", tmp_path / "shared")


def test_nodes_that_see_the_storage_are_all_found_and_nothing_is_left(depot: Depot) -> None:
    token = shared.begin(depot)
    answers = {node: shared.answer(depot, token, node) for node in ("head", "a/b:c")}
    assert answers == {"head": "", "a/b:c": ""}
    assert shared.missing(depot, token, answers) == []
    shared.end(depot, token)
    assert depot.names(depot.here / shared.FOLDER / token, "*") == []
    assert not (depot.here / shared.FOLDER).exists()


def test_a_node_with_a_disk_of_its_own_is_named_and_gets_no_folder(depot: Depot, tmp_path: Path) -> None:
    token = shared.begin(depot)
    alone = Depot(depot.url and f"{depot.url}-other", tmp_path / "other")
    answers = {"head": shared.answer(depot, token, "head"), "b": shared.answer(alone, token, "b", late_s=0)}
    (sentence,) = shared.missing(depot, token, answers)
    assert "node b " in sentence and str(depot.url or depot.here) in sentence and "--storage" in sentence
    assert not alone.here.exists() and alone.names(alone.here, "*") == []


def test_an_answer_that_the_driver_does_not_see_is_missing(depot: Depot) -> None:
    """The node reads a copy of the token, and writes where nobody else reads."""
    token = shared.begin(depot)
    assert "node c " in shared.missing(depot, token, {"c": ""}, late_s=0)[0]


def test_a_token_of_another_sweep_does_not_count(depot: Depot) -> None:
    first, second = shared.begin(depot), shared.begin(depot)
    assert shared.answer(depot, first, "a") == ""
    assert len(shared.missing(depot, second, {"a": ""}, late_s=0)) == 1


def test_a_storage_that_forbids_writing_is_a_sentence(tmp_path: Path) -> None:
    depot = Depot("", tmp_path / "shared")
    token = shared.begin(depot)
    place = shared._file(depot, token, "a")
    place.mkdir()  # for root every folder is writable; a folder in the file's place is writable for nobody
    assert "cannot write there" in shared.answer(depot, token, "a")
