"""What the files of infra/deploy have a shell do, with stand-ins: what is on PATH, which secrets leave, what is tried again."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.test_deploy_schemas import DEPLOY, KUBERNETES, commands

ROOT = DEPLOY.parents[1]
BOTH = {"head", "worker"}


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def read(name: str) -> Any:
    return next(iter(yaml.safe_load_all((DEPLOY / name).read_text())))


# Bare machines --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", sorted(BOTH))
def test_ray_is_started_where_lagrange_is_on_its_path(part: str, tmp_path: Path) -> None:
    """A job is a child of `ray start` and has its PATH: without the folder each `lagrange submit` is refused."""
    for name in ("ray", "lagrange"):
        program(tmp_path / "lagrange-venv" / "bin" / name, 'echo "$1: $(command -v lagrange)"')
    started = read("ray-up.yaml")[f"{part}_start_ray_commands"]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "RAY_HEAD_IP": "192.0.2.10"}
    done = subprocess.run(["bash", "-c", started[-1]], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"start: {tmp_path / 'lagrange-venv' / 'bin' / 'lagrange'}\n"


# Secrets --------------------------------------------------------------------------------------------------------------------------------


def written(tmp_path: Path) -> list[str]:
    """The files that the commands at the heads write in the repository, but for a spec; and the token of Slurm's script."""
    here, programs = tmp_path / "repository" / "infra" / "deploy", tmp_path / "bin"
    shutil.copytree(DEPLOY, here, ignore=shutil.ignore_patterns("__pycache__"))
    (here / "spec.yaml").write_text("objective: toy\n")
    for name in ("kubectl", "docker", "lagrange"):
        program(programs / name, "true")
    before = set(here.rglob("*"))
    for path in [*KUBERNETES, DEPLOY / "compose.yaml"]:
        typed = commands(path).replace("cd infra/deploy", f"cd {here}")
        subprocess.run(["bash"], input=typed, text=True, cwd=here, env={"PATH": f"{programs}:{os.environ['PATH']}"}, check=True)
    made = sorted(set(here.rglob("*")) - before)
    assert all(path.stat().st_mode & 0o077 == 0 for path in made), "others on this machine can read it"
    return [path.relative_to(here.parents[1]).as_posix() for path in made] + [".ray-token-7"]


def test_no_secret_that_the_heads_have_one_write_leaves_the_machine(tmp_path: Path) -> None:
    found = written(tmp_path)
    assert {"postgres", "mlflow", "mlflow-secret", "environment", ".env"} <= {Path(name).name for name in found}
    folder = tmp_path / "repository"
    shutil.copy(ROOT / ".gitignore", folder)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    ignored = subprocess.run(["git", "check-ignore", *found], cwd=folder, capture_output=True, text=True, check=False).stdout.split()
    assert ignored == found
    docker = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line and line[0] not in "#!"][1:]
    copied = read("ray-up.yaml")["rsync_exclude"]
    for name in found:
        assert any(fnmatch.fnmatch(f"/{name}", "*/" + pattern.removeprefix("**/")) for pattern in docker), name
        assert any(fnmatch.fnmatch(f"/{name}", "*/" + pattern.removeprefix("**/")) for pattern in copied), name
    for kept in ("infra/environment.py", "search/telling/mlflow/mirror.py", "infra/tracking/mlflow.py", "tests/postgres.py"):
        assert not any(fnmatch.fnmatch(f"/{kept}", "*/" + pattern.removeprefix("**/")) for pattern in copied), kept


# PostgreSQL -----------------------------------------------------------------------------------------------------------------------------


def test_a_database_is_up_when_the_last_one_that_is_made_answers(tmp_path: Path) -> None:
    """`pg_isready -d` looks at no database."""
    last = (DEPLOY / "databases.sql").read_text().split()[-1].rstrip(";")
    program(tmp_path / "psql", 'echo "$PGPASSWORD $*"; [[ "$*" == *"-h 127.0.0.1"*"-d $THERE"*select* ]]')
    (tmp_path / "postgres").write_text("the password")
    composed = read("compose.yaml")["services"]["postgres"]["healthcheck"]["test"][1:]
    objects = yaml.safe_load_all((DEPLOY / "kubernetes" / "stores.yaml").read_text())
    pod = next(one for one in objects if one["metadata"]["name"] == "lagrange-postgres" and one["kind"] == "StatefulSet")
    probe = pod["spec"]["template"]["spec"]["containers"][0]["startupProbe"]["exec"]["command"]
    for command in ([word.replace("$$", "$") for word in composed], [word.replace("/secrets", str(tmp_path)) for word in probe]):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "POSTGRES_PASSWORD": "the password"}
        for there, code in ((last, 0), ("another", 1)):
            done = subprocess.run(command, env={**environment, "THERE": there}, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout.startswith("the password ")) == (code, True), done


# Slurm ----------------------------------------------------------------------------------------------------------------------------------


def slurm(folder: Path, code: int, **environment: str) -> tuple[int, str, bool]:
    """Run the job with a sweep that ends so. Its exit code, what it printed, and whether it was put back into the queue."""
    programs = folder / "bin"
    program(programs / "srun", 'while [[ $1 == --* ]]; do shift; done; exec "$@"')
    program(programs / "ray", "exec sleep 60")
    program(programs / "python", "echo token")
    program(programs / "lagrange", 'exit "$CODE"')
    program(programs / "scontrol", '[[ $1 == show ]] && echo one || touch "requeued"')
    program(programs / "stat", 'echo "${SYSTEM:-ext2/ext3}"')
    (folder / "activate").mkdir(exist_ok=True)
    program(folder / "activate" / "bin" / "activate", "")
    (folder / "requeued").unlink(missing_ok=True)
    given = {"PATH": f"{programs}:/usr/bin:/bin", "CODE": str(code), "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "one"}
    given |= {"SLURM_JOB_NUM_NODES": "1", "VENV": str(folder / "activate"), "LAGRANGE_RAY_TMP": str(folder / "ray")}
    command = ["bash", str(DEPLOY / "slurm.sh"), "spec.yaml", "s"]
    done = subprocess.run(command, cwd=folder, env=given | environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr, (folder / "requeued").exists()


@pytest.mark.parametrize("code", [1, 3, 134])
def test_a_job_that_a_store_or_ray_has_ended_is_tried_again_but_not_for_ever(code: int, tmp_path: Path) -> None:
    tries = [slurm(tmp_path, code)[::2] for _ in range(4)]
    assert tries == [(code, True)] * 3 + [(code, False)]
    assert [slurm(tmp_path, one)[::2] for one in (code, 130, code)] == [(code, True), (130, True), (code, True)], "they count in a row"
    assert slurm(tmp_path, 0)[::2] == (0, False)
    assert not list(tmp_path.glob(".*")), "neither a token nor a count stays"


@pytest.mark.parametrize(
    ("code", "environment", "requeued"),
    [
        (130, {"SLURM_RESTART_COUNT": "99"}, True),
        (130, {"SLURM_RESTART_COUNT": "100"}, False),
        (130, {"LAGRANGE_REQUEUE": "no"}, False),
        (3, {"LAGRANGE_REQUEUE": "no"}, False),
        (2, {}, False),
        (4, {}, False),
        (5, {}, False),
    ],
)
def test_what_is_put_back_into_the_queue(code: int, environment: dict[str, str], requeued: bool, tmp_path: Path) -> None:
    assert slurm(tmp_path, code, **environment)[::2] == (code, requeued)


def test_a_home_on_a_network_file_system_needs_a_catalogue_elsewhere(tmp_path: Path) -> None:
    code, said, _ = slurm(tmp_path, 0, SYSTEM="nfs")
    assert code == 2
    assert "LAGRANGE_CATALOGUE_URL" in said
    assert slurm(tmp_path, 0, SYSTEM="nfs", LAGRANGE_CATALOGUE_URL="postgresql+psycopg://lagrange@host/lagrange")[0] == 0
    assert slurm(tmp_path, 0, SYSTEM="lustre", LAGRANGE_ENVIRONMENT_FILE="environment")[0] == 0


# A module of one's own ------------------------------------------------------------------------------------------------------------------


def test_every_pod_of_a_job_finds_the_modules_beside_the_spec() -> None:
    cluster = read("kubernetes/job.yaml")["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        paths = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "spec"]
        assert {"name": "PYTHONPATH", "value": paths[0]} in container["env"]
        assert any(one.get("configMap", {}).get("name") == "lagrange-spec" for one in pod["volumes"])
