"""What a cluster's dashboard says, or that it says nothing, as sentences for people."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from infra.errors import InfraError, StoreGone
from infra.ray.addresses import which_token
from infra.storage import strip_password

NO_AGENT: Final = "No available agent"  # Ray's words
AGENT_S: Final = 60.0
"""A head that has just started lists jobs before its agent can start one."""
_AWAY: Final = {"ConnectionError", "Timeout", "TimeoutError", "ClientConnectionError"}  # of Python, requests and aiohttp


def again(sweep: str, address: str) -> str:
    """How a sweep goes on whose head has forgotten its jobs."""
    return f"submit its spec again under its name, and it goes on: lagrange submit SPEC --name {shlex.quote(sweep)} --address {address}"


def is_away(error: BaseException) -> bool:
    """Whether a connection ended before what it was for, or could not be made any more."""
    kinds = {cls.__name__ for cls in type(error).__mro__}
    return bool(kinds & _AWAY) or "closed unexpectedly" in str(error) or "WebSocket" in str(error)


@contextmanager
def answered(address: str, sweep: str = "", first: bool = False) -> Iterator[None]:
    """Turns what Ray's client raises into a sentence for people. `first`: nothing has answered there yet."""
    try:
        yield
    except InfraError:
        raise
    except Exception as error:
        raise sentence(address, error, sweep, first) from None


def sentence(address: str, error: Exception, sweep: str = "", first: bool = False) -> InfraError:
    """What people are told of an error of Ray's client."""
    name, said = type(error).__name__, strip_password(str(error)).strip().partition("\n")[0]
    if name == "AuthenticationError":
        return InfraError(
            f"The cluster at {address} wants a token, and {which_token()}. Set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN_PATH to a file that holds the token of the head node (there: ~/.ray/auth_token)."
        )
    if "require the ray[default]" in said:
        return InfraError("Jobs need Ray's client for them; it is not installed. Run: pip install 'lagrange-search[cluster]'")
    if NO_AGENT in said:
        return InfraError(
            f"The head node at {address} must have an agent that starts jobs; it had none for {AGENT_S:g} s. It is still starting, or its "
            "machine is very busy: submit again in a minute. Where that does not help, look into dashboard_agent.log there: another Ray "
            "of that machine may hold its port (ray start --head --dashboard-agent-listen-port=PORT)."
        )
    if "does not exist" in said:
        how = f" Nothing that ended is lost: {again(sweep, address)}" if sweep else ""
        return InfraError(f"The job must be on {address}; it is not there any more. The head node has forgotten it: {_short(said)}.{how}")
    if is_away(error) and not first:
        return StoreGone(
            f"The dashboard at {address} must answer; it does not any more ({_reason(error)}). Try again when its head node is up.",
            reason=_reason(error),
        )
    return InfraError(
        f"The dashboard of a Ray must answer at {address}; what listens there does not answer as one: {_short(said) or name}. "
        f"Correct the address (the dashboard's port is 8265{_other_scheme(address) if is_away(error) else ''}), and install the extra "
        "`cluster` (ray[default]) on the head node."
    )


def lost(address: str, sweep: str, error: Exception) -> StoreGone:
    """What is said to whoever follows a driver on a head that is gone."""
    return StoreGone(
        f"The connection to {address} was lost, and it cannot be made again ({_reason(error)}), so what the driver of {sweep!r} prints is "
        "not seen. The driver has ended if its head node has; nothing that ended in the sweep is lost. Look again when the head is up: "
        f"lagrange logs {sweep} -f --address {address}. If it has forgotten its jobs then, {again(sweep, address)}",
        reason=_reason(error),
    )


def _reason(error: Exception) -> str:
    if "refused" in str(error):
        return "nothing listens there"
    return "no answer in time" if "imeout" in type(error).__name__ or "timed out" in str(error) else "the connection ended"


def _other_scheme(address: str) -> str:
    parts = urlsplit(address)
    other = "http" if parts.scheme == "https" else "https"
    return f"; try {other}://{parts.netloc}"


def _short(said: str) -> str:
    return textwrap.shorten(said, 200, placeholder=" …").rstrip(".")
