"""What Kubernetes, its operator of Ray and the operator's own checks take: which fields an object may have, and which values.

The schemas of Kubernetes come whole with the package `kubernetes-validate`, those of KubeRay's kinds stand in `kuberay-v1.6.2.yaml`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

# The oldest and the newest release of Kubernetes whose schemas are at hand: what both take, those between them take.
RELEASES = ("1.25", "1.37")
_DEFINITIONS = "https://kubernetes.io/api/_definitions.json"
_KUBERAY = "https://ray.io/v1"
_KUBERAY_FILE = Path(__file__).with_name("kuberay-v1.6.2.yaml")
_LABEL = {"pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
_PORT = {"minimum": 1, "maximum": 65535}
_MODE = {"minimum": 0, "maximum": 511}
_PROTOCOL = {"enum": ["TCP", "UDP", "SCTP"]}
_ACCESS = {"items": {"enum": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]}}
# What the API server checks beyond its published schemas, which name no words and no limits (API reference of Kubernetes).
_BEYOND: dict[str, dict[str, Any]] = {
    "core.v1.Container": {"name": _LABEL, "imagePullPolicy": {"enum": ["Always", "Never", "IfNotPresent"]}},
    "core.v1.ContainerPort": {"name": {"pattern": "^(?=.*[a-z])[a-z0-9-]{1,15}$"}, "containerPort": _PORT, "protocol": _PROTOCOL},
    "core.v1.EmptyDirVolumeSource": {"medium": {"pattern": "^(|Memory|HugePages.*)$"}},
    "core.v1.EnvVar": {"name": {"pattern": "^[-._a-zA-Z][-._a-zA-Z0-9]*$"}},
    "core.v1.PersistentVolumeClaimSpec": {"accessModes": _ACCESS},
    "core.v1.PodSpec": {"restartPolicy": {"enum": ["Always", "OnFailure", "Never"]}},
    "core.v1.SeccompProfile": {"type": {"enum": ["RuntimeDefault", "Unconfined", "Localhost"]}},
    "core.v1.SecretVolumeSource": {"defaultMode": _MODE},
    "core.v1.ConfigMapVolumeSource": {"defaultMode": _MODE},
    "core.v1.ServicePort": {"name": _LABEL, "port": _PORT, "protocol": _PROTOCOL},
    "core.v1.ServiceSpec": {"type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]}},
    "core.v1.Volume": {"name": _LABEL},
    "core.v1.VolumeMount": {"mountPath": {"pattern": "^[^:]+$"}},
    "networking.v1.NetworkPolicyPort": {"protocol": _PROTOCOL},
    "networking.v1.NetworkPolicySpec": {"policyTypes": {"items": {"enum": ["Ingress", "Egress"]}}},
}
_QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$")
_UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


def kubernetes_faults(given: Mapping[str, Any], release: str = RELEASES[-1]) -> list[str]:
    """What is wrong with an object: by the schemas of its kind, and by what the API server and KubeRay's operator look at besides."""
    version, kind = str(given.get("apiVersion")), str(given.get("kind"))
    if not _known(version, kind, release):
        return [f"{version} has no kind {kind}"]
    validator = _validator(version, kind, release)
    found = [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(given)]
    return found or [*_pods_faults(given), *_own_faults(given)]


def _place(version: str, kind: str) -> tuple[str, str]:
    """Where the schema of a kind is: in which document, under which name."""
    group, _, last = version.rpartition("/")
    name = f"io.k8s.api.{group.partition('.')[0] or 'core'}.{last}.{kind}"
    return (_KUBERAY, kind) if version == "ray.io/v1" else (_DEFINITIONS, name)


def _known(version: str, kind: str, release: str) -> bool:
    document, name = _place(version, kind)
    return name in _registry(release).contents(document)["$defs"]


@cache
def _validator(version: str, kind: str, release: str) -> Any:
    from jsonschema import Draft202012Validator

    document, name = _place(version, kind)
    top = {"$ref": f"{document}#/$defs/{name}", "required": ["apiVersion", "kind", "metadata", "spec"]}
    return Draft202012Validator(top, registry=_registry(release))


@cache
def _registry(release: str) -> Any:
    from referencing import Registry, Resource

    place = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{release}.0-local-strict" / "_definitions.json"
    definitions = json.loads(place.read_text(encoding="utf-8"))
    for name, fields in _BEYOND.items():
        properties = definitions["$defs"][f"io.k8s.api.{name}"]["properties"]
        properties.update({field: {"allOf": [properties[field], more]} for field, more in fields.items()})
    label = {"pattern": r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"}
    meta = definitions["$defs"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
    meta["name"] = {"allOf": [meta["name"], label]}
    quantity = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _QUANTITY.pattern}]}
    definitions["$defs"]["io.k8s.apimachinery.pkg.api.resource.Quantity"] = quantity
    resources = [Resource.from_contents(one) for one in (definitions, yaml.safe_load(_KUBERAY_FILE.read_text(encoding="utf-8")))]
    return resources @ Registry()


def amount(quantity: str | float) -> float:
    """A quantity of Kubernetes as a number: cores, or bytes."""
    match = _QUANTITY.match(str(quantity))
    assert match is not None, quantity
    return float(match[1]) * _UNITS.get(match[2] or "", 1)


def pods(value: Any) -> Iterator[dict[str, Any]]:
    """The spec of each pod that an object describes."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        for item in value.values():
            yield from pods(item)
    elif isinstance(value, list):
        for item in value:
            yield from pods(item)


def _pods_faults(given: Mapping[str, Any]) -> Iterator[str]:
    """What a pod must hold besides its schema: names once, mounts of volumes that are there, one way to probe, requests within limits."""
    claims = [one["metadata"]["name"] for one in given["spec"].get("volumeClaimTemplates", [])]
    for pod in pods(given):
        volumes = [one["name"] for one in pod.get("volumes", [])] + claims
        yield from _twice("volumes", volumes)
        yield from _twice("containers", [one["name"] for one in pod["containers"]])
        for container in pod["containers"]:
            yield from _container_faults(container, volumes)


def _container_faults(container: Mapping[str, Any], volumes: list[str]) -> Iterator[str]:
    name = container["name"]
    mounts = container.get("volumeMounts", [])
    yield from _twice(f"{name}.env", [one["name"] for one in container.get("env", [])])
    yield from _twice(f"{name}.volumeMounts", [one["mountPath"] for one in mounts])
    yield from (f"{name}.volumeMounts: there is no volume {one['name']}" for one in mounts if one["name"] not in volumes)
    for key in ("startupProbe", "livenessProbe", "readinessProbe"):
        ways = {"exec", "httpGet", "tcpSocket", "grpc"} & set(container.get(key, {}))
        if key in container and len(ways) != 1:
            yield f"{name}.{key} must have one of exec, httpGet, tcpSocket, grpc; got {sorted(ways)}"
    resources = container.get("resources", {})
    for what, limit in resources.get("limits", {}).items():
        if amount(resources.get("requests", {}).get(what, limit)) > amount(limit):
            yield f"{name}.resources.requests.{what} must be at most its limit {limit}"


def _twice(where: str, names: list[str]) -> Iterator[str]:
    yield from (f"{where}: {name} stands there twice" for name in sorted({name for name in names if names.count(name) > 1}))


def _own_faults(given: Mapping[str, Any]) -> Iterator[str]:
    """What the API server says of a StatefulSet, and KubeRay's operator (its validation.go) of a RayCluster and a RayJob."""
    spec, kind = given["spec"], given["kind"]
    if kind == "StatefulSet" and not spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items():
        yield "spec.selector must match the labels of spec.template"
    if kind in ("RayCluster", "RayJob"):
        longest = 53 if kind == "RayCluster" else 47  # services are named after it
        if not re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", given["metadata"]["name"]) or len(given["metadata"]["name"]) > longest:
            yield f"metadata.name must be a label of DNS with at most {longest} characters"
    if kind == "RayCluster":
        yield from _cluster_faults(spec)
    if kind == "RayJob":
        yield from _job_faults(spec)


def _job_faults(spec: Mapping[str, Any]) -> Iterator[str]:
    if ("rayClusterSpec" in spec) == ("clusterSelector" in spec):
        yield "spec must have one of rayClusterSpec, clusterSelector"
    if spec.get("ttlSecondsAfterFinished", 0) and not spec.get("shutdownAfterJobFinishes"):
        yield "spec.ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if spec.get("submissionMode") == "SidecarMode" and "submitterPodTemplate" in spec:
        yield "spec.submitterPodTemplate is not taken in SidecarMode"
    if spec.get("submissionMode") == "InteractiveMode" and spec.get("backoffLimit"):
        yield "spec.backoffLimit is not taken in InteractiveMode"
    if "submitterPodTemplate" in spec and spec["submitterPodTemplate"]["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
        yield "spec.submitterPodTemplate.spec.restartPolicy must be Never or OnFailure, for a Job of Kubernetes"
    if "rayClusterSpec" in spec:
        yield from _cluster_faults(spec["rayClusterSpec"])


def _cluster_faults(spec: Mapping[str, Any]) -> Iterator[str]:
    workers = spec.get("workerGroupSpecs", [])
    if spec.get("authOptions", {}).get("mode") == "token":
        numbers = re.match(r"(\d+)\.(\d+)\.", str(spec.get("rayVersion", "")))
        if numbers is None or (int(numbers[1]), int(numbers[2])) < (2, 52):
            yield "authOptions.mode: token needs a rayVersion of at least 2.52.0"
    for group in (spec["headGroupSpec"], *workers):
        name, params = group.get("groupName", "head"), group.get("rayStartParams", {})
        if group.get("resources") and {"num-cpus", "num-gpus", "memory", "resources"} & set(params):
            yield f"{name}: resources stand in rayStartParams and in resources"
        if "labels" in params:
            yield f"{name}: labels are a field of the group, not of rayStartParams"
        if spec.get("enableInTreeAutoscaling") and group["template"]["spec"].get("restartPolicy", "Never") != "Never":
            yield f"{name}: restartPolicy must be Never, or left out, where the cluster grows by itself"
    for group in workers:
        if group.get("minReplicas", 0) > group.get("maxReplicas", 2**31 - 1):
            yield f"{group['groupName']}: minReplicas must be at most maxReplicas"
