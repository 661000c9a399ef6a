"""The model of an answer in MLflow's registry: a version of `objective-model-dataset`, called `champion` where it is the best one known."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.catalogue import Catalogue, MemberRow, SweepRow, config_hash
from infra.storage import Home, HomeLike
from infra.tracking.registry import Logged, Registry, Version
from objectives.base import lowered
from search import loaded
from search.choosing.answer import Answer
from search.kept import short_name

CHAMPION, OFF = "champion", "off"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model. `why` says in words why it is the champion, or why it is not. `off`: the version of the off arm."""

    name: str
    version: str
    champion: bool
    why: str
    off: str | None = None

    @property
    def uri(self) -> str:
        """Under which `search.load` and MLflow find it."""
        return f"models:/{self.name}@{CHAMPION}" if self.champion else f"models:/{self.name}/{self.version}"


def register(name: str, *, home: HomeLike | None = None, force: bool = False) -> Registered:
    """Log the best confirmed training of a sweep's recommended config, and that of its off arm, and register both.

    The version is `champion` where there is none yet, or where it beats the old one's promise outside its interval; with `force` always.

    Raises:
        InfraError: no such sweep, it has no answer or no weights, or MLflow has no registry. ObjectiveError: no network is known.
    """
    home = Home.open(home)
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        row, members = catalogue.seen(name), catalogue.members(name)
    best = loaded.best_of(row, members, home)
    answer, called = Answer.from_dict(row.answer or {}), model_name(row)
    registry = Registry(home)
    tags = _tags(row, best, answer)
    takes, why = decided(registry.holds(CHAMPION, called), registry.known(called, tags) or Version(called, "", tags), answer, force)
    # The champion is logged last: lists show the alias of the newest version. No alias is given before all is logged.
    off = _off(registry, home, row, members, answer) if takes else None
    version = _logged(registry, home, row, best, answer)
    if off is not None:
        registry.call(OFF, off)
    if takes:
        registry.call(CHAMPION, version)
    return Registered(called, version.number, takes, why, off.number if off is not None else None)


def model_name(row: SweepRow) -> str:
    """The name of a registered model: `vae-mlp400-digits`."""
    parts = [short_name(part) for part in (row.objective, row.model, row.dataset) if part]
    return re.sub(r"[^\w.-]+", "_", "-".join(parts))


def decided(before: Version | None, version: Version, answer: Answer, force: bool) -> tuple[bool, str]:
    """Whether an answer's version is the champion, and why."""
    if before is None:
        return True, "there was none"
    told, promise = before.tags, answer.promise
    of = f"version {before.number} of sweep {told.get('sweep')}"
    if before.number == version.number:
        return True, "it is already"
    if force:
        return True, f"in the place of {of}, because of --force"
    if told.get("sweep") == version.tags["sweep"]:
        return True, f"in the place of {of}, whose answer is older"
    if told.get("scale") != version.tags["scale"]:
        return False, f"{of} was scored otherwise ({told.get('metric')}), so the two cannot be compared; --force puts this one in its place"
    end = float(told["promise_low" if answer.better == "lower" else "promise_high"])
    if lowered(promise.mean - end, answer.better) < 0:
        return True, f"its promise {promise.mean:.6g} beats that of {of} outside its interval, which ends at {end:.6g}"
    return (
        False,
        f"its promise {promise.mean:.6g} does not beat the interval of {of}, which ends at {end:.6g}; --force replaces it",
    )


def _off(registry: Registry, home: Home, row: SweepRow, members: list[MemberRow], answer: Answer) -> Version | None:
    """The version of the off arm's model. None where no confirmed training of the off arm has weights."""
    from infra.errors import InfraError

    try:
        member = loaded.best_of(row, members, home, off=True)
    except InfraError:
        return None
    return _logged(registry, home, row, member, answer)


def _logged(registry: Registry, home: Home, row: SweepRow, member: MemberRow, answer: Answer) -> Version:
    """The version of a member's model: the one that there is, or a new one."""
    tags = _tags(row, member, answer)
    if found := registry.known(model_name(row), tags):
        return found
    model = loaded.of_member(home, row.name, member)
    takes, gives = model.example()
    said = answer.sentence() if _recommended(member, answer) else f"Every λ off, beside which the answer was found: {answer.sentence()}"
    with tempfile.TemporaryDirectory() as folder:
        files = loaded.copied(home, row, member, Path(folder))
        logged = Logged(model, takes, gives, files, tags, said)
        return registry.log(model_name(row), row.name, logged)


def _recommended(member: MemberRow, answer: Answer) -> bool:
    return member.config_hash == config_hash(answer.recommended, answer.recommended_schedule)


def _tags(row: SweepRow, member: MemberRow, answer: Answer) -> dict[str, str]:
    from search.telling.promised import measured_by

    promise, promised = answer.promise, {}
    if _recommended(member, answer):
        promised = {"promise_mean": promise.mean, "promise_low": promise.low, "promise_high": promise.high}
    told = {"sweep": row.name, "created": row.created.isoformat(), "member": member.number, "seed": member.seed, "arm": member.arm}
    told |= {"verdict": answer.verdict_word, "metric": answer.score_name, "scale": config_hash(_flat(measured_by(row.spec, row.facts)))}
    return {key: str(value) for key, value in {**told, **promised}.items()}


def _flat(scale: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in scale.items()}
