"""Where the files of a sweep are that are not where somebody looked: in another home, or in a storage that nobody named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.storage import HOME, STORAGE, Home
from infra.storage.hints import quoted


def any_file(home: Home, name: str) -> bool:
    """Whether a home holds files of a sweep. Of a store behind a URL nobody is asked."""
    return home.reports(name).is_dir() or home.files(name).is_dir() or any(home.spool.glob(f"{name}.*"))


def not_here(home: Home, name: str, facts: Mapping[str, Any]) -> str:
    """Why the files of a sweep's members are not found, and what to do; empty where their folder is there, or behind a URL.

    `home` is as `Home.placed` gives it.
    """
    if home.storage_url or home.files(name).is_dir():
        return ""
    ran, kept = str(facts.get(HOME, "")), str(facts.get(STORAGE, ""))
    said = f"the files of its members are not in {home.files(name)}"
    if kept and kept != home.kept_at:
        return f"{said}: it kept them in {kept}. Leave --storage (LAGRANGE_STORAGE) out, or name where they are now"
    if not kept and ran and ran != str(home.root):
        return f"{said}: it ran in the home {ran}. Give --home {quoted(ran)}, or name their folder: LAGRANGE_STORAGE=FOLDER"
    return f"{said}. Name the folder where they are: LAGRANGE_STORAGE=FOLDER"


def left_behind(home: Home, name: str, facts: Mapping[str, Any], removed: bool) -> list[str]:
    """What of a removed sweep may stay elsewhere: in the home where it ran. `removed`: files of it were here, so that home was this one.

    Another home may be one of another machine, of which nothing can be seen.
    """
    ran = str(facts.get(HOME, ""))
    if removed or ran == str(home.root):
        return []
    if not ran:
        said = "no file of it was in" if not home.storage_url else "no report of it was in"
        return [f"{said} {home.root}: where it ran in another home, its reports, weights and spool stay there"]
    other = Path(ran)
    inside = ("reports", *(() if STORAGE in facts else ("members",)))
    if not other.is_dir():
        where = " and ".join(str(other / part / name) for part in inside)
        return [f"it ran in the home {other}, which is not on this machine, or was moved: its files stay there ({where})"]
    stay = [str(other / part / name) for part in inside if (other / part / name).exists()]
    stay += [str(path) for path in sorted((other / "spool").glob(f"{name}.*"))]
    shown = [file for file in ("mlflow.db", "optuna.db") if (other / file).exists()]
    found = [f"files of it stay in the home where it ran: {', '.join(stay)}. Remove them there"] if stay else []
    return found + ([f"{' and '.join(shown)} in {other} may still show it"] if stay and shown else [])
