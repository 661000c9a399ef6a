"""MLflow's registry of models: one version for each answer, and the aliases `champion` and `off`.

A model is logged as a graph (torch's pt2), which loads without executing anything of ours or anything pickled. So `mlflow.pytorch` loads it
where Lagrange is not installed. What Lagrange needs to have its own module back lies beside it, as extra files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.storage import Home, strip_password
from infra.tracking.client import open_client, quiet_environment
from infra.tracking.ui import why

SCHEME: Final = "models:/"
FILES: Final = "extra_files"  # the folder of extra files in a logged model
NEEDS: Final = ("torch", "numpy")  # what a graph needs to be loaded


@dataclass(frozen=True)
class Version:
    """A version of a registered model, with its tags."""

    name: str
    number: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Logged:
    """What is logged: a module with one input and one output, an example of both (float32, at least two rows), files, words about it."""

    module: Any
    takes: Any
    gives: Any
    files: Sequence[Path]
    tags: Mapping[str, str]
    description: str


class Registry:
    """The registry of a home's MLflow.

    Raises:
        InfraError: MLflow does not answer. Each method: it has no registry, or refuses.
    """

    def __init__(self, home: Home) -> None:
        quiet_environment()
        self._uri = home.tracking_uri
        with self._spoken("opened"):
            self._client = open_client(home.tracking_uri, home.artifacts)

    def holds(self, alias: str, name: str) -> Version | None:
        """The version of a model that has an alias; None where there is none."""
        with self._spoken("read"):
            if not self._client.search_registered_models(filter_string=f"name = '{name}'"):
                return None
            number = self._client.get_registered_model(name).aliases.get(alias)
            return None if number is None else self._version(name, str(number))

    def known(self, name: str, tags: Mapping[str, str]) -> Version | None:
        """The newest version with all of these tags; None where there is none."""
        with self._spoken("read"):
            found = self._client.search_model_versions(f"name = '{name}'")
            same = [one for one in found if all(one.tags.get(key) == value for key, value in tags.items())]
            newest = max(same, key=lambda one: int(one.version), default=None)
            return None if newest is None else Version(name, str(newest.version), dict(newest.tags))

    def log(self, name: str, sweep: str, logged: Logged) -> Version:
        """Log a model with the run of its sweep, and register it as the next version of `name`."""
        import mlflow.pytorch
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        def shape(example: Any) -> TensorSpec:
            return TensorSpec(example.dtype, (-1, *example.shape[1:]))

        signature = ModelSignature(Schema([shape(logged.takes)]), Schema([shape(logged.gives)]))
        with self._spoken("written"), self._in_place(mlflow), redirect_stderr(StringIO()):  # MLflow tells each of its steps
            if not self._client.search_registered_models(filter_string=f"name = '{name}'"):
                self._client.create_registered_model(name)
            run = self._run(sweep)
            # Made here, for MLflow would put it into whatever experiment this process works in.
            empty = self._client.create_logged_model(run.experiment_id, name=name, source_run_id=run.run_id, tags=dict(logged.tags))
            info = mlflow.pytorch.log_model(
                logged.module,
                name=name,
                model_id=empty.model_id,
                run_id=run.run_id,
                registered_model_name=name,
                signature=signature,
                input_example=logged.takes,
                serialization_format="pt2",
                extra_files=[str(path) for path in logged.files],
                pip_requirements=list(NEEDS),
                validate_serving_input=False,
            )
            number = str(info.registered_model_version)
            self._client.update_model_version(name, number, logged.description)
            for key, value in logged.tags.items():
                self._client.set_model_version_tag(name, number, key, value)
        return Version(name, number, dict(logged.tags))

    def call(self, alias: str, version: Version) -> None:
        """Give an alias to a version; another one loses it."""
        with self._spoken("written"):
            self._client.set_registered_model_alias(version.name, alias, version.number)

    def fetched(self, uri: str, folder: Path) -> Path:
        """The folder of the extra files of `models:/NAME@ALIAS` or `models:/NAME/VERSION`; copied into `folder` if it is remote."""
        import mlflow.artifacts

        name = uri.removeprefix(SCHEME).partition("@")[0].partition("/")[0]
        with self._spoken("read"):
            known = [one.name for one in self._client.search_registered_models()]
        if name not in known:
            there = ", ".join(sorted(known)) or "no model; register one: lagrange register NAME"
            raise InfraError(f"A registered model must be named, as models:/NAME@champion; {uri!r} is none. MLflow holds {there}.")
        with self._spoken(f"asked for {uri}"), self._in_place(mlflow):
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))) / FILES

    def _version(self, name: str, number: str) -> Version:
        return Version(name, number, dict(self._client.get_model_version(name, number).tags))

    def _run(self, sweep: str) -> Any:
        """The run of a sweep: its id and that of its experiment."""
        experiments = [one.experiment_id for one in self._client.search_experiments()]
        wanted = f"tags.`lagrange.sweep` = '{sweep}'"
        found = self._client.search_runs(experiments, wanted, max_results=5000, order_by=["start_time DESC"])
        own = [run.info for run in found if "lagrange.member" not in run.data.tags]
        if not own:
            raise InfraError(f"A model is logged with the run of its sweep; MLflow at {strip_password(self._uri)} holds none of {sweep!r}.")
        return own[0]

    @contextmanager
    def _in_place(self, mlflow: Any) -> Iterator[None]:
        """Inside, MLflow's functions, which ask no client, speak to this store."""
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        follows = before[0] == before[1]  # nobody set it: then it goes on to follow the address of runs
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri("" if follows else before[1])

    @contextmanager
    def _spoken(self, what: str) -> Iterator[None]:
        """Inside, an error of MLflow's is one sentence."""
        try:
            yield
        except InfraError:
            raise
        except Exception as error:
            told = f"The registry of models of MLflow at {strip_password(self._uri)} could not be {what}: {why(error)}"
            raise InfraError(f"{told}. Nothing is lost: lagrange export NAME --weights writes the model to a folder.") from error
