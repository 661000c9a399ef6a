"""A program as an objective, in any language: a command that trains once, with one config and one seed, and says numbers.

    objective: command
    command: "{python} train.py --beta {beta} --lr {lr} --seed {seed} --epochs {epochs} --out {folder}"
    knobs: {beta: {low: 0.01, high: 10, log: true, off: 1}, lr: {low: 1e-4, high: 1e-2, log: true}}
    read: {lines: 'epoch (?P<epoch>\\d+) .*val=(?P<val_nll>\\S+)'}
    score: {name: val_nll, better: lower}

What stands in braces is replaced: a knob, `seed`, `epochs`, `folder` (the member's own, which survives a kill), `resume` (true where the
member was under way before: what the program has kept is in `folder`), `device`, `threads`, `port` (a free one), `number`, `python` (the
interpreter that runs the worker, whatever `python` means in its shell), and `args` (all knobs as --name=value). No shell reads the command,
unless `shell: true` says so; values are quoted there.

The program is the same process group as all that it starts, and is killed with it. Its surroundings are those of the worker, with
`CUDA_VISIBLE_DEVICES` as Ray gives it.
"""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from objectives.base import Config, Knob, Member, ObjectiveError, Settings, Value
from objectives.checks.device import device_of
from objectives.programs.declared import TAKEN, Declared, checked, knob
from objectives.programs.journal import told
from objectives.programs.log import LOG, Log
from objectives.programs.numbers import Numbers, read_faults
from objectives.programs.objective import ProgramObjective, made
from objectives.programs.process import MemberProcess
from objectives.programs.run import ProcessRun
from objectives.programs.trial import FILES

FIRST_EPOCH = "first_epoch"  # the file that keeps from where a program counts its epochs
SHOWN = 40  # characters of a command that a message shows
_BRACES = re.compile(r"\{\{|\}\}|(?<!\$)\{(\w+)\}")
_OURS = ("seed", "epochs", "folder", "resume", "device", "threads", "port", "number", "python", "args")
_KNOB = ("low", "high", "choices", "log", "integer", "off", "default", "more", "unit", "summary")


class Command(ProgramObjective):
    """A command that is run once for each member."""

    argv: ClassVar[str | Sequence[str]] = ""
    shell: ClassVar[bool] = False
    reading: ClassVar[Mapping[str, str]] = {}
    how_to_prove: ClassVar[str] = "a program cannot show it; see to it that what it reports has no term that λ weighs"
    how_to_end: ClassVar[str] = "; {epochs} in the command tells it how many there are"
    how_to_seed: ClassVar[str] = "Pass {seed} to the program, and seed with it whatever draws the random numbers."

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._listened: dict[int, Numbers] = {}  # by member: what was found in what it said

    def starts(self, member: Member, folder: Path, again: bool, epochs: int, asked: Sequence[Config]) -> MemberProcess:
        """Start the program."""
        values: dict[str, Value] = {
            **member.config,
            "seed": member.seed,
            "epochs": epochs,
            "folder": str(folder / FILES),
            "resume": "true" if again else "false",
            "device": device_of(self.settings.device),
            "threads": self.settings.threads,
            "port": _free_port(),
            "number": member.number,
            "python": sys.executable,
        }
        request = {"argv": filled(self.argv, values, member.config, self.shell), "environment": dict(member.environment)}
        count = len(told(folder)) if again and "resume" in self._named else 0
        numbers = Numbers(self.reading, self.declared.score, folder / FILES, epochs, count=count, note=folder / FIRST_EPOCH)
        self._listened[member.number] = numbers
        return MemberProcess(self.host, request, Log(folder / LOG), numbers)

    def short(self, member: Member, epochs: int, asked: Sequence[Config]) -> ProcessRun:
        """A training of so many epochs at most. A program that is not told how many it trains goes on, until it is ended."""
        return super().short(member, epochs if "epochs" in self._named else self.settings.epochs, asked)

    @property
    def _named(self) -> set[str]:
        """What stands in braces in the command."""
        return {match[1] for match in _BRACES.finditer(_title(self.argv)) if match[1]}

    def explain(self, member: Member) -> str:
        """What was looked for, and what was found instead."""
        kind, what = next(iter(self.reading.items()), ("", ""))
        looked = f"read.{kind} '{what}'" if kind else "JSON objects, one in a line of standard output,"
        numbers = self._listened.get(member.number)
        if numbers is not None and numbers.odd is not None:
            return f": it must be a number; {looked} found {self.declared.score} = {numbers.odd!r:.100}"
        if numbers is not None and numbers.others:
            return f": {looked} found {', '.join(sorted(numbers.others)):.200}, and not the score"
        return f": {looked} found nothing"

    def how_to_test(self, name: str) -> str:
        """How a program reports its score on the test split."""
        return f"report {name} beside the score to see it."


def program(given: Mapping[str, Any] | None) -> type[ProgramObjective]:
    """The objective class of a declaration: the keys command, shell, knobs, read, score and metrics of a spec.

    Raises:
        ObjectiveError: with all that is wrong with the declaration.
    """
    if given is None:
        raise ObjectiveError("objective: command must have the keys command, knobs and score beside it. See `lagrange init --command`.")
    faults = [*_command_faults(given), *read_faults(given.get("read"), _score(given))]
    knobs, more = _knobs(given.get("knobs") or {})
    try:
        declared = Declared(_score(given), _better(given), 20, knobs, given.get("metrics") or {}, _between(given))
        checked(declared, "command")
    except ObjectiveError as error:
        more = [*more, *str(error).splitlines()]
    if faults or more:
        raise ObjectiveError("\n".join([*faults, *more]))
    whole = _title(given["command"])
    title = f"the command `{whole[:SHOWN] + '…' if len(whole) > SHOWN else whole}`"
    return made(
        Command,
        declared,
        title,
        argv=given["command"],
        shell=bool(given.get("shell")),
        reading=given.get("read") or {},
        __doc__=f"The command {whole}.",
    )


def _score(given: Mapping[str, Any]) -> str:
    score = given.get("score")
    return str(score.get("name", "")) if isinstance(score, Mapping) else ""


def _better(given: Mapping[str, Any]) -> Any:
    return given["score"].get("better", "lower") if isinstance(given.get("score"), Mapping) else "lower"


def _between(given: Mapping[str, Any]) -> Any:
    return given["score"].get("between") if isinstance(given.get("score"), Mapping) else None


def _title(command: str | Sequence[str]) -> str:
    return command if isinstance(command, str) else shlex.join(command)


def _knobs(given: Mapping[str, Any]) -> tuple[dict[str, Knob], list[str]]:
    """The knobs, and what is wrong with their form."""
    found, faults = {}, []
    for name, fields in given.items():
        if not isinstance(fields, Mapping):
            faults.append(f"knobs.{name} must be a mapping such as {{low: 0.01, high: 10, log: true, off: 1}}; got {fields!r}.")
            continue
        strange = [key for key in fields if key not in _KNOB]
        faults += [f"a key of knobs.{name} must be one of {', '.join(_KNOB)}; got {key!r}." for key in strange]
        try:
            found[str(name)] = knob(**{key: value for key, value in fields.items() if key in _KNOB})
        except (TypeError, OverflowError):
            faults.append(f"knobs.{name} must have numbers as low, high, off and default; got {dict(fields)!r:.200}.")
    return found, faults


def _command_faults(given: Mapping[str, Any]) -> list[str]:
    command, knobs = given.get("command"), given.get("knobs") or {}
    if not command:
        return ["command must be given: the program and its arguments, such as `{python} train.py --beta {beta} --seed {seed}`."]
    text = _title(command)
    named = {match[1] for match in _BRACES.finditer(text) if match[1]}
    faults = [
        f"what stands in braces in command must be a knob or one of {', '.join(_OURS)}; got {{{name}}}. Declare it under knobs, or write "
        f"{{{{{name}}}}} for the text itself."
        for name in sorted(named - set(knobs) - set(_OURS))
    ]
    ours = [name for name in _OURS if name in knobs and name not in TAKEN]
    faults += [f"a knob must not be called {name!r}, which means something else in a command. Rename it." for name in ours]
    if "args" not in named and (missing := [name for name in knobs if name not in named]):
        faults.append(f"command must use every declared knob; it lacks {', '.join(f'{{{name}}}' for name in missing)}. Or write {{args}}.")
    if "seed" not in named:
        faults.append("command must use {seed}: confirmation trains the same config with several seeds.")
    if faults or given.get("shell"):
        return faults
    try:
        first = shlex.split(text)[0] if isinstance(command, str) else command[0]
    except ValueError as error:
        return [f"command must be words as a shell would read them; {error}: {command!r}."]
    if not _BRACES.search(first) and shutil.which(first) is None:
        script = Path(first).is_file()
        why = f"is not executable. For a script write `{{python}} {first}`" if script else "is not found. Is it installed, and spelt so?"
        why += " {python} is the interpreter that runs Lagrange." if first.startswith("python") else ""
        faults.append(f"command must begin with a program that exists; {first!r} {why}")
    return faults


def filled(command: str | Sequence[str], values: Mapping[str, Value], knobs: Config, shell: bool) -> list[str]:
    """The program and its arguments, with the values in their places.

    Words are divided before values are filled in, so a value is never divided.
    """
    arguments = [f"--{name}={_text(value)}" for name, value in knobs.items()]
    if shell:
        quoted = {name: shlex.quote(_text(value)) for name, value in values.items()}
        return ["/bin/sh", "-c", _filled(_title(command), {**quoted, "args": shlex.join(arguments)})]
    words = shlex.split(command) if isinstance(command, str) else list(command)
    whole = {**{name: _text(value) for name, value in values.items()}, "args": shlex.join(arguments)}
    return [part for word in words for part in (arguments if word == "{args}" else [_filled(word, whole)])]


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _BRACES.sub(lambda match: values[match[1]] if match[1] else match[0][0], text)


def _text(value: Value) -> str:
    return repr(value) if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
