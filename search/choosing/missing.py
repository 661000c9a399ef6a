"""Members that are missing for reasons that are not their own: their worker, their node or the system ended them. They say nothing of λ."""

from __future__ import annotations

from collections.abc import Sequence

from infra.catalogue import MemberRow
from infra.storage import Home
from infra.storage.hints import command
from objectives.base import Phase, State
from search.choosing.answer import Candidate, Row
from search.choosing.words import listed

INFRASTRUCTURE = "infrastructure"  # the fact of a member that ended for a reason that is not its own
INSTEAD = "instead_of"  # the fact of a member that stands in for one that is missing: the number of that one
SHOWN = 8  # members that are named


def not_its_own(row: MemberRow) -> bool:
    """Whether a member ended for a reason that is not its own. (Sweeps of before the fact knew preempted members only.)"""
    return row.state == State.PREEMPTED or (row.state == State.FAILED and bool(row.facts.get(INFRASTRUCTURE)))


def missing(rows: Sequence[MemberRow]) -> list[MemberRow]:
    """The members that are missing for reasons that are not their own."""
    return [row for row in rows if not_its_own(row)]


def gone(found: Sequence[Candidate], rows: Sequence[Row], seeds: Sequence[int]) -> set[int]:
    """The seeds that a candidate misses for a reason that is not its own."""
    arms, confirmed = {one.arm for one in found}, [row for row in rows if row.phase == Phase.CONFIRM]
    there = {(row.arm, row.seed) for row in confirmed if not row.astray}
    return {row.seed for row in confirmed if row.astray and row.arm in arms and (row.arm, row.seed) not in there} & set(seeds)


def again_words(name: str, rows: Sequence[MemberRow], home: Home) -> list[str]:
    """What may be done about the members of a complete sweep that failed: which option of `resume` tries them again."""
    failed = [row for row in rows if row.state in (State.FAILED, State.PREEMPTED)]
    lost = missing(failed)
    said = []
    if own := len(failed) - len(lost):
        members = "member failed by its own fault" if own == 1 else "members failed by their own fault"
        said.append(f"{own} {members}; once it is mended, try again with: {command(f'resume {name} --retry-all-failed', home)}")
    if lost:
        said.append(
            f"{len(lost)} failed for reasons that are not their own; try again with: {command(f'resume {name} --retry-failed', home)}"
        )
    return said


def missing_words(rows: Sequence[MemberRow]) -> str:
    """What an answer says of the members that are missing, in one sentence; empty where none is."""
    lost = missing(rows)
    if not lost:
        return ""
    one = len(lost) == 1
    finals = sum(row.phase == Phase.CONFIRM for row in lost)
    instead = sum(INSTEAD in row.facts for row in rows)
    numbers = listed([row.number for row in lost], SHOWN)
    said = f"{'member' if one else f'{len(lost)} members:'} {numbers} {'is' if one else 'are'} missing for reasons that are not"
    said += f" {'its' if one else 'their'} own (workers, nodes); {'it says' if one else 'they say'} nothing for or against λ"
    said += f"; {finals} of them belong to the confirmation" if finals and not one else ""
    return said + (f"; {instead} {'member stands' if instead == 1 else 'members stand'} in" if instead else "")
