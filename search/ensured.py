"""One command that may be run again and again, as RayJob's retries and Slurm's requeue do: it starts a sweep, goes on with it, or says that
it is complete."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from infra.catalogue import Catalogue, SweepRow
from infra.catalogue.lock import BEAT_S, STALE_S
from infra.errors import InfraError
from infra.storage import Home, sqlite_path, sweep_name
from infra.storage.hints import command
from search.choosing.answer import Answer
from search.facts import ASKED
from search.kept import CUT, holds
from search.spec.keys import Spec
from search.spec.plain import plain_spec
from search.sweep import Outcome, resume, run

PATIENCE_S: Final = STALE_S + 2 * BEAT_S
"""A driver that died without a word has lost its lock after `STALE_S`. One that still has it after this time is alive."""


def ensure(spec: Spec, *, name: str, home: Home, patience_s: float = PATIENCE_S, **options: Any) -> Outcome:
    """A sweep's outcome, whatever was there of it before. `options` are those of `run` and `resume`, without `trials`.

    Raises:
        InfraError: a living driver has the sweep, or the name belongs to another spec. And what `run` and `resume` raise.
    """
    sweep_name(name)
    if row_of(home, name, getattr(options.get("listener"), "note", None)) is None:
        try:
            return run(spec, name=name, home=home, **options)
        except InfraError:
            if row_of(home, name) is None:
                raise  # else another process has begun this sweep in the meantime: it is a sweep to go on with
    waited(home, name, patience_s, options.get("listener"))
    row = row_of(home, name)
    if row is None:
        return run(spec, name=name, home=home, **options)
    if different := list(_differences(row.facts.get(ASKED), plain_spec(spec))):
        raise InfraError(
            f"A sweep's name is used for one spec; {name!r} was begun with another: {', '.join(different)} differ. Choose another --name, "
            f"or go on with the sweep as it was begun: {command(f'resume {name}', home)}"
        )
    if row.status == "complete" and row.answer is not None and not row.facts.get(CUT):
        return resume(name, home=home, **options)  # it says that nothing was left to do, and sends what MLflow has missed
    if row.status == "complete" and row.answer is not None:
        return Outcome(name, "complete", Answer.from_dict(row.answer), notes=("this sweep was complete: its wall time had ended its race",))
    return resume(name, home=home, **options)


def row_of(home: Home, name: str, told: Callable[[str], object] | None = None) -> SweepRow | None:
    """The sweep that holds the name; None where `run` may have it. A missing catalogue is not made; with `told` it is waited for."""
    file = sqlite_path(home.catalogue_url)
    if file is not None and not file.exists():
        return None
    with Catalogue(home.catalogue_url, create=False, told=told) as catalogue:
        return catalogue.sweep(name) if holds(catalogue, name) else None


def waited(home: Home, name: str, patience_s: float, listener: Any = None, pause: Callable[[float], None] = time.sleep) -> None:
    """Return when nobody drives the sweep.

    Raises:
        InfraError: after so many seconds somebody still does.
    """
    until, told = time.monotonic() + patience_s, False
    while True:
        with Catalogue(home.catalogue_url, create=False) as catalogue:
            holder = catalogue.locked_by(name) if catalogue.has_sweep(name) else None
        if holder is None:
            return
        if time.monotonic() > until:
            raise InfraError(
                f"A sweep has one driver at a time; {name!r} is driven by {holder}, which is alive. Wait for it, or stop it first: "
                f"{command(f'watch {name}', home)} shows it."
            )
        if not told and listener is not None:
            listener.note(f"{name} is locked by {holder}; waiting up to {patience_s:.0f} s for a sign that this driver is dead")
        told = True
        pause(1.0)


def _differences(asked: Any, now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The keys, with dots, in which a spec differs from the one that a sweep was begun with. A sweep that kept none differs in nothing."""
    if asked is None:
        return
    then, now = (json.loads(json.dumps(one, sort_keys=True)) for one in (asked, now))
    for key in sorted({*then, *now}):
        one, other = then.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{path}{key}.")
        elif one != other:
            yield f"{path}{key}"
