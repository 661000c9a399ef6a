"""The files of infra/deploy agree with each other and with the project: versions, names, rights, secrets, probes, retries.

Whether those programs take them that will read them is in test_deploy_schemas.py.
"""

from __future__ import annotations

import re
import threading
import tomllib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "infra" / "deploy"
ROOT = DEPLOY.parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
IMAGE = f"lagrange:{PROJECT['version']}"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


OBJECTS = {f"{path.stem}: {one['kind']} {one['metadata']['name']}": one for path in KUBERNETES for one in documents(path)}


def walked(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of plain data with its value, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key), item
            yield from walked(item)
    elif isinstance(value, list):
        for item in value:
            yield from walked(item)


def containers() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each container, with the spec of its pod."""
    for title, one in OBJECTS.items():
        for key, value in walked({"": one}):
            if isinstance(value, dict) and "containers" in value:
                for container in value["containers"]:
                    yield f"{title}: {key}: {container['name']}", value, container


def test_versions_are_those_that_the_tests_ran_with() -> None:
    versions = [value for one in OBJECTS.values() for key, value in walked(one) if key == "rayVersion"]
    assert versions == [PINS["ray"]] * 2
    images = {container["image"] for _, _, container in containers()}
    assert images == {IMAGE, "postgres:16.10-bookworm"}
    composed = {one["image"] for one in documents(DEPLOY / "compose.yaml")[0]["services"].values()}
    assert composed == images


@pytest.mark.parametrize(("title", "pod", "container"), containers(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_container_has_no_rights_and_is_looked_after(title: str, pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert container["resources"]["limits"]["memory"]
    mounted = {one["name"] for one in container.get("volumeMounts", [])}
    claims = {one["metadata"]["name"] for one in (next(iter(claims_of(title)), []))}
    assert mounted <= {one["name"] for one in pod.get("volumes", [])} | claims
    if container["name"] == "submitter":
        return
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        first = container[probe]["exec"]["command"][0]  # what is in the image
        assert first in ("lagrange-healthy", "pg_isready") or (first, probe, container["name"]) == ("sh", "startupProbe", "postgres")
    if container["name"] in ("ray", "postgres"):
        assert any(one["mountPath"] == "/dev/shm" for one in container["volumeMounts"])


def test_a_head_is_ready_when_its_dashboard_takes_jobs() -> None:
    for one in OBJECTS.values():
        for key, group in walked(one):
            if key == "headGroupSpec":
                probe = group["template"]["spec"]["containers"][0]["readinessProbe"]
                assert probe["exec"]["command"] == ["lagrange-healthy", "head"]
    import infra.deploy.healthy as module

    assert ":8265/" in module.ADDRESSES["head"]


def claims_of(title: str) -> list[list[dict[str, Any]]]:
    one = OBJECTS[": ".join(title.split(": ")[:2])]
    return [value for key, value in walked(one) if key == "volumeClaimTemplates"]


def test_what_is_named_is_made() -> None:
    """Secrets, config maps and claims: what pods ask for is an object of these files, or stands in a command of their heads."""
    heads = "\n".join(path.read_text() for path in KUBERNETES)
    made = {f"{one['kind']} {one['metadata']['name']}" for one in OBJECTS.values()}
    made |= {f"Secret {name}" for name in re.findall(r"create secret generic (\S+)", heads)}
    made |= {f"ConfigMap {name}" for name in re.findall(r"create configmap (\S+)", heads)}
    asked = set()
    for key, value in (pair for one in OBJECTS.values() for pair in walked(one)):
        if key in ("secretKeyRef", "configMapKeyRef"):
            asked.add(f"{'Secret' if key[0] == 's' else 'ConfigMap'} {value['name']}")
        elif key == "secretName":
            asked.add(f"Secret {value}")
        elif key == "configMap":
            asked.add(f"ConfigMap {value['name']}")
        elif key == "claimName":
            asked.add(f"PersistentVolumeClaim {value}")
    assert asked
    assert asked <= made


def test_no_file_holds_a_secret() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            text = path.read_text()
            assert not re.search(r"://[^\s/:@$]+:[^\s/@]+@", text), path  # a password in an address
    for one in OBJECTS.values():
        for key, value in walked(one):
            assert key != "stringData"
            if isinstance(value, dict) and re.search("PASSWORD|TOKEN|SECRET", str(value.get("name", ""))) and "value" in value:
                assert value["name"].endswith("_FILE")


def test_a_ray_asks_for_a_token_and_mlflow_for_a_password() -> None:
    for one in OBJECTS.values():
        for key, value in walked({"spec": one["spec"]}):
            if key in ("spec", "rayClusterSpec") and isinstance(value, dict) and "headGroupSpec" in value:
                assert value["authOptions"]["mode"] == "token"
    served = [container for _, _, container in containers() if container["name"] == "mlflow"]
    assert all("--app-name=basic-auth" in container["args"] for container in served)
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    assert "--app-name=basic-auth" in services["mlflow"]["command"]
    assert all(services[name]["environment"]["RAY_AUTH_MODE"] == "token" for name in ("head", "worker"))
    for name in ("slurm.sh", "ray-up.yaml", "Dockerfile"):
        assert "RAY_AUTH_MODE=token" in (DEPLOY / name).read_text()
    for name in ("kubernetes/stores.yaml", "compose.yaml"):  # the name under which clients reach it
        text = (DEPLOY / name).read_text()
        host = re.search(r"TRACKING_URI\W+http://(\S+:5000)", text)
        assert host is not None
        assert host[1] in re.search(r"MLFLOW_SERVER_ALLOWED_HOSTS.*", text)[0]  # type: ignore[index]


def test_what_is_started_again_goes_on() -> None:
    job = next(one for one in OBJECTS.values() if one["kind"] == "RayJob")
    assert job["spec"]["backoffLimit"] > 0
    words = job["spec"]["entrypoint"].split()
    assert words[:2] == ["lagrange", "sweep"]
    assert "--resume" in words
    assert "--name" in words
    script = (DEPLOY / "slurm.sh").read_text()
    assert '--name "$name" --resume' in script


# The image ------------------------------------------------------------------------------------------------------------------------------


def test_the_image_is_pinned_small_and_without_rights() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?", text, re.MULTILINE)
    assert stages[-1] == ("run", "cpu")  # what is built where no target is named
    assert ("run", "cuda") in stages
    bases = {base for base, _ in stages} - {name for _, name in stages}
    assert bases == {"python:${PYTHON}"}
    version = re.search(r"^ARG PYTHON=(\S+)", text, re.MULTILINE)
    assert version is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+-slim-\w+", version[1])
    run = text[text.index(" AS run") :]
    assert "USER 1000:1000" in run
    assert "pip install" not in run
    assert "HEALTHCHECK" in run
    assert all("--constraint constraints.txt" in line for line in text.splitlines() if "pip install" in line)
    extras = set(re.search(r"'\.\[([\w,]+)\]'", text)[1].split(","))  # type: ignore[index]
    assert extras <= set(PROJECT["optional-dependencies"])


def test_the_image_gets_what_is_installed_and_nothing_else() -> None:
    lines = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    taken = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in taken)
    named = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "constraints.txt"}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert taken == named | {one.rstrip("*") for one in packages}
    assert "**/.env*" in lines


# Compose --------------------------------------------------------------------------------------------------------------------------------


def test_compose_services_are_healthy_before_others_start_and_listen_here_only() -> None:
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    for name, one in services.items():
        assert one["healthcheck"]["test"][0] == "CMD", name
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", [])), name
        assert all(way["condition"] == "service_healthy" for way in one.get("depends_on", {}).values()), name
        assert "pip" not in str(one.get("command", "")), name
    assert {name for name, one in services.items() if "shm_size" in one} == {"postgres", "head", "worker"}


# What is in the image -------------------------------------------------------------------------------------------------------------------


class _Well(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, type[_Well]]]:
    import infra.deploy.healthy as module

    server = HTTPServer(("127.0.0.1", 0), _Well)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setitem(module.ADDRESSES, "head", f"http://127.0.0.1:{server.server_port}/api/gcs_healthz")
    monkeypatch.setattr(_Well, "status", 200)
    try:
        yield module, _Well
    finally:
        server.shutdown()
        server.server_close()


def test_a_container_is_healthy_where_its_server_says_so(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, server = healthy
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # what is set in many images; it must not be asked
    assert module.main("head") == 0
    monkeypatch.setattr(server, "status", 503)
    assert module.main("head") == 1
    monkeypatch.setitem(module.ADDRESSES, "node", "http://127.0.0.1:9/")
    assert module.main("node") == 1
    assert module.main("others") == 2


def test_a_head_that_does_not_answer_is_given_up(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import infra.deploy.nodes as nodes

    monkeypatch.setattr(nodes, "PAUSE_SECONDS", 0.01)
    assert nodes.main("127.0.0.1:9", 1, 0.05) == 1
    assert "127.0.0.1:9 does not answer" in capsys.readouterr().err
