"""Trained models back, as modules: of a sweep, of one member, of a folder, of MLflow's registry."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.catalogue import Catalogue, MemberRow, SweepRow, config_hash
from infra.errors import InfraError
from infra.storage import Home, HomeLike, there
from infra.storage.hints import command
from infra.storage.whereabouts import not_here
from infra.tracking.registry import SCHEME, Registry
from objectives.base import ObjectiveError, Phase, State
from search.asking.space import OFF_ARM
from search.choosing.answer import Answer
from search.spec.reading import read
from search.telling.files.exports import CONFIG, best_spec, to_yaml, write
from search.telling.promised import without_answer

if TYPE_CHECKING:
    from objectives.trained import TrainedModel

WEIGHTS, BESIDE = "weights.safetensors", "evaluation.safetensors"


def load(target: str | Path, *, home: HomeLike | None = None) -> TrainedModel:
    """A trained model, in evaluation mode on the CPU: `encode, decode, sample, reconstruct` for images (n, C, H, W) in [0, 1].

    Args:
        target: `NAME` is the confirmed training of a sweep's recommended config that scored best. Its score is that of a lucky seed: what a
            new training will reach is the promise. `NAME/25` is a member. A folder is what `lagrange train` or `export --weights` wrote; a
            file of weights may be named, too. `models:/NAME@champion` is in MLflow's registry (`lagrange register`).
        home: where the sweeps are kept (default: ./mlflow_runs).

    Raises:
        InfraError: no such sweep, member or file, or it has no weights. ObjectiveError: no network is known, or the weights do not fit it.
    """
    path = Path(target)
    if str(target).startswith(SCHEME):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps what is mapped
            return of_folder(Registry(Home.open(home)).fetched(str(target), Path(folder)))
    if path.suffix == ".safetensors" or (there(path) and path.is_dir()):
        return of_folder(path)
    home = Home.open(home)
    name, member = found(str(target), home)
    return of_member(home, name, member)


def of_folder(path: Path) -> TrainedModel:
    """The model of a folder with weights, or of a file of weights. Raises what `load` raises."""
    from objectives.trained import load as trained

    weights = path / WEIGHTS if path.is_dir() else path
    if not weights.is_file():
        raise InfraError(f"A model needs its weights; there is no {weights}. A folder with a model is what `lagrange train` writes.")
    told = weights.parent / CONFIG
    if not told.is_file():
        return trained(weights)
    spec = read(told, purpose="train", remote=True)  # the data need not be here
    return trained(weights, spec.trained, spec.settings(), called=spec.objective)


def of_member(home: Home, name: str, member: MemberRow) -> TrainedModel:
    """The model of a member with weights. Raises what `load` raises."""
    from objectives.trained import load as trained

    with Catalogue(home.catalogue_url, create=False) as catalogue:
        spec = read(catalogue.sweep(name).spec, remote=True)
    return trained(weights_of(home, name, member), spec.trained, spec.settings(), member.config, spec.objective)


def weights_of(home: Home, name: str, member: MemberRow) -> Path:
    """The weights of a member. Raises InfraError where it has none."""
    home, facts = _placed(home, name)
    weights = home.weights(name, member.number)
    if home.depot.fetch(weights, weights.with_name(BESIDE)).is_file():
        return weights
    number = f"{name}/{member.number}"
    remedy = f"Train it again: {command(f'train {number} -o FOLDER', home)}, then load the folder."
    if member.state != State.COMPLETE:
        raise InfraError(f"A model is what a complete training leaves; {number} ended {member.state or 'not yet'}. {remedy}")
    if why := not_here(home, name, facts):
        raise InfraError(f"A model needs its weights; of {number} none is found: {why}.")
    gone = member.phase == Phase.CONFIRM
    why = "its file is gone" if gone else f"it was trained in the {member.phase}, and only confirmed members keep theirs"
    raise InfraError(f"A model needs its weights; {number} has none: {why}. {remedy}")


def _placed(home: Home, name: str) -> tuple[Home, Mapping[str, Any]]:
    """The home with the storage of a sweep, and the sweep's facts."""
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        facts = catalogue.sweep(name).facts
        return home.placed(facts), facts


def files_of(weights: Path) -> list[Path]:
    """The files that a model is made of."""
    return [path for path in (weights, weights.with_name(BESIDE)) if path.is_file()]


def copied(home: Home, row: SweepRow, member: MemberRow, folder: Path) -> list[Path]:
    """Copy a member's model into a folder that needs nothing else: weights, what is kept beside them, and the spec. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [Path(shutil.copyfile(path, folder / path.name)) for path in files_of(weights_of(home, row.name, member))]
    spec: dict[str, Any] = dict(row.spec)
    if row.answer is not None:
        answer = Answer.from_dict(row.answer)
        exported = best_spec(row.name, row, answer, [])
        spec |= {"provenance": exported["provenance"]}
        promised = member.config_hash == config_hash(answer.recommended, answer.recommended_schedule)
        spec |= {"promise": exported["promise"]} if promised else {}
    moving = {"schedule": member.schedule} if member.schedule else {}
    write(folder / CONFIG, to_yaml({**spec, "search": {}, "points": [], "fixed": dict(member.config), **moving}))
    return [*files, folder / CONFIG]


def export_model(target: str, folder: Path, *, home: HomeLike | None = None, weights: bool = True, onnx: bool = False) -> list[str]:
    """Write the model of `NAME` or `NAME/25` into a folder: as weights with their spec, as ONNX, or both. Returns what was written.

    Raises:
        InfraError, ObjectiveError: what `load` raises; ONNX is not installed, or cannot hold the model.
    """
    from objectives import onnx_files

    if onnx and (why := onnx_files.missing()):
        raise ObjectiveError(why)
    home = Home.open(home)
    name, member = found(target, home)
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        row = catalogue.sweep(name)
    model = of_member(home, name, member)  # before anything is written
    said = []
    if weights:
        said += [str(path) for path in copied(home, row, member, folder)]
        write(folder / "README.md", _readme(name, row, member))
        said.append(str(folder / "README.md"))
    for one in onnx_files.write(model, folder) if onnx else ():
        said.append(f"{one.file} (onnxruntime and torch differ by {one.difference:.2g} at most)")
    return said


def _readme(name: str, row: SweepRow, member: MemberRow) -> str:
    """Five lines on what is in a folder with a model."""
    told = Answer.from_dict(row.answer).sentence() if row.answer is not None else f"Member {member.number} of a sweep without an answer."
    return (
        f"# {row.objective} {row.model} on {row.dataset}: member {member.number} of the sweep {name}, seed {member.seed}\n"
        f"{told}\n"
        f"- `{CONFIG}`: the spec of the training; `lagrange train {CONFIG}` trains it anew.\n"
        f"- `{WEIGHTS}` (and `{BESIDE}`, where it is): what it has learned; loading executes nothing.\n"
        '- `model = search.load("this folder")`: `model.encode, decode, reconstruct, sample` for images (n, C, H, W) in [0, 1].\n'
    )


def found(target: str, home: Home) -> tuple[str, MemberRow]:
    """The sweep and the member that `NAME/25` or `NAME` means. Raises InfraError where there is none."""
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        name, slash, number = target.rpartition("/")
        if slash and number.isdecimal() and len(number) < 10:
            return name, catalogue.member(name, int(number))
        row = catalogue.seen(target)
        return target, best_of(row, catalogue.members(target), home)


def best_of(row: SweepRow, members: Sequence[MemberRow], home: Home, off: bool = False) -> MemberRow:
    """The confirmed training of the recommended config, or of the off arm's, with the best score. Raises InfraError where there is none."""
    if row.answer is None:
        raise InfraError(f"A sweep's model is that of its answer; {without_answer(row, home)}")
    answer = Answer.from_dict(row.answer)
    complete = [one for one in members if one.phase == Phase.CONFIRM and one.state == State.COMPLETE and one.score is not None]
    wanted = _final_off(complete) if off else config_hash(answer.recommended, answer.recommended_schedule)
    home = home.placed(row.facts)
    fitting = [one for one in complete if one.config_hash == wanted]
    mine = [one for one in fitting if home.depot.has(home.weights(row.name, one.number))]
    if not mine:
        which = "off arm" if off else "recommended config"
        raise InfraError(f"No confirmed training of the {which} of {row.name!r} has weights: {_why_none(row, fitting, home)}.")
    return min(mine, key=lambda one: (one.score, one.number))  # in the catalogue lower is better, always


def _why_none(row: SweepRow, fitting: Sequence[MemberRow], home: Home) -> str:
    """Why no training of a config has weights, and what to do."""
    if fitting and (why := not_here(home, row.name, row.facts)):
        return why
    own = home.own(row.name, fitting[0].number) if fitting else None
    if own is not None and home.depot.tree(own):
        return (
            f"{row.objective} trains by itself and handed none over. A function hands them by trial.finish(weights=model.state_dict()); "
            f"what a training has written by itself is in {own}"
        )
    export, train = command(f"export {row.name} -o best.yaml", home), command("train best.yaml -o FOLDER", home)
    why = "its files are gone" if fitting else "none completed (confirm.seeds 0 trains none)"
    return f"{why}. Train it: {export} && {train}, then load the folder"


def _final_off(complete: Sequence[MemberRow]) -> str:
    """The hash of the off arm's config that came to the final round: the one that was confirmed most often; empty where there is none."""
    off = [one.config_hash for one in complete if one.arm == OFF_ARM]
    return max(off, key=off.count, default="")
