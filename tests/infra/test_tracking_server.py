"""What a server is told by our client is what MLflow's own client tells it: the calls, to the letter, and how they are made."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import requests

from infra.tracking.client import _client_of, quiet_environment

URI = "http://tracking.example:5000"
SETTINGS: dict[str, dict[str, str]] = {
    "none": {},
    "password": {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "secret"},
    "token": {"MLFLOW_TRACKING_TOKEN": "secret", "MLFLOW_HTTP_REQUEST_TIMEOUT": "7"},
    "certificates": {"MLFLOW_TRACKING_CLIENT_CERT_PATH": "/c.pem", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"},
    "insecure": {"MLFLOW_TRACKING_INSECURE_TLS": "true", "MLFLOW_ALLOW_HTTP_REDIRECTS": "false"},
}


@pytest.fixture(autouse=True)
def quiet() -> None:
    quiet_environment()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of requests, call by call. All is well for the server."""
    return answering(monkeypatch, 200, "{}")


def answering(monkeypatch: pytest.MonkeyPatch, status: int, text: str) -> list[Any]:
    found: list[Any] = []

    def request(session: requests.Session, method: str, url: str, **more: Any) -> requests.Response:
        found.append((method, url, more))
        answer = requests.Response()
        answer.status_code, answer._content = status, text.encode()
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    return found


def points(count: int) -> list[Any]:
    from mlflow.entities import Metric

    values = [0.1, 3.0, -0.0, 1e-300, math.nan, math.inf, -math.inf]
    return [Metric(f"val/kl nats {at % 5}", values[at % len(values)], 1_764_000_000_123 + at, at // 5) for at in range(count)]


def named(kind: str, count: int) -> list[Any]:
    from mlflow import entities

    return [getattr(entities, kind)(f"lagrange.{at}", f'λ = {at}\n"quoted"') for at in range(count)]


CALLS: dict[str, Callable[[Any], None]] = {
    "points": lambda client: client.log_batch("r", points(63), [], [], synchronous=True),
    "points and names": lambda client: client.log_batch("r", points(2), named("Param", 3), named("RunTag", 4), synchronous=True),
    "tags": lambda client: client.log_batch("r", [], [], named("RunTag", 2), synchronous=True),
    "nothing": lambda client: client.log_batch("r", [], [], [], synchronous=True),
    "as many as go": lambda client: client.log_batch("r", points(900), [], named("RunTag", 100), synchronous=True),
    "too many": lambda client: client.log_batch("r", points(1000), [], named("RunTag", 1), synchronous=True),
    "too many names": lambda client: client.log_batch("r", points(1), named("Param", 101), [], synchronous=True),
    "ended": lambda client: client.set_terminated("r", "KILLED", 1_764_000_000_123),
    "ended well": lambda client: client.set_terminated("r", end_time=1_764_000_000_123),
}


def plain(calls: list[Any]) -> str:
    return json.dumps([(method, url, {key: more[key] for key in sorted(more)}) for method, url, more in calls], sort_keys=True, default=str)


@pytest.mark.parametrize("call", CALLS)
def test_it_says_what_mlflows_own_client_says(said: list[Any], call: str) -> None:
    from mlflow import MlflowClient

    CALLS[call](_client_of(URI))
    ours = plain(said)
    said.clear()
    CALLS[call](MlflowClient(URI))
    assert ours == plain(said)
    assert len(said) == {"nothing": 0, "too many": 2, "too many names": 2}.get(call, 1)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_is_said_as_the_settings_of_mlflow_want_it(said: list[Any], monkeypatch: pytest.MonkeyPatch, settings: str) -> None:
    from mlflow import MlflowClient

    for name in {name for one in SETTINGS.values() for name in one}:
        monkeypatch.delenv(name, raising=False)
    quiet_environment()
    client, own = _client_of(URI), MlflowClient(URI)
    for name, value in SETTINGS[settings].items():  # they may change while a sweep runs
        monkeypatch.setenv(name, value)
    CALLS["points"](client)
    ours = plain(said)
    said.clear()
    CALLS["points"](own)
    assert ours == plain(said)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "a metric has no name"}'),
        (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}'),
        (401, "You are not authenticated"),
        (503, "<html>busy</html>"),
        (200, "<html>log in</html>"),
    ],
)
@pytest.mark.parametrize("call", ["points", "ended"])
def test_a_refusal_is_the_error_that_mlflows_own_client_raises(monkeypatch: pytest.MonkeyPatch, status: int, text: str, call: str) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    answering(monkeypatch, status, text)
    raised = []
    for client in (_client_of(URI), MlflowClient(URI)):
        with pytest.raises(MlflowException) as error:
            CALLS[call](client)
        raised.append((type(error.value), error.value.error_code, str(error.value)))
    assert raised[0] == raised[1]


def test_who_is_no_server_has_mlflows_own_client(tmp_path: Any) -> None:
    from mlflow import MlflowClient

    from infra.tracking.server import Server

    assert type(_client_of(f"sqlite:///{tmp_path / 'mlflow.db'}")) is MlflowClient
    assert type(_client_of(URI)) is type(_client_of(URI.replace("http", "https"))) is Server


def test_databricks_is_looked_for_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking.request_header.databricks_request_header_provider import DatabricksRequestHeaderProvider as Provider

    from infra.tracking import client

    asked = Provider.in_context
    monkeypatch.setattr(Provider, "in_context", asked)  # put back afterwards
    monkeypatch.setattr(client, "find_spec", lambda name: object())
    client._not_databricks()
    assert Provider.in_context is asked
    monkeypatch.setattr(client, "find_spec", lambda name: None)
    client._not_databricks()
    assert not Provider().in_context() and Provider.in_context is not asked
