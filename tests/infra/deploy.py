"""What Kubernetes and its operator of Ray take: which fields an object may have, and of which kinds their values are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The fields of `spec` of KubeRay's kinds, v1.6.2: a type, `V1…` for a class of Kubernetes, {…} for a nested block, [x] for a list of x.
# Written after its CRD API reference (Apache-2.0); `!` marks what must be there.
_PARAMETERS = {"*": str}
_CLUSTER: dict[str, Any] = {
    "rayVersion": str,
    "authOptions": {"mode": ("token", "disabled"), "secretName": str, "enableK8sTokenAuth": bool},
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": {
        "resources": "V1ResourceRequirements",
        "image": str,
        "imagePullPolicy": str,
        "env": ["V1EnvVar"],
        "envFrom": ["V1EnvFromSource"],
        "volumeMounts": ["V1VolumeMount"],
        "securityContext": "V1SecurityContext",
        "idleTimeoutSeconds": int,
        "upscalingMode": ("Default", "Aggressive", "Conservative"),
        "version": ("v1", "v2"),
    },
    "gcsFaultToleranceOptions": {"*": object},
    "headServiceAnnotations": _PARAMETERS,
    "managedBy": str,
    "suspend": bool,
    "upgradeStrategy": {"type": str},
    "headGroupSpec!": {
        "rayStartParams": _PARAMETERS,
        "template!": "V1PodTemplateSpec",
        "serviceType": str,
        "headService": "V1Service",
        "enableIngress": bool,
        "resources": _PARAMETERS,
        "labels": _PARAMETERS,
    },
    "workerGroupSpecs": [
        {
            "groupName!": str,
            "replicas": int,
            "minReplicas": int,
            "maxReplicas": int,
            "numOfHosts": int,
            "idleTimeoutSeconds": int,
            "suspend": bool,
            "rayStartParams": _PARAMETERS,
            "resources": _PARAMETERS,
            "labels": _PARAMETERS,
            "scaleStrategy": {"workersToDelete": [str]},
            "template!": "V1PodTemplateSpec",
        }
    ],
}
_JOB: dict[str, Any] = {
    "entrypoint": str,
    "rayClusterSpec": _CLUSTER,
    "clusterSelector": _PARAMETERS,
    "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    "submitterPodTemplate": "V1PodTemplateSpec",
    "submitterConfig": {"backoffLimit": int},
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "backoffLimit": int,
    "activeDeadlineSeconds": int,
    "jobId": str,
    "metadata": _PARAMETERS,
    "runtimeEnvYAML": str,
    "entrypointNumCpus": float,
    "entrypointNumGpus": float,
    "entrypointResources": str,
    "managedBy": str,
    "suspend": bool,
    "deletionStrategy": {"*": object},
}
_KINDS = {"RayCluster": _CLUSTER, "RayJob": _JOB}


def kubernetes_faults(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with an object, by the schemas of its kind."""
    kind = given["kind"]
    if given["apiVersion"] == "ray.io/v1":
        top = {"apiVersion!": str, "kind!": str, "metadata!": "V1ObjectMeta", "spec!": _KINDS[kind]}
        return _faults(kind, top, given)
    return _faults(kind, f"V1{kind}", given)


def _faults(where: str, wanted: Any, given: Any) -> list[str]:
    if isinstance(wanted, str):
        return _of_class(where, wanted, given)
    if isinstance(wanted, list):
        if not isinstance(given, list):
            return [f"{where} must be a list"]
        return [fault for place, one in enumerate(given) for fault in _faults(f"{where}[{place}]", wanted[0], one)]
    if isinstance(wanted, dict):
        return _of_block(where, wanted, given)
    if isinstance(wanted, tuple):
        return [] if given in wanted else [f"{where} must be one of {wanted}; got {given!r}"]
    right = isinstance(given, wanted) and not (wanted is int and isinstance(given, bool))
    return [] if right else [f"{where} must be {wanted.__name__}; got {given!r}"]


def _of_block(where: str, wanted: Mapping[str, Any], given: Any) -> list[str]:
    if not isinstance(given, Mapping):
        return [f"{where} must be a mapping; got {given!r}"]
    known = {key.removesuffix("!"): value for key, value in wanted.items()}
    found = [f"{where}.{key.removesuffix('!')} is missing" for key in wanted if key.endswith("!") and key[:-1] not in given]
    for key, value in given.items():
        one = known.get(key, known.get("*"))
        found += [f"{where}.{key} is no field"] if one is None else _faults(f"{where}.{key}", one, value)
    return found


def _of_class(where: str, name: str, given: Any) -> list[str]:
    """By a class of the Kubernetes client: unknown fields, values of other kinds, words that are none of those known."""
    from kubernetes import client
    from pydantic import ValidationError

    try:
        getattr(client, name).model_validate(given)
    except ValidationError as error:
        return [f"{where}.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    return []
