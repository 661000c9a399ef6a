"""Files on their way to MLflow: artifacts and images. They wait for their store alone, so that numbers never wait for a file.

A server of runs may take no file: the proxy before it has a limit on what is sent at once (nginx: 1 MB, a report has 5), its store of files
is away, or lies where this machine cannot write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from infra.tracking import images
from infra.tracking.said import first_line, status
from infra.tracking.spool import FILES

_THIS_FILE_ALONE: Final = ("400", "404", "405", "413", "414", "415", "422")  # others may be taken


class FilesWaitError(Exception):
    """Files wait, and all else was written. The cause says why."""


def send(
    files: Sequence[Mapping[str, Any]],
    *,
    client: Callable[[], Any],
    run_of: Callable[[int], Any],
    runs: Mapping[int, Any],
    drawn: Callable[[Path], Any] | None,
    home: Path,
    refused: list[str],
    refuses: Callable[[Exception], bool],
) -> tuple[list[Mapping[str, Any]], Exception | None]:
    """Send the files of these records. Returns the records of those that must wait, and what the first of them failed by.

    Args:
        client: gives the client for one call; what it raises is raised.
        run_of: the run of an artifact, which is made where there is none.
        runs: the runs that MLflow has heard of; pictures alone make no run.
        drawn: makes a Pillow image of a record's file.
        home: what relative paths of records are relative to.
        refused: is told of each file that is refused for good.
        refuses: whether an error is such a refusal.
    """
    left: list[Mapping[str, Any]] = []
    failed: Exception | None = None
    for group in _groups(files):
        if failed is not None and status(str(failed)) not in _THIS_FILE_ALONE:
            left += group  # the store is away: each file would wait for it in vain
            continue
        allowed = client()
        try:
            if group[0]["kind"] == "artifact":
                refused += _artifact(allowed, run_of, group[0], home)
            else:
                refused += images.send_all(allowed, runs, group, drawn, home)
        except Exception as error:  # whatever a store or its client does, numbers are sent
            if refuses(error):
                refused.append(f"the file {Path(str(group[0]['path'])).name}: {first_line(error)}")
                continue
            left += group
            failed = failed or error
    return left, failed


def _groups(files: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Each artifact by itself, then the images of each run together. What is said twice is sent once."""
    once = {tuple(sorted((key, str(value)) for key, value in one.items() if key != "ms")): one for one in files}
    yield from ([one] for one in once.values() if one["kind"] == "artifact")
    pictures: dict[int, list[Mapping[str, Any]]] = {}
    for one in once.values():
        if one["kind"] == "image":
            pictures.setdefault(one["run"], []).append(one)
    yield from pictures.values()


def _artifact(client: Any, run_of: Callable[[int], Any], record: Mapping[str, Any], home: Path) -> list[str]:
    path = home / record["path"]  # a path that is absolute stays what it is
    if not path.is_file():
        return [f"the file {path.name} is gone"]
    client.log_artifact(run_of(record["run"]).id, str(path), record["folder"] or None)
    return []


def among(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records that speak of a file."""
    return [one for one in records if one["kind"] in FILES]
