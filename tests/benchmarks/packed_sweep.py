"""The search phase of 64 autoencoders on digits: members trained one by one against packs, both by Lagrange with two reused workers.

The seconds are those between two clock times in the catalogue: when the first member was asked for and when the last one ended. So Ray's
start, the workers' start and the preparation (data, the check of λ, and for `auto` the timing of widths) are left out; `prepare_s`, from
the sweep's start to the first member, says what that took, and `whole` compares the two together. What a worker imports for its first pack
is in the search, unless it timed widths before. One Ray serves all sweeps; they take turns.

One more row is a network for which packs do not pay, so `auto` should decline: what its timing of widths costs, preparation and search
together, against `pack: 1`.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra.catalogue import Catalogue, MemberRow
from infra.ray import cluster
from infra.storage import Home
from search.spec.keys import Spec
from search.spec.reading import read
from search.sweep import run
from tests.benchmarks import results
from tests.benchmarks.results import Row

MEMBERS, EPOCHS, WORKERS, ROUNDS = 64, 30, 2, 3
TARGET = 2.5
PACKS: tuple[int | str, ...] = (1, "auto", 16)
# Convolutions that fill a core by themselves.
LARGE = {"model": "rae_small"}
LARGE_MEMBERS, LARGE_EPOCHS, MOST = 24, 3, 1.05


@dataclass(frozen=True)
class Took:
    """One sweep: seconds of its preparation and of its search, how many members made a pack, and what was trained."""

    prepare_s: float
    search_s: float
    width: int
    members: list[MemberRow]

    @property
    def whole_s(self) -> float:
        """From the sweep's start to the end of its search."""
        return self.prepare_s + self.search_s


def measure(members: int = MEMBERS, epochs: int = EPOCHS, rounds: int = ROUNDS) -> list[Row]:
    """Every kind of pack in turn, `rounds` times; ratios within a round, and their median."""
    took: dict[str, list[Took]] = {str(pack): [] for pack in PACKS}
    with tempfile.TemporaryDirectory() as folder, cluster.connect(workers=WORKERS):
        home = Home.open(folder)
        large: dict[str, list[Took]] = {"1": [], "auto": []}
        for number in range(rounds):
            for pack in PACKS:
                took[str(pack)].append(sweep(home, f"{pack}-{number}", pack, members, epochs))
            for name, found in large.items():
                pack = int(name) if name.isdigit() else name
                found.append(sweep(home, f"large-{name}-{number}", pack, LARGE_MEMBERS, LARGE_EPOCHS, **LARGE))
    rows = [declined(large)]
    for pack in map(str, PACKS[1:]):
        pairs = list(zip(took["1"], took[pack], strict=True))
        parts = {
            "search_s": {name: [round(one.search_s, 3) for one in took[name]] for name in ("1", pack)},
            "prepare_s": {name: [round(one.prepare_s, 3) for one in took[name]] for name in ("1", pack)},
            "widths": [one.width for one in took[pack]],
            "whole": statistics.median(one.whole_s / other.whole_s for one, other in pairs),
            "largest_difference_of_scores": max(difference(one.members, other.members) for one, other in pairs),
            "members": members,
            "epochs": epochs,
        }
        ratio = statistics.median(one.search_s / other.search_s for one, other in pairs)
        rows.append(Row(f"search phase: pack 1 / pack {pack}", ratio, "×", TARGET, at_least=True, parts=parts))
    return rows


def declined(took: dict[str, list[Took]]) -> Row:
    """What `auto` costs where no pack pays."""
    seconds = {name: [round(one.whole_s, 2) for one in found] for name, found in took.items()}
    ratio = statistics.median(auto / one for auto, one in zip(seconds["auto"], seconds["1"], strict=True))
    parts = {"whole_s": seconds, "widths": [one.width for one in took["auto"]], "members": LARGE_MEMBERS, "epochs": LARGE_EPOCHS}
    return Row(f"whole sweep, {LARGE['model']}: pack auto / pack 1", ratio, "×", MOST, at_least=False, parts=parts)


def sweep(home: Home, name: str, pack: int | str, members: int, epochs: int, **keys: Any) -> Took:
    """A search without confirmation and without tracking.

    Raises:
        RuntimeError: a member did not end well, so the seconds mean nothing.
    """
    outcome = run(spec(pack, members, epochs, **keys), name=name, home=home, tracking=False)
    with Catalogue(home.catalogue_url) as catalogue:
        row, found = catalogue.sweep(name), catalogue.members(name)
    searched = sorted((one for one in found if one.phase == "search"), key=lambda one: one.number)
    ends = [one.ended for one in searched if one.ended is not None and one.state == "complete"]
    if len(ends) < members:
        raise RuntimeError(f"{members} members must be complete; {len(ends)} are: {outcome.problem} {outcome.notes}")
    first, last = min(one.created for one in searched), max(ends)
    width = int(row.facts.get("pack", {}).get("members", 1))
    return Took((first - row.created).total_seconds(), (last - first).total_seconds(), width, searched)


def spec(pack: int | str, members: int, epochs: int, **more: Any) -> Spec:
    """The sweep: what is trained is the same for every `pack`, for the sampler learns nothing and no rung stops anyone."""
    keys: dict[str, Any] = {
        "objective": "autoencoder",
        "dataset": "digits",
        "sampler": "random",
        "scheduler": "none",
        "budget": {"trials": members, "epochs": epochs},
        "confirm": {"configs": 0},
        "pack": pack,
        **more,
    }
    return read(keys)


def difference(one: Sequence[MemberRow], other: Sequence[MemberRow]) -> float:
    """The largest relative difference of the scores of the same members; infinite if they are not the same."""
    if [row.config for row in one] != [row.config for row in other] or [row.seed for row in one] != [row.seed for row in other]:
        return float("inf")
    scores = [(a.score, b.score) for a, b in zip(one, other, strict=True)]
    return max(abs(a - b) / abs(a) if a is not None and b is not None else float("inf") for a, b in scores)


if __name__ == "__main__":
    results.main(__doc__, measure, members=MEMBERS, epochs=EPOCHS, rounds=ROUNDS)
