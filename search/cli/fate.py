"""What became of a driver on a cluster: its state, the reason and the exit code in our words, from what Ray says of its job."""

from __future__ import annotations

import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from search.exit_codes import FAILED, INTERRUPTED, MISTAKE, NOT_CONFIRMED, OK, REPLACED, STORE_GONE, UNCONFIRMED

if TYPE_CHECKING:
    from infra.ray.jobs import Job

_STATES: Final = {
    INTERRUPTED: "interrupted",
    MISTAKE: "refused",
    STORE_GONE: "interrupted",
    REPLACED: "taken over",
    NOT_CONFIRMED: UNCONFIRMED,
}
_OF_RAY: Final = {"PENDING": "waiting", "RUNNING": "running", "SUCCEEDED": "complete", "STOPPED": "stopped"}
_FAULT: Final = "This is a fault of Lagrange"  # the line below the reason


def status_of(job: Job) -> str:
    """The state of a job, in our words."""
    if job.status != "FAILED":
        return _OF_RAY.get(job.status, job.status.lower())
    return "interrupted" if signal_of(job) else _STATES.get(job.exit_code or 0, "failed")


def code_of(job: Job) -> int:
    """The exit code of a driver, as a command here has it. One that was killed has left its sweep as Ctrl-C does, without a word."""
    if job.status == "SUCCEEDED":
        return OK
    return INTERRUPTED if job.status == "STOPPED" or signal_of(job) else job.exit_code or FAILED


def signal_of(job: Job) -> str:
    """The signal that ended a driver; empty where none did. Ray has it as -9, a shell as 137, and what is cut to a byte as 247."""
    code = job.exit_code or 0
    number = -code if code < 0 else 256 - code if code > 192 else code - 128 if 128 < code != INTERRUPTED else 0
    if not number:
        return ""
    with suppress(ValueError):
        return f"signal {number} ({signal.Signals(number).name})"
    return f"signal {number}"


def why(job: Job, address: str) -> str | None:
    """Why a driver failed, in a sentence; None where it did not."""
    if job.status != "FAILED":
        return None
    go_on = f"Go on with: lagrange resume {job.sweep} --address {address}"
    if found := signal_of(job):
        kill = ": somebody ended it, or its machine had no memory left" if "SIGKILL" in found else ""
        return f"the driver was ended by {found}{kill}. Nothing that ended in the sweep is lost. {go_on}"
    lines = [line.strip() for line in job.message.splitlines() if line.strip() and not line.startswith(_FAULT)]
    said = re.compile(rf"{re.escape(job.sweep)}\S*{': ' if job.exit_code == REPLACED else '( failed: | was | ended, | stopped: )'}")
    reasons = [line for line in lines if said.match(line)]
    if job.exit_code is None:  # Ray has seen no end: the one who looked after the driver has failed, or the job did not begin
        return f"Ray says: {lines[0] if lines else 'nothing'}. {go_on}"
    told = reasons or lines
    return told[-1] if told else None
