"""A user's function as an objective.

    @objective(score="val_nll", better="lower", epochs=20, beta=knob(0.01, 10, log=True, off=1.0))
    def train(trial): ...

`lagrange sweep mine.py` searches it. `python mine.py --beta 2` runs it once, without a search around it.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import runpy
import secrets
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from objectives.base import Better, Config, Knob, Member, ObjectiveError
from objectives.programs.declared import Between, Declared, checked
from objectives.programs.log import LOG, Log
from objectives.programs.objective import ProgramObjective, made
from objectives.programs.process import MemberProcess
from objectives.programs.trial import Alone, Request, Stop, Trial
from objectives.traces import last_line, shown


class Training:
    """A user's function with its declaration. It can still be called with a trial."""

    def __init__(self, function: Callable[[Any], Any], declared: Declared) -> None:
        self.declared, self._function = declared, function
        self.__name__, self.__doc__, self.__module__ = function.__name__, function.__doc__, function.__module__

    def __call__(self, trial: Any) -> Any:
        """Train."""
        return self._function(trial)

    def as_objective(self, title: str) -> type[ProgramObjective]:
        """The objective class; `title` is how a spec names the function."""
        return made(FunctionObjective, self.declared, title, function=title, training=self, __doc__=self.__doc__)

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Train once, without a search, with knobs from the command line: `--beta 2 --seed 1 --epochs 5`."""
        given = vars(_parser(self).parse_args(arguments))
        seed, epochs, device, folder = (given.pop(name) for name in ("seed", "epochs", "device", "folder"))
        place = Path(folder or tempfile.mkdtemp(prefix=f"{self.__name__}-"))
        request = Request(0, given, seed, epochs, self.declared.score, place, "retrain", device)
        try:
            self._function(Trial(request, Alone(self.declared.score)))
        except Stop:
            return
        except ObjectiveError as error:
            sys.exit(f"{last_line(error)}{self.__name__}: {error}")
        if any(place.rglob("*")):
            print(f"files are in {place}")


def objective(
    *,
    score: str,
    better: Better = "lower",
    between: Between | None = None,
    epochs: int = 1,
    metrics: Mapping[str, Better] | None = None,
    **knobs: Knob,
) -> Callable[[Callable[[Any], Any]], Training]:
    """Make a function of one trial an objective.

    Args:
        score: the metric that decides; `trial.report` gets it after every epoch. It must not contain a λ.
        better: which way it is better.
        between: the least and the greatest value that it can have: `(0, 1)` of an accuracy, `(0, None)` of a squared error. Nothing beyond
            is promised, and a training that reports a score beyond fails.
        epochs: how many epochs a training has, where a spec does not say.
        metrics: other metrics that a spec may ask for or constrain, each with the direction that is better.
        knobs: by name, each made by `knob`.

    Raises:
        ObjectiveError: the declaration has faults (all are listed), or the function does not take one trial.
    """

    def decorate(function: Callable[[Any], Any]) -> Training:
        declared = checked(Declared(score, better, epochs, dict(knobs), dict(metrics or {}), between), function.__name__)
        _takes_a_trial(function)
        training = Training(function, declared)
        if function.__module__ == "__main__":
            _run_as_script(training)
        return training

    return decorate


def _takes_a_trial(function: Callable[[Any], Any]) -> None:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        given = str(inspect.signature(function))
        raise ObjectiveError(f"{function.__name__} must take one argument, the trial; it is {function.__name__}{given}.") from None


def _run_as_script(training: Training) -> None:
    """`python mine.py`: train once with what the command line says.

    The file is executed as a module first, so that names below the function exist. A file that says itself what happens when it is run
    (`if __name__ == "__main__"`) is left alone; it may call `main`.
    """
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or not Path(file).is_file() or _has_a_main(Path(file)):
        return
    whole = runpy.run_path(file, run_name=Path(file).stem)
    try:
        whole[training.__name__].main()
    except Exception as error:
        print(shown(error), end="", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def _has_a_main(file: Path) -> bool:
    tests = [ast.unparse(node.test) for node in ast.parse(file.read_text()).body if isinstance(node, ast.If)]
    return any("__name__" in test and "__main__" in test for test in tests)


def _parser(training: Training) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=training.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, one in training.declared.named.items():
        kind: Any = _choice(one) if one.choices else int if one.integer else float
        words = f"{one.summary}; {f'off: {one.off}' if one.off is not None else 'a nuisance knob'}".replace("%", "%%")
        parser.add_argument(
            *dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}")), dest=name, type=kind, default=one.default, help=words
        )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1000), help="the seed of the training")
    parser.add_argument("--epochs", type=int, default=training.declared.epochs, help="how many epochs")
    parser.add_argument("--device", default="cpu", help="torch's name of the device, or accelerator")
    parser.add_argument("--folder", help="where files of the training go; a training that was interrupted goes on from there")
    return parser


def _choice(one: Knob) -> Callable[[str], Any]:
    """The choice that a word on the command line names."""

    def choose(word: str) -> Any:
        known = {str(value): value for value in one.choices}
        if word not in known:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(known)}; got {word!r}")
        return known[word]

    return choose


class FunctionObjective(ProgramObjective):
    """A user's function that is trained once for each member, in a process of its own."""

    training: ClassVar[Training]
    how_to_prove: ClassVar[str] = "trial.finish(score_at=…) proves it"
    how_to_end: ClassVar[str] = ", or say that it is done with trial.finish()"
    how_to_seed: ClassVar[str] = "Seed whatever draws random numbers with trial.seed: torch.manual_seed(…), random_state=…"

    @classmethod
    def train(cls, trial: Trial) -> None:
        """Call the function: in the process of the member."""
        cls.training(trial)

    def starts(self, member: Member, folder: Path, again: bool, epochs: int, asked: Sequence[Config]) -> MemberProcess:
        """Start the process of a member."""
        request = Request(
            member.number,
            dict(member.config),
            member.seed,
            epochs,
            self.declared.score,
            folder,
            str(member.phase),
            self.settings.device,
            self.settings.threads,
            tuple(asked),
        )
        return MemberProcess(self.host, {"trial": request.plain()}, Log(folder / LOG))

    def how_to_test(self, name: str) -> str:
        """How the function reports its score on the test split."""
        return f"call trial.finish({name}=…) to see it."
