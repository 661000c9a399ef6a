"""The sweeps that a home holds: their names, their rows, and how to remove one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any

from infra import provenance, tracking
from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.catalogue.open_members import reopen_members
from infra.errors import InfraError
from infra.ray.shipping import in_job
from infra.storage import HOME, STORAGE, Home, HomeLike, hidden_in, sqlite_path, strip_address, sweep_name
from infra.storage.hints import command
from infra.storage.whereabouts import any_file, left_behind
from objectives.base import State
from search import estimate
from search.asking import projection, samplers
from search.choosing import from_members
from search.choosing.answer import Answer
from search.choosing.missing import INFRASTRUCTURE, not_its_own
from search.choosing.race import Look
from search.choosing.turned import turned
from search.facts import ADDRESS, ASKED, FOLDER, LOOKS, LOSSES, PLANNED, PRIOR, RETRIED, SOURCES, TOOK
from search.options import name_of
from search.prior import resolved
from search.spec.hours import with_budget
from search.spec.keys import Spec
from search.spec.plain import plain_spec

CUT = "cut"  # the fact that the wall time ended a race before its end


class Again(StrEnum):
    """Which members that had ended `resume` opens again."""

    NONE = "none"
    MISSING = "missing"  # those that are missing for reasons that are not their own
    FAILED = "failed"  # all that failed, their own faults included: the user has mended something


@dataclass(frozen=True)
class More:
    """What `resume` may be asked for beside trials: members that are tried `again`, and other totals of the `budget`."""

    again: Again = Again.NONE
    budget: Mapping[str, float] = field(default_factory=dict)


def remove(name: str, *, home: HomeLike | None = None) -> list[str]:
    """Remove a sweep: rows, files, Optuna's studies, and its MLflow runs (marked deleted). Returns what could not be removed.

    Raises:
        InfraError: no such sweep, or it is running.
    """
    home = Home.open(home)
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        holder = catalogue.locked_by(name)
        if holder:
            raise InfraError(f"A sweep that is running must not be removed; {name!r} is driven by {holder}. Stop it first.")
        facts = catalogue.sweep(name).facts
        home = home.placed(facts)
        with catalogue.lock(name):  # it watches a lock that only looks old because a clock has jumped, and nobody begins meanwhile
            catalogue.delete_sweep(name)
    there = any_file(home, name)
    stays = home.remove_sweep(name)
    left = [f"files of its members stay under {home.kept_at}/{name}: {stays}"] if stays else []
    left += left_behind(home, name, facts, there)
    for what, forget, url in (("MLflow", tracking.forget, home.tracking_uri), ("Optuna", projection.forget, home.optuna_url)):
        try:
            forget(url, name)
        except Exception as error:
            left.append(f"{what} at {strip_address(url)} still holds it: {hidden_in(str(error), url)[:200]}")
    return left


def refuse_taken(home: Home, names: Iterable[str | None], told: Callable[[str], object] | None = None) -> None:
    """Raise InfraError where the catalogue cannot be opened, or where sweeps hold some of these names. A missing file is not created.

    With `told` a database that is away is waited for.
    """
    file = sqlite_path(home.catalogue_url)
    if file is not None and not file.exists():
        return  # it holds no sweep
    with Catalogue(home.catalogue_url, create=False, told=told) as catalogue:
        taken = [name for name in names if name is not None and holds(catalogue, name)]
    if taken:
        which = ", ".join(map(repr, taken)) + (" exists" if len(taken) == 1 else " exist")
        raise InfraError(
            f"A sweep's name is used once; {which}. Choose another --name, resume it, or remove it: {command(f'rm {taken[0]}', home)}"
        )


def admitted(home: Home, spec: Spec, name: str | None, told: Callable[[str], object] | None = None) -> list[dict[str, Any]]:
    """What a sweep takes over from others. Raises InfraError where its name is taken, SpecError where a prior cannot be used."""
    refuse_taken(home, [name], told)
    return resolved(spec, home)


def holds(catalogue: Catalogue, name: str) -> bool:
    """Whether a sweep holds this name.

    A sweep that failed before its first member (preparing the data took too much memory) leaves its name to the next sweep.
    """
    if not catalogue.has_sweep(name):
        return False
    return catalogue.sweep(name).status != "failed" or bool(catalogue.members(name)) or catalogue.locked_by(name) is not None


def begin(
    catalogue: Catalogue,
    spec: Spec,
    name: str | None,
    home: Home,
    note: Callable[[str], None],
    workers: int = 1,
    prior: Sequence[Mapping[str, Any]] = (),
    address: str | None = None,
) -> str:
    """Write the row of a sweep that begins, with its plan, what it takes over, and its address. Returns its name.

    Where no name was given, one is made up.

    Raises:
        InfraError: another driver has taken the name in the meantime.
    """
    if name and catalogue.has_sweep(name):
        refuse_taken(home, [name])
        for left in remove(name, home=home):  # the sweep that had this name failed before its first member
            note(left)
    given, name = name, name or _free_name(catalogue, spec)
    row = SweepRow(
        name=name,
        spec=plain_spec(spec),
        objective=spec.objective,
        model=spec.model or "",
        dataset=spec.dataset.name or "",
        provenance=provenance.collect(),
        facts={PLANNED: estimate.promised(spec, catalogue, name, workers), ASKED: plain_spec(spec)}
        | ({PRIOR: list(prior)} if prior else {})
        | ({ADDRESS: address} if address else {})
        | home.remembered
        | ({FOLDER: str(Path.cwd())} if spec.own and not in_job() else {})  # a job's folder is made anew for every job
        | ({SOURCES: sources(spec)} if spec.own else {}),
    )
    if given:
        catalogue.create_sweep(row)
    while not given and not catalogue.took_name(row):  # another sweep that begins now has taken the number
        row = replace(row, name=_free_name(catalogue, spec))
    name = row.name
    if spec.prior and not prior:
        note("prior: auto found no sweep that can be used; this one starts cold")
    return name


def take_back(catalogue: Catalogue, name: str, home: Home) -> None:
    """Remove a sweep that its objective refused, so that it has no member. MLflow and Optuna were told nothing of it.

    A catalogue that was made for this sweep alone is removed, too.
    """
    catalogue.delete_sweep(name)
    home.remove_sweep(name)
    if home.storage.parent == home.root:
        with suppress(OSError):  # it holds something
            home.storage.rmdir()
    catalogue.discard()


def sources(spec: Spec) -> dict[str, str]:
    """The user's own files that a spec names, each with its SHA-256: what they import is not looked at."""
    words = [word.partition(":")[0] for word in (spec.objective, spec.model or "", spec.dataset.name or "")]
    command = spec.command or ()
    words += command.split() if isinstance(command, str) else command
    named = [Path(word) for word in words if word] + [Path(*word.split(".")).with_suffix(".py") for word in words[:3] if word]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in dict.fromkeys(named) if path.is_file()}


def go_on(
    catalogue: Catalogue,
    name: str,
    spec: Spec,
    trials: int,
    workers: int = 1,
    address: str | None = None,
    note: Callable[[str], None] = lambda text: None,
    opened: Sequence[MemberRow] = (),
    more: More = More(),
    home: Home | None = None,
) -> Spec:
    """The spec of a sweep that goes on with `trials` more configs. More configs may move the minimum; without them the choice stays.

    Members that had ended are `opened` again; the sweep's count of lost workers then begins anew. `home`: where its files are from now on.

    Raises:
        InfraError: it cannot go on so, or not in this folder: a script or module of the user's would not be found, and all members fail.
    """
    facts = catalogue.sweep(name).facts
    folder = facts.get(FOLDER)
    if folder and Path(folder).is_dir() and Path(folder) != Path.cwd():
        raise InfraError(f"{name!r} must go on in the folder where it began, {folder}, because it names files there. Go there: cd {folder}")
    known = facts.get(SOURCES, {})
    if changed := [path for path, digest in sources(spec).items() if known.get(path, digest) != digest]:
        note(f"{', '.join(changed)} changed since the sweep began: members from before and after the change are compared with each other")
    if not 0 <= trials < 10**15:
        raise InfraError(f"The number of further trials must be 0 or more, and one that can be trained; got {trials:.3g}.")
    if trials and samplers.hands_on(spec.sampler):
        raise InfraError(
            f"More trials must not move the points of a path that is under way; {name!r} has sampler {name_of(spec.sampler)}. "
            "Start a new sweep."
        )
    row = catalogue.sweep(name)
    own = {ADDRESS} if home is None else {ADDRESS, HOME, STORAGE}  # home and storage may have moved
    facts = {key: value for key, value in row.facts.items() if key not in own} | ({ADDRESS: address} if address else {})
    facts |= home.remembered if home is not None else {}
    changes: dict[str, Any] = {}
    if more.budget:
        spec = spec.model_copy(update={"budget": with_budget(spec.budget, more.budget)})
    if trials or (more.budget and not row.facts.get(CUT)):  # a race that was cut goes on; one that had its end is another look
        spec = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": spec.budget.trials + trials})})
        before = Look(**row.facts.get(LOOKS, {}))
        if used := max((one.get("seeds", 0) for one in row.candidates or []), default=0):
            # That race took its look; the next one has seeds of its own.
            before = Look(before.number + 1, before.used + max(used, from_members.seeds_asked(spec)))
        facts |= {LOOKS: asdict(before), PLANNED: estimate.promised(spec, catalogue, name, workers)}
        changes = {"candidates": None}
    # One write: a driver that dies between two would leave a new look of the race without the trials that are its reason.
    with catalogue.together():
        if opened:
            facts.pop(RETRIED, None)
            reopen_members(catalogue, name, opened)
        catalogue.update_sweep(name, **changes, facts=facts, spec=plain_spec(spec), status="running", answer=None)
    return spec


def to_retry(catalogue: Catalogue, name: str, home: Home, again: Again) -> list[MemberRow]:
    """The members that are to be tried again, as they are to be opened: without their count of losses, and with what they were.

    One that started from another member needs a checkpoint, of its own or of that one.
    """
    if again is Again.NONE:
        return []
    home = home.placed(catalogue.sweep(name).facts)
    failed = (State.FAILED, State.PREEMPTED)
    rows = [row for row in catalogue.members(name) if row.state in failed and (again is Again.FAILED or not_its_own(row))]
    found = []
    for row in rows:
        origin = None if row.parent is None else home.handed_on(name, row.parent, row.parent_epoch or 0)
        if origin is None or home.depot.has(origin) or home.depot.has(home.checkpoint(name, row.number)):
            facts = {key: value for key, value in row.facts.items() if key not in (INFRASTRUCTURE, LOSSES)}
            earlier = [*row.facts.get("earlier", ()), f"{row.state}: {row.reason}"]
            found.append(replace(row, facts={**facts, "earlier": earlier}))
    return found


def short_name(part: str) -> str:
    """What a part of a spec adds to the name of a sweep: `mine` for `folder/mine.py:train`."""
    file = part.partition(":")[0]
    return PurePath(file).stem if file.endswith(".py") else part.replace(":", ".").replace("/", ".")


def _free_name(catalogue: Catalogue, spec: Spec) -> str:
    data = spec.dataset.name or "data"
    alone = data == "none" and (spec.program is not None or ".py" in spec.objective)
    stem = sweep_name("-".join([short_name(spec.objective), *([] if alone else [short_name(data)])]))
    number = 1
    while catalogue.has_sweep(f"{stem}-{number}"):
        number += 1
    return f"{stem}-{number}"


def remember(catalogue: Catalogue, name: str, problem: str, cut: bool, seconds: float) -> None:
    """Store why a sweep failed, or that the wall time cut its race, where that is so; and add to the seconds that its drivers took."""
    facts = {key: value for key, value in catalogue.sweep(name).facts.items() if key not in ("problem", CUT)}
    facts[TOOK] = facts.get(TOOK, 0.0) + seconds
    catalogue.update_sweep(name, facts=facts | ({"problem": problem} if problem else {}) | ({CUT: True} if cut else {}))


def told(
    catalogue: Catalogue, name: str, answer: Answer, notes: Sequence[str], better: str = "lower", members: Sequence[MemberRow] | None = None
) -> Answer:
    """The answer with these notes and with what came beside what was planned, in the score's own sign, stored."""
    facts = catalogue.sweep(name).facts
    planned = facts.get(PLANNED)
    if planned:
        width = answer.effect.high - answer.effect.low
        real = estimate.came(catalogue.members(name) if members is None else members, facts.get(TOOK, 0.0), planned["workers"], width)
        answer = replace(answer, beside=replace(answer.beside, plan={"planned": planned, "came": real}))
    answer = turned(replace(answer, notes=[*answer.notes, *notes]), better)
    catalogue.update_sweep(name, answer=answer.to_dict())
    return answer
