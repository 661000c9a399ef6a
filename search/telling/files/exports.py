"""What a sweep leaves behind: the best config as a spec with no free knob, and the reports.

The exported file *is* a sweep spec. So `lagrange train best.yaml` runs the code that the sweep ran: the same objective, the same loop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.errors import InfraError
from infra.machine import without_collections
from infra.storage import STORAGE, Home, HomeLike, replaced
from objectives.base import Phase, lowered
from search.choosing.answer import Answer, Row
from search.choosing.findings import Interval, Promise
from search.facts import ADDRESS, FOLDER, LOOKS
from search.spec.keys import Spec
from search.telling.files import forms
from search.telling.promised import confirmed, final_seeds, measured_by, training, without_answer

CONFIG = "config.yaml"  # in a folder with a trained model: the spec of its training


@dataclass(frozen=True)
class BestRow:
    """The best λ of one objective, model and data set.

    `scale` is what decides the meaning of its score: rows that differ in it have no order.
    """

    objective: str
    model: str
    dataset: str
    sweep: str
    score_name: str
    answer: Answer
    spec: Mapping[str, Any]
    scale: Mapping[str, Any] = field(default_factory=dict)

    @property
    def what(self) -> tuple[str, str, str]:
        """What was trained, and on what."""
        return self.objective, self.model, self.dataset


def best_spec(name: str, row: SweepRow, answer: Answer, rows: Sequence[MemberRow]) -> dict[str, Any]:
    """The recommended config as a spec with no free knob, with its provenance and its promise."""
    spec = {
        key: value
        for key, value in row.spec.items()
        if key not in ("search", "points", "prior", "simplify", "alone", "provenance", "promise")
    }
    from infra.catalogue import config_hash

    digest = config_hash(answer.recommended, answer.recommended_schedule)
    looks = (row.facts or {}).get(LOOKS, {})
    seeds = final_seeds(int(row.spec.get("seed", 0)), int(looks.get("used", 0)), row.candidates or [])
    promise = {
        "metric": answer.score_name,
        "mean": answer.promise.mean,
        "low": answer.promise.low,
        "high": answer.promise.high,
        "level": 0.95,
        "training": training(row.spec, answer.recommended, answer.recommended_schedule),
        "confirmed": confirmed(rows, digest, seeds, answer.better),
    } | _promised_beside(answer)
    source = {
        "sweep": name,
        "arm": answer.recommended_arm,
        "verdict": answer.verdict_word,
        "answer": answer.sentence(),
        "created": row.created.isoformat(),
        **({"constraints": [one.words() for one in answer.kept_to]} if answer.constraints else {}),
        "data": _data_of(row.facts, answer),
        **row.provenance,
        **({"front": asdict(answer.front)} if answer.front is not None else {}),
    }
    moving = {"schedule": answer.recommended_schedule} if answer.recommended_schedule else {}
    return {**spec, "search": {}, "fixed": dict(answer.recommended), **moving, "provenance": source, "promise": promise}


def _data_of(facts: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """What is known of the data, for others: it names no machine, and of metrics' full names only those that the answer shows."""
    told = {answer.score_label, *answer.measured}
    labels = {name: label for name, label in (facts.get("labels") or {}).items() if label in told}
    kept = {key: value for key, value in facts.items() if key not in (ADDRESS, FOLDER, STORAGE, "labels")}
    return kept | ({"labels": labels} if labels else {})


def _promised_beside(answer: Answer) -> dict[str, Any]:
    """What one new seed of the recommended config should measure in the metrics beside the score: 95 % prediction intervals."""
    point = answer.front.point(answer.recommended_arm) if answer.front is not None else None
    if answer.front is None or point is None:
        return {}
    found = {}
    for name in list(answer.front.metrics)[1:]:
        value = point.values[name]
        half = _of_one_seed(value)
        found[name] = {"mean": value.mean, "low": value.mean - half, "high": value.mean + half}
    return {"beside": found}


def export(name: str, path: str | Path | None = None, *, home: HomeLike | None = None, arm: str | None = None, form: str = "yaml") -> str:
    """The best config of a sweep, or another arm of its front, in one of `forms.FORMS`; written to `path` if one is given.

    Raises:
        InfraError: no such sweep, it has no answer yet, or its front has no such arm. SpecError: it cannot be written in this form.
    """
    home = Home.open(home)
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        row = catalogue.seen(name)
        if row.answer is None:
            raise InfraError(f"An export needs an answer; {without_answer(row, home)}")
        answer = Answer.from_dict(row.answer)
        found = best_spec(name, row, answer if arm is None else of_arm(answer, arm), catalogue.members(name, Phase.CONFIRM))
        if arm is not None and arm != answer.recommended_arm:
            found["provenance"] |= {"answer": _of_the_front(answer, arm), "verdict": f"{answer.verdict_word} (of arm {answer.arm})"}
        text = forms.written(found, row.spec.get("search") or {}, form)
    if path is not None:
        write(Path(path), text)
    return text


def of_arm(answer: Answer, arm: str) -> Answer:
    """The answer with another arm of its front as the recommended one, and the promise of that arm.

    Raises:
        InfraError: the front has no such arm.
    """
    points = answer.front.points if answer.front is not None else []
    point = next((one for one in points if one.arm == arm), None)
    if point is None:
        known = f"one of {', '.join(one.arm for one in points)}" if points else "left out, because this sweep has no front"
        raise InfraError(f"--arm must be {known}; got {arm!r}.")
    value = point.values[answer.score_name]
    half = _of_one_seed(value)
    promise = Promise(value.mean, value.mean - half, value.mean + half, value.seeds)
    return replace(answer, recommended_arm=arm, recommended=dict(point.config), recommended_schedule={}, promise=promise)


def _of_the_front(answer: Answer, arm: str) -> str:
    """What is known of a point of the front that is not the recommended one."""
    point = answer.front.point(arm) if answer.front is not None else None
    values = "; ".join(f"{name} {value.words()}" for name, value in point.values.items()) if point is not None else ""
    return f"Arm {arm} of the front: {values}. Recommended was arm {answer.recommended_arm}."


def _of_one_seed(mean: Interval) -> float:
    """Half the width of the 95 % prediction interval of one new seed, t s √(1 + 1/S), from that of the mean, t s/√S."""
    return (mean.high - mean.low) / 2 * math.sqrt(1 + mean.seeds)


def export_all(folder: str | Path, *, home: HomeLike | None = None) -> list[Path]:
    """Write one file for the best config of each objective, model and data set into `folder`.

    Where scores of one of them cannot be compared, each has a file, with its sweep in the name.
    """
    home = Home.open(home)
    written, rows = [], best(home=home)
    for row in rows:
        several = sum(other.what == row.what for other in rows) > 1
        parts = (*row.what, row.sweep if several else "")
        stem = "-".join(part.replace(":", ".").replace("/", ".") for part in parts if part)
        path = Path(folder) / f"{stem}.yaml"
        export(row.sweep, path, home=home)
        written.append(path)
    return written


def best(objective: str | None = None, dataset: str | None = None, *, home: HomeLike | None = None) -> list[BestRow]:
    """The best λ of every objective, model and data set: from the answered sweep whose recommended config scores best.

    Scores that cannot be compared (another likelihood, metric, data, number of epochs) are rows of their own.
    """
    home = Home.open(home)
    found: dict[tuple[str, ...], BestRow] = {}
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        for row in catalogue.sweeps():
            if row.answer is None or (objective and row.objective != objective) or (dataset and row.dataset != dataset):
                continue
            answer = Answer.from_dict(row.answer)
            scale = {**measured_by(row.spec, row.facts), "score": answer.score_label or answer.score_name}
            key = (row.objective, row.model, row.dataset, json.dumps(scale, sort_keys=True))
            rival = found.get(key)
            if rival is None or lowered(answer.promise.mean - rival.answer.promise.mean, answer.better) < 0:
                found[key] = BestRow(row.objective, row.model, row.dataset, row.name, answer.score_name, answer, row.spec, scale)
    return sorted(found.values(), key=lambda row: (row.objective, row.model, row.dataset, row.sweep))


@without_collections()
def write_reports(
    name: str,
    spec: Spec,
    answer: Answer,
    table: Sequence[Row],
    catalogue: Catalogue,
    home: Home,
    status: str,
    members: Sequence[MemberRow] | None = None,
) -> list[Path]:
    """Write the exported config, the answer, the λ curve, and quality against cost (if the objective trades them). Returns their paths.

    `status` is how the sweep ends: the catalogue says so only after its files are there. `members` are its rows, where they are known.
    """
    from search.telling import view
    from search.telling.files import report
    from search.telling.pictures import front, lambda_curve, strip

    folder = home.reports(name)
    row, members = replace(catalogue.sweep(name), status=status), catalogue.members(name) if members is None else members
    exported, stored, picture = folder / "best.yaml", folder / "answer.json", folder / "curve.png"
    config = forms.written(best_spec(name, row, answer, members), row.spec.get("search") or {})
    write(exported, config)
    write(stored, json.dumps(answer.to_dict(), indent=2) + "\n")
    title = " · ".join(part for part in (spec.objective, spec.model, spec.dataset.name) if part and part != "none")
    lambda_curve.draw(answer, table, picture, f"{title}: {answer.verdict_word}")
    trade = getattr(spec.trained, "trade", None)
    shown = strip.write(name, spec, answer, members, home)  # before the report, which embeds it
    whole = report.write(view.read(row, members, catalogue, home, config, answer, trade), folder / "report.html")
    drawn = [exported, stored, picture, *shown, whole]
    if answer.front is not None and len(answer.front.metrics) == 2:  # of more there is no one picture
        named = f"{title}: {' and '.join(answer.front.metrics)}"
        drawn.append(front.draw(answer, answer.front, table, folder / "front.png", named))
    return drawn + (_write_trade(folder, title, answer, table, trade, members) if trade else [])


def _write_trade(
    folder: Path, title: str, answer: Answer, table: Sequence[Row], trade: tuple[str, str, str], members: Sequence[MemberRow]
) -> list[Path]:
    """Write quality against cost of the confirmed arms; nothing where none was confirmed."""
    from search.telling.pictures import pareto

    metrics = {member.number: member.metrics for member in members}
    found = pareto.points(table, metrics, trade)
    if not found:
        return []
    budget = next((one[trade[2]] for one in metrics.values() if trade[2] in one), None)
    listed, picture = folder / "pareto.csv", folder / "pareto.png"
    write(listed, pareto.table(found, answer, trade))
    return [listed, pareto.draw(found, answer, picture, trade, budget, f"{title}: {trade[0]} against {trade[1]}")]


def to_yaml(mapping: Mapping[str, Any]) -> str:
    """YAML in the order of the spec. Floats are written so that every YAML reader reads them as floats."""
    return yaml.safe_dump(dict(mapping), sort_keys=False, allow_unicode=True, width=120)


def write(path: Path, text: str) -> None:
    """Write a text completely or not at all."""
    with replaced(path) as beside:
        beside.write_text(text, encoding="utf-8")
