"""`lagrange init`: a commented file to begin with."""

from __future__ import annotations

import keyword
import re
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from objectives.base import ObjectiveError
from search.cli.shared import asking

STARTERS = Path(__file__).parent / "starters"


class Kind(StrEnum):
    """What a user has."""

    FUNCTION = "function"
    COMMAND = "command"
    MODULE = "module"
    DATA = "data"


class Better(StrEnum):
    """Which way a score is better."""

    LOWER = "lower"
    HIGHER = "higher"


_FILES = {Kind.FUNCTION: "mine.py", Kind.COMMAND: "sweep.yaml", Kind.MODULE: "mine.py", Kind.DATA: "mine.py"}
_OWN = (Kind.FUNCTION, Kind.COMMAND)  # what a user trains
_WHAT = {
    Kind.FUNCTION: "a training loop in Python",
    Kind.COMMAND: "a script or program that stays as it is, in any language",
    Kind.MODULE: "a model for one of our families",
    Kind.DATA: "images or a table for one of our families",
}
_NEXT = {
    Kind.FUNCTION: ("python {file}", "lagrange sweep {file}"),
    Kind.COMMAND: ("lagrange check {file}", "lagrange sweep {file}"),
    Kind.MODULE: ("lagrange check vae --model {stem}:model", "lagrange sweep vae --model {stem}:model"),
    Kind.DATA: ("lagrange sweep vae --dataset {stem}:images",),
}


def init(
    kind: Annotated[Kind | None, typer.Option(help="; ".join(f"{one}: {words}" for one, words in _WHAT.items()) + ".")] = None,
    score: Annotated[str | None, typer.Option(help="The number that decides, of a function or a command.")] = None,
    better: Annotated[Better | None, typer.Option(help="Which way it is better.")] = None,
    knob: Annotated[str | None, typer.Option(help="The first λ to search, of a function or a command.")] = None,
    file: Annotated[str | None, typer.Option(help="The file to write (default: mine.py, or sweep.yaml for a command).")] = None,
) -> None:
    """Write a commented starter into the current folder. Asks three questions, unless the options answer them."""
    with asking("Give --kind, --score and --knob, as: lagrange init --kind function --score val_loss --knob weight_decay"):
        kind, score, knob = _asked(kind, file, score, knob)
    path, own = _path(kind, file), kind in _OWN
    better = better or (Better.HIGHER if re.search(r"acc|auc|f1|psnr|ssim|r2|inception", score) else Better.LOWER)
    written = starter(kind, path, score, better, knob)
    path.write_text(written, encoding="utf-8")
    typer.echo(f"wrote {path}; {score}: {better} is better" if own else f"wrote {path}")
    typer.echo("next:" if kind is not Kind.COMMAND else f"next, when `command` in {path} runs your program (train.py stands for it):")
    for line in _NEXT[kind]:
        typer.echo(f"  {line.format(file=path, stem=path.stem)}")


def _asked(kind: Kind | None, file: str | None, score: str | None, knob: str | None) -> tuple[Kind, str, str]:
    """What the options say, and the answers to what they leave open."""
    kind = kind or _asked_kind()
    _path(kind, file)  # refused before more is asked
    own = kind in _OWN
    score = score or (typer.prompt("The number that decides, after each epoch", default="val_loss") if own else "val_loss")
    knob = knob or (typer.prompt("The regularization to search", default="weight_decay") if own else "weight_decay")
    return kind, str(score), str(knob)


def _path(kind: Kind, file: str | None) -> Path:
    """The file to write. Raises ObjectiveError where it is there already."""
    path = Path(file or _FILES[kind])
    if path.exists():
        raise ObjectiveError(f"{path} must not exist yet, so that nothing of yours is lost; it does. Give another --file.")
    return path


def _asked_kind() -> Kind:
    for place, (one, words) in enumerate(_WHAT.items(), 1):
        typer.echo(f"{place}. {one}: {words}")
    known = {str(place): one for place, one in enumerate(Kind, 1)} | {str(one): one for one in Kind}
    chosen = str(typer.prompt("What do you have? Its number", default="1"))
    if chosen not in known:
        raise ObjectiveError(f"the answer must be one of {', '.join(known)}; got {chosen!r}.")
    return known[chosen]


def starter(kind: Kind, path: Path, score: str, better: Better, knob: str) -> str:
    """The text of a starter.

    Raises:
        ObjectiveError: a name cannot be one.
    """
    from objectives.programs.declared import name_faults  # here, because `lagrange --help` needs none of it

    faults = [f"--knob: {fault}" for fault in name_faults(knob)]
    if not score.isidentifier() or keyword.iskeyword(score):
        faults.append(f"--score must be a Python name, such as val_loss; got {score!r}.")
    if score == knob:
        faults.append(f"--score and --knob must be two names; got {score!r} for both.")
    ends = (".yaml", ".yml") if kind is Kind.COMMAND else (".py",)
    if path.suffix not in ends:
        faults.append(f"--file must end in {' or '.join(ends)}, because `lagrange sweep` reads it so; got {str(path)!r}.")
    if faults:
        raise ObjectiveError("\n".join(faults))
    values = {
        "file": str(path),
        "stem": path.stem,
        "score": score,
        "better": str(better),
        "knob": knob,
        "sign": "-error" if better is Better.HIGHER else "error",
        "test": "test_" + score.removeprefix("val_"),
    }
    suffix = ".yaml.txt" if kind is Kind.COMMAND else ".py.txt"
    return Template((STARTERS / f"{kind}{suffix}").read_text(encoding="utf-8")).substitute(values)
