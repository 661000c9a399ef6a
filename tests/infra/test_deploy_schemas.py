"""The files of infra/deploy as those programs read them that will: schemas of Kubernetes and KubeRay, Compose, Ray, hadolint, shellcheck.

Each of these is seen to refuse, too: in every file something is broken, and must be found.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.deploy import RELEASES, amount, kubernetes_faults, pods

pytestmark = pytest.mark.turns(2)

DEPLOY = Path(__file__).parents[2] / "infra" / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
SECRETS = ("POSTGRES_PASSWORD", "MLFLOW_PASSWORD", "MLFLOW_SECRET", "RAY_TOKEN")


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


OBJECTS = {f"{path.stem}: {one['kind']} {one['metadata']['name']}": one for path in KUBERNETES for one in documents(path)}


def tool(name: str) -> str:
    """A program that comes as a package, beside this Python."""
    return str(Path(sys.executable).with_name(name))


def run(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, **more)


# Kubernetes and KubeRay -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("title", OBJECTS)
def test_an_object_is_one_of_its_kind(title: str, release: str) -> None:
    assert kubernetes_faults(OBJECTS[title], release) == []


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Everything in plain data, with where it is."""
    yield path, value
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


FREE = {"labels", "matchLabels", "limits", "requests", "rayStartParams"}  # their keys are anybody's


def where(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


@pytest.mark.parametrize("title", OBJECTS)
def test_a_field_that_does_not_exist_is_refused_wherever_it_stands(title: str) -> None:
    one = copy.deepcopy(OBJECTS[title])
    free = FREE | {"selector"} if one["kind"] == "Service" else FREE
    tried = [(path, value) for path, value in places(one) if isinstance(value, dict) and (not path or path[-1] not in free)]
    assert len(tried) >= 4
    for _, value in tried:
        value["fieldOfNone"] = "1"
    faults = kubernetes_faults(one)
    found = {fault.partition(": ")[0] for fault in faults if "'fieldOfNone' was unexpected" in fault}
    assert found == {where(path) for path, _ in tried}


@pytest.mark.parametrize("title", OBJECTS)
def test_a_value_of_another_type_is_refused_wherever_it_stands(title: str) -> None:
    one = copy.deepcopy(OBJECTS[title])
    leaves = [path for path, value in places(one) if not isinstance(value, (dict, list)) and path not in (("kind",), ("apiVersion",))]
    assert len(leaves) >= 4
    for path in leaves:
        holder: Any = one
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = [[{}]]
    assert {fault.partition(": ")[0] for fault in kubernetes_faults(one)} >= {where(path) for path in leaves}


def head(one: dict[str, Any]) -> dict[str, Any]:
    """The container of the head, or of whatever pod comes first."""
    found: dict[str, Any] = next(pods(one))["containers"][0]
    return found


CLUSTER, JOB = "cluster: RayCluster lagrange", "job: RayJob lagrange-sweep"
DATABASE, CLAIM = "stores: StatefulSet lagrange-postgres", "stores: PersistentVolumeClaim lagrange-shared"
SERVICE, POLICY = "stores: Service lagrange-mlflow", "stores: NetworkPolicy lagrange-ray"
Change = Callable[[dict[str, Any]], object]
WRONG: list[tuple[str, Change, str]] = [
    # what is missing
    (CLUSTER, lambda one: one["spec"].pop("headGroupSpec"), "'headGroupSpec' is a required property"),
    (CLUSTER, lambda one: one["spec"]["workerGroupSpecs"][0].pop("groupName"), "'groupName' is a required property"),
    (CLUSTER, lambda one: one["spec"]["headGroupSpec"].pop("template"), "'template' is a required property"),
    (CLUSTER, lambda one: one.pop("spec"), "'spec' is a required property"),
    (DATABASE, lambda one: one["spec"].pop("selector"), "'selector' is a required property"),
    (DATABASE, lambda one: head(one).pop("name"), "'name' is a required property"),
    (JOB, lambda one: one["spec"].pop("rayClusterSpec"), "one of rayClusterSpec, clusterSelector"),
    (CLUSTER, lambda one: one["spec"].pop("rayVersion"), "needs a rayVersion"),
    # words that nobody knows
    (CLUSTER, lambda one: one["spec"]["authOptions"].update(mode="tokens"), "'tokens' is not one of"),
    (CLUSTER, lambda one: one["spec"]["autoscalerOptions"].update(upscalingMode="Fast"), "'Fast' is not one of"),
    (JOB, lambda one: one["spec"].update(submissionMode="K8sJob"), "'K8sJob' is not one of"),
    (JOB, lambda one: next(pods(one)).update(restartPolicy="never"), "'never' is not one of"),
    (CLAIM, lambda one: one["spec"].update(accessModes=["ReadWriteAll"]), "'ReadWriteAll' is not one of"),
    (POLICY, lambda one: one["spec"].update(policyTypes=["ingress"]), "'ingress' is not one of"),
    (SERVICE, lambda one: one["spec"].update(type="Public"), "'Public' is not one of"),
    (SERVICE, lambda one: one.update(apiVersion="v2"), "v2 has no kind Service"),
    # values beyond what is taken
    (CLAIM, lambda one: one["spec"]["resources"]["requests"].update(storage="100 GB"), "100 GB"),
    (SERVICE, lambda one: one["spec"]["ports"][0].update(port=70000), "maximum"),
    (JOB, lambda one: one["spec"].update(activeDeadlineSeconds=0), "minimum"),
    (JOB, lambda one: one["metadata"].update(name="l" * 48), "at most 47"),
    (CLUSTER, lambda one: one["spec"]["workerGroupSpecs"][0].update(minReplicas=9), "minReplicas must be at most"),
    (CLUSTER, lambda one: one["spec"].update(rayVersion="2.51.0"), "needs a rayVersion"),
    (CLUSTER, lambda one: next(pods(one)).update(restartPolicy="Always"), "restartPolicy must be Never"),
    (JOB, lambda one: next(pods(one)).update(restartPolicy="Always"), "must be Never or OnFailure"),
    (JOB, lambda one: one["spec"].update(shutdownAfterJobFinishes=False), "needs shutdownAfterJobFinishes"),
    (CLUSTER, lambda one: head(one)["livenessProbe"].update(httpGet={"port": 1}), "one of exec, httpGet"),
    (DATABASE, lambda one: head(one)["resources"]["requests"].update(memory="3Gi"), "at most its limit"),
    (DATABASE, lambda one: head(one)["volumeMounts"][0].update(name="dat"), "no volume dat"),
    (DATABASE, lambda one: head(one)["env"].append({"name": "PGDATA", "value": "/"}), "PGDATA stands there twice"),
    (DATABASE, lambda one: one["spec"]["selector"]["matchLabels"].update(part="postgre"), "must match the labels"),
]


@pytest.mark.parametrize(("title", "change", "fault"), WRONG, ids=[fault for _, _, fault in WRONG])
def test_what_is_written_wrongly_is_found(title: str, change: Change, fault: str) -> None:
    one = copy.deepcopy(OBJECTS[title])
    change(one)
    found = kubernetes_faults(one)
    assert any(fault in each for each in found), found


def test_ray_reads_the_cluster_as_it_is_meant() -> None:
    """By the code of Ray's own that its autoscaler reads the object with."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr as read

    one = copy.deepcopy(OBJECTS[CLUSTER])
    one["metadata"]["namespace"] = "default"
    found = read(one)
    kinds = found["available_node_types"]
    assert kinds["headgroup"]["resources"]["CPU"] == 0, "no member trains beside the driver"
    assert kinds["trainers"]["resources"] == {"CPU": 4, "memory": 16 * 2**30}
    assert (kinds["trainers"]["min_workers"], kinds["trainers"]["max_workers"]) == (0, 8)
    assert found["idle_timeout_minutes"] == 5
    head(one)["resources"].clear()
    one["spec"]["headGroupSpec"]["rayStartParams"].pop("num-cpus")
    with pytest.raises(ValueError, match="failed to detect `CPU`"):
        read(one)


def test_rays_objects_lie_in_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Ray's own choice: where /dev/shm has less than they may take, it puts them on a disk, with a warning in a log."""
    import ray._private.services as services
    import ray._private.utils as utils

    def place(objects: int, shared: float) -> str:
        monkeypatch.setattr(utils, "get_shared_memory_bytes", lambda: int(shared))
        return str(services.determine_plasma_store_config(objects, str(tmp_path))[0])

    asked = []
    for one in OBJECTS.values():
        for _, group in places(one["spec"]):
            if isinstance(group, dict) and "rayStartParams" in group:
                volume = next(volume for volume in group["template"]["spec"]["volumes"] if volume["name"] == "shm")
                asked.append((int(group["rayStartParams"]["object-store-memory"]), amount(volume["emptyDir"]["sizeLimit"])))
    for name in ("head", "worker"):
        service = documents(DEPLOY / "compose.yaml")[0]["services"][name]
        assert service["shm_size"] == "1gb"
        words = [word.partition("=")[2] for word in service["command"] if word.startswith("--object-store-memory=")]
        asked.append((int(words[0]), 2**30))
    assert len(asked) == 6
    assert {place(objects, shared) for objects, shared in asked} == {"/dev/shm"}
    assert place(int(0.3 * 16 * 2**30), 2**30) != "/dev/shm", "what Ray takes where it is not told"


def test_what_is_beside_the_head_has_no_more_rights() -> None:
    options = OBJECTS[CLUSTER]["spec"]["autoscalerOptions"]
    assert options["securityContext"] == head(OBJECTS[CLUSTER])["securityContext"]


def test_what_selects_finds_a_pod_and_its_port() -> None:
    templates = [
        value for one in OBJECTS.values() for path, value in places(one) if path and "emplate" in str(path[-1]) and "metadata" in value
    ]
    assert len(templates) == 7

    def found(labels: dict[str, str]) -> list[dict[str, Any]]:
        return [one for one in templates if labels.items() <= one["metadata"]["labels"].items()]

    for title, one in OBJECTS.items():
        if one["kind"] == "Service":
            (pod,) = found(one["spec"]["selector"])
            ports = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports, title
        if one["kind"] == "NetworkPolicy":
            ours = [value["matchLabels"] for path, value in places(one) if path and path[-1] == "podSelector"]
            assert all(found(labels) for labels in ours if "app" in labels), title


# The commands at the heads ---------------------------------------------------------------------------------------------------------------

KUBECTL = """#!/usr/bin/env python3
import base64, json, os, sys
words = sys.argv[1:]
options = [word.partition("=") for word in words if word.startswith("--from-")]
for _, _, named in options:
    assert "=" in named or os.path.getsize(named) > 0, named
if words[0] == "apply":
    assert os.path.exists(words[-1]), words
if words[:2] == ["get", "secret"]:
    print(base64.b64encode(b"the token").decode(), end="")
with open(os.environ["RECORD"], "a") as file:
    keys = [(named.partition("=")[0] if "literal" in option else os.path.basename(named)) for option, _, named in options]
    file.write(json.dumps({"words": words, "keys": keys}) + "\\n")
"""
LAGRANGE = """#!/usr/bin/env python3
import json, os, sys
token = {key: os.environ.get(key) for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps({"words": sys.argv, "token": token, "keys": []}) + "\\n")
"""


def commands(path: Path) -> str:
    """What the head of a file says to type, without the words that follow at a distance."""
    return "\n".join(line[4:].split("   ")[0] for line in path.read_text().splitlines() if line.startswith("#   "))


@pytest.mark.parametrize("path", [*KUBERNETES, DEPLOY / "compose.yaml"], ids=lambda path: path.name)
def test_shellcheck_finds_nothing_in_the_commands_of_a_head(path: Path) -> None:
    # A folder that is not there is seen by whoever types the commands.
    done = run([tool("shellcheck"), "--shell=bash", "--exclude=SC2164", "-"], input=commands(path))
    assert done.returncode == 0, done.stdout


def test_the_commands_at_the_heads_make_what_the_pods_ask_for(tmp_path: Path) -> None:
    record, programs, here = tmp_path / "record", tmp_path / "bin", tmp_path / "repository"
    shutil.copytree(DEPLOY, here / "infra" / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    (here / "infra" / "deploy" / "spec.yaml").write_text("objective: toy\n")
    programs.mkdir()
    for name, text in (("kubectl", KUBECTL), ("lagrange", LAGRANGE)):
        (programs / name).write_text(text.replace("/usr/bin/env python3", sys.executable))
        (programs / name).chmod(0o755)
    typed = "\n".join(["set -euo pipefail", *(commands(DEPLOY / "kubernetes" / f"{one}.yaml") for one in ("stores", "cluster", "job"))])
    done = run(["bash"], input=typed, cwd=here, env={"PATH": f"{programs}:{os.environ['PATH']}", "RECORD": str(record)})
    assert done.returncode == 0, done.stderr
    called = [json.loads(line) for line in record.read_text().splitlines()]
    made = {(one["words"][-1 - len(one["keys"])], key) for one in called for key in one["keys"]}
    asked = set()
    for path, value in (pair for one in OBJECTS.values() for pair in places(one)):
        if path and path[-1] in ("secretKeyRef", "configMapKeyRef"):
            asked.add((value["name"], value["key"]))
        elif path and path[-1] in ("secret", "configMap") and isinstance(value, dict):
            asked |= {(value.get("secretName", value.get("name")), item["key"]) for item in value.get("items", [])}
    assert asked <= made, asked - made
    assert ("lagrange-driver", "environment") in made
    assert ("lagrange-ray-token", "auth_token") in made, "the key that KubeRay asks for"
    assert [one["words"][-1] for one in called if one["words"][0] == "apply"] == [
        f"kubernetes/{one}.yaml" for one in ("stores", "cluster", "job")
    ]
    assert next(one["token"] for one in called if "token" in one) == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "the token"}
    written = dict(line.split("=", 1) for line in (here / "infra" / "deploy" / "environment").read_text().splitlines())
    assert len(written) == 6
    assert written["PGPASSWORD"] == (here / "infra" / "deploy" / "postgres").read_text()
    assert re.fullmatch("[0-9a-f]{48}", written["MLFLOW_TRACKING_PASSWORD"])


def test_the_commands_at_the_head_of_compose_make_its_secrets_and_hand_over_the_spec(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "infra" / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    here, record = tmp_path / "infra" / "deploy", tmp_path / "record"
    (here / "spec.yaml").write_text("objective: toy\n")
    (tmp_path / "docker").write_text('#!/bin/sh\necho "$*" >> "$RECORD"\ncase "$*" in *"cat >"*) cat >> "$RECORD";; esac\n')
    (tmp_path / "lagrange").write_text('#!/bin/sh\necho "$RAY_AUTH_MODE $RAY_AUTH_TOKEN $*" >> "$RECORD"\n')
    for name in ("docker", "lagrange"):
        (tmp_path / name).chmod(0o755)
    typed = "set -euo pipefail\n" + commands(DEPLOY / "compose.yaml")
    done = run(["bash"], input=typed, cwd=tmp_path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "RECORD": str(record)})
    assert done.returncode == 0, done.stderr
    secrets = dict(line.split("=") for line in (here / ".env").read_text().splitlines())
    assert tuple(secrets) == SECRETS
    assert len(set(secrets.values())) == 4
    assert (here / ".env").stat().st_mode & 0o077 == 0
    called = record.read_text().splitlines()
    assert called[-4:-2] == ["compose --profile ray exec -T head sh -c cat > /shared/spec.yaml", "objective: toy"]
    assert called[-2].startswith("compose --profile ray exec head lagrange sweep /shared/spec.yaml ")
    assert called[-1] == f"token {secrets['RAY_TOKEN']} submit spec.yaml --name NAME --address http://127.0.0.1:8265"


# Compose --------------------------------------------------------------------------------------------------------------------------------


def composed(config: dict[str, Any] | None, folder: Path, *more: str, secrets: bool = True) -> subprocess.CompletedProcess[str]:
    """What Docker's Compose says of a file."""
    file = DEPLOY / "compose.yaml"
    if config is not None:
        file = folder / "compose.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False))
    own = {name: value for name, value in os.environ.items() if name not in SECRETS and not name.startswith("COMPOSE_")}
    given = dict.fromkeys(SECRETS, "not-one") if secrets else {}
    command = [tool("docker-compose"), "--file", str(file), "--project-directory", str(folder), "--profile", "ray", "config", *more]
    return run(command, env={**own, **given}, cwd=folder)


def test_compose_takes_its_file(tmp_path: Path) -> None:
    done = composed(None, tmp_path, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a warning"
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"postgres", "mlflow", "head", "worker"}
    assert {port["host_ip"] for one in services.values() for port in one.get("ports", [])} == {"127.0.0.1"}
    assert {name: int(one["shm_size"]) for name, one in services.items() if "shm_size" in one} == {
        "postgres": 256 * 2**20,
        "head": 2**30,
        "worker": 2**30,
    }
    assert {name for name, one in services.items() if "MLFLOW_TRACKING_PASSWORD" in one["environment"]} == {"head"}
    assert set(services["worker"]["environment"]) == {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "LAGRANGE_HOME", "LAGRANGE_STORAGE"}
    done = composed(None, tmp_path, "--quiet", secrets=False)
    assert done.returncode != 0
    assert "make .env first" in done.stderr


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda one: one["services"]["mlflow"].update(helthcheck={}), "helthcheck"),
        (lambda one: one["services"]["mlflow"].update(ports={"5000": 5000}), "ports"),
        (lambda one: one["services"]["mlflow"]["depends_on"].update(postgre={"condition": "service_healthy"}), "postgre"),
        (lambda one: one["services"]["mlflow"]["depends_on"]["postgres"].update(condition="healthy"), "depends_on"),
        (lambda one: one["services"]["mlflow"]["healthcheck"].update(interval="5 seconds"), "interval"),
        (lambda one: one["services"]["postgres"].pop("image"), "neither an image nor a build"),
        (lambda one: one["services"]["head"].update(shm_size="much"), "shm_size"),
        (lambda one: one["services"]["head"].update(volumes=["home:/home"]), "undefined volume home"),
        (lambda one: one.update(service={}), "service"),
    ],
)
def test_compose_refuses_what_is_written_wrongly(tmp_path: Path, change: Change, fault: str) -> None:
    one = documents(DEPLOY / "compose.yaml")[0]
    change(one)
    done = composed(one, tmp_path, "--quiet")
    assert done.returncode != 0
    assert fault in done.stderr


# The image ------------------------------------------------------------------------------------------------------------------------------


def linted(text: str) -> str:
    done = run([tool("hadolint"), "--no-color", "--failure-threshold", "style", "-"], input=text)
    assert (done.returncode == 0) == (done.stdout + done.stderr == ""), done.stderr
    return done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_image() -> None:
    assert linted((DEPLOY / "Dockerfile").read_text()) == ""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("USER 1000:1000", "USER root", "DL3002"),
        ("FROM python:${PYTHON} AS run", "FROM python:latest AS run", "DL3007"),
        ("FROM run AS cpu", "FROM run AS cuda", "DL3024"),
        ("--constraint constraints.txt torch torchvision", "torch torchvision", "DL3013"),
        ("WORKDIR /home/lagrange", "WORKDIR home", "DL3000"),
        ("COPY --from=build-cpu", "COPY --from=cpu", "DL3023"),
        ('CMD ["lagrange", "--help"]', "CMD lagrange --help", "DL3025"),
        ("HEALTHCHECK", "HEALTCHECK", "unexpected"),
    ],
)
def test_hadolint_finds_what_is_written_wrongly(old: str, new: str, fault: str) -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert old in text
    assert fault in linted(text.replace(old, new))


# Slurm and bare machines ----------------------------------------------------------------------------------------------------------------


def checked(text: str) -> str:
    return run([tool("shellcheck"), "--severity=style", "-"], input=text).stdout


def test_shellcheck_finds_nothing_in_the_script_and_something_where_it_is_broken() -> None:
    text = (DEPLOY / "slurm.sh").read_text()
    assert checked(text) == ""
    assert "SC2086" in checked(text.replace('rm -f "$RAY_AUTH_TOKEN_PATH"', "rm -f $RAY_AUTH_TOKEN_PATH"))
    assert "SC2154" in checked(text.replace("head=${nodes[0]}\n", ""))
    assert "SC1" in checked(text.replace("\nfi\nexit", "\nexit"))


def ray_takes(config: dict[str, Any]) -> dict[str, Any]:
    """By Ray's schema, and by the code with which `ray up` fills in what is missing."""
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    jsonschema.validate(config, json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text()))
    whole: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(whole)
    return whole


def test_ray_takes_the_file_of_bare_machines() -> None:
    (config,) = documents(DEPLOY / "ray-up.yaml")
    whole = ray_takes(config)
    (kind,) = whole["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == whole["max_workers"] == len(config["provider"]["worker_ips"])
    for started in (whole["head_start_ray_commands"], whole["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in started[-1]
    assert "--dashboard-host=127.0.0.1" in whole["head_start_ray_commands"][-1]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda one: one.update(heads=1), "'heads' was unexpected"),
        (lambda one: one["auth"].update(ssh_usr="me"), "'ssh_usr' was unexpected"),
        (lambda one: one.update(max_workers="2"), "not of type 'integer'"),
        (lambda one: one.update(setup_commands="pip"), "not of type 'array'"),
        (lambda one: one.pop("cluster_name"), "'cluster_name' is a required property"),
        (lambda one: one["provider"].update(type="locl"), "Unsupported node provider"),
        (lambda one: one["provider"].pop("head_ip"), "head_ip"),
    ],
)
def test_ray_refuses_what_is_written_wrongly(change: Change, fault: str, capfd: pytest.CaptureFixture[str]) -> None:
    (config,) = documents(DEPLOY / "ray-up.yaml")
    change(config)
    with pytest.raises(Exception, match=fault):
        ray_takes(config)
