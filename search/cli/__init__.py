"""The command `lagrange`: it only parses and prints. What it does is in `search` and `infra`.

Exit codes are in `search/exit_codes.py`.
Everything heavy is imported inside the commands, so that `lagrange --help` costs a tenth of a second.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from infra.environment import FILE
from infra.storage import folder
from infra.storage.hints import here
from search.cli import exists, export, look, planning, reporting, starting, submit, submitted, sweep, watching
from search.cli.shared import load_environment, print_error
from search.exit_codes import FAILED, INTERRUPTED, MISTAKE, OK, STORE_GONE

# A user's mistakes, by module and class. They are looked up among the loaded modules, so that catching them imports nothing.
_MISTAKES = (
    ("search.errors", "SpecError"),
    ("objectives.base", "ObjectiveError"),
    ("infra.errors", "InfraError"),  # and those that derive from it
    ("search.choosing.answer", "SelectionError"),
)
# Exceptions that typer itself turns into an exit code. Typer has its own copy of click since 0.2x; its classes are reached through typer.
_CLICKS = tuple(cls for cls in typer.BadParameter.__mro__ if cls not in (Exception, BaseException, object))
_TYPERS: tuple[type[Exception], ...] = (typer.Exit, typer.Abort, *_CLICKS)
_EPILOG = (
    "Exit codes: 0 done, 1 the sweep or training failed, 2 your mistake (nothing was started), 3 a store is gone (resume goes on), "
    "4 another driver took over, 130 interrupted. LAGRANGE_HOME sets --home."
)


class _Group(TyperGroup):
    """Prints a user's mistake as short red lines. `--debug`, anywhere on the line, shows the traceback instead."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj = {"debug": "--debug" in args or bool(os.environ.get("LAGRANGE_DEBUG"))}
        if "--no-own-code" in args:
            os.environ["LAGRANGE_NO_OWN_CODE"] = "1"  # the processes that this one starts obey it too
        return super().parse_args(ctx, [arg for arg in args if arg not in ("--debug", "--no-own-code")])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _TYPERS:
            raise
        except KeyboardInterrupt:
            print_error("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output has closed it (`lagrange ls | head`).
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OK) from None
        except Exception as error:
            if ctx.obj["debug"]:
                traceback.print_exception(error)
            raise typer.Exit(_told(error, ctx.obj["debug"])) from None


def _told(error: Exception, debug: bool) -> int:
    """Print an error for people, and return the exit code."""
    if said := folder.gone():  # what fails then fails by that, whatever it says
        print_error(f"{said}, and run this again. A sweep that had begun goes on with: lagrange resume NAME")
        return STORE_GONE
    if any(isinstance(error, cls) for cls in _loaded_mistakes()):
        for line in getattr(error, "faults", None) or [str(error)]:
            print_error(line)
        return STORE_GONE if type(error).__name__ in ("StoreGone", "StorageError") else MISTAKE
    if isinstance(error, OSError) and isinstance(error.filename, str) and (said := _unwritable(error)):
        print_error(said)
        return MISTAKE
    print_error(f"{type(error).__name__}: {error}")
    if not debug and not isinstance(error, OSError):
        print_error("This is a fault of Lagrange or of an objective, not of your command; run it again with --debug for the traceback.")
    return FAILED


def _unwritable(error: OSError) -> str:
    """The sentence, where a command could not write a file because its disk is full or read-only; else nothing."""
    from pathlib import Path

    from infra.storage import disk

    said = disk.fault(error, [Path(os.path.abspath(os.sep))])  # noqa: PTH100 - whichever file it is
    return f"{said}." if said else ""


def _loaded_mistakes() -> Iterator[type[BaseException]]:
    for module, name in _MISTAKES:
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type):
            yield found


app = typer.Typer(
    cls=_Group,
    help="Which λ is best for this model, with what certainty, and was it worth it. Start with `lagrange sweep`.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lagrange {version('lagrange-search')}")
        raise typer.Exit(OK)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
    no_own_code: Annotated[
        bool, typer.Option("--no-own-code", help="Refuse every spec that names code of a user's own, and commands; may stand anywhere.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)] = False,
) -> None:
    del debug, no_own_code, version
    load_environment(os.environ.get(FILE))


_COMMANDS: dict[str, Callable[..., None]] = {
    "init": starting.init,
    "sweep": sweep.sweep,
    "plan": planning.plan,
    "resume": sweep.resume,
    "watch": watching.watch,
    "submit": submit.submit,
    "jobs": submitted.jobs,
    "logs": submitted.logs,
    "stop": submitted.stop,
    "ls": look.list_sweeps,
    "show": look.show,
    "best": look.best,
    "report": reporting.report,
    "query": reporting.query,
    "compare": reporting.compare,
    "ui": look.ui,
    "rm": look.rm,
    "export": export.export,
    "train": export.train,
    "register": export.register,
    **exists.LISTINGS,
    "check": exists.check,
    "convert": exists.convert,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """The console script. It puts the current folder on the path: a user's own `module:Class` lies there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal, a pipe or a batch system may know no λ
            stream.reconfigure(errors="backslashreplace")
    folder = here()
    if folder is None:
        typer.echo("The current folder must exist; it was removed. Go to another one (cd), and run this again.", err=True)
        sys.exit(MISTAKE)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        app(prog_name="lagrange")
    finally:
        gc.freeze()  # else the interpreter looks through half a million objects, several times, before it ends
