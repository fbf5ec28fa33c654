"""MLflow's registry of models, which names versions of a model and points to one of them by an alias."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    ENDPOINT_NOT_FOUND,
    FEATURE_DISABLED,
    RESOURCE_ALREADY_EXISTS,
    ErrorCode,
)
from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

from mnist_flow.errors import TrackingError
from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.missing import fetch_or_none
from mnist_flow.tracking.server import clear_errors, may_pass, shorten

# What a store without a registry answers.
_NO_REGISTRY = (ErrorCode.Name(FEATURE_DISABLED), ErrorCode.Name(ENDPOINT_NOT_FOUND))


@dataclass(frozen=True)
class Registration:
    """Where a model is registered."""

    name: str
    alias: str
    # Move the alias where it leads to another model already.
    move_alias: bool

    def check(self, run_ids: Collection[str]) -> None:
        """Look whether the alias is free, or leads to the model of one of some runs, before anything is started.

        Raises:
            TrackingError: it leads elsewhere and is not to be moved; or the store has no registry.
        """
        with self._clear_errors():
            version, run_id = self._find_version()
        if version is not None and run_id not in run_ids and not self.move_alias:
            raise TrackingError(
                f"tracking.register={self.name}: its alias {self.alias} is version {version}, of run {run_id}; "
                "tracking.move_alias=true moves it, or choose another tracking.alias"
            )

    def register(self, run_id: str) -> str:
        """Register the logged model of a run, unless it is registered, and set the alias; returns the version.

        Raises:
            TrackingError: the alias leads elsewhere and is not to be moved, or the server refuses.
        """
        self.check([run_id])
        client = mlflow.MlflowClient()
        with self._clear_errors():
            # MLflow's filters have no way to write a name with an apostrophe and quotation marks.
            of_run = client.search_model_versions(f"run_id = '{run_id}'")
            found = [version for version in of_run if version.name == self.name]
            version = found[0] if found else self._create_version(client, run_id)
            client.set_registered_model_alias(self.name, self.alias, version.version)
        return str(version.version)

    def _find_version(self) -> tuple[str | None, str | None]:
        """The version that the alias leads to, and the run that made it."""
        client = mlflow.MlflowClient()
        model = fetch_or_none(lambda: client.get_registered_model(self.name))
        version = None if model is None else model.aliases.get(self.alias)
        return (None, None) if version is None else (version, client.get_model_version(self.name, version).run_id)

    def _create_version(self, client: mlflow.MlflowClient, run_id: str) -> mlflow.entities.model_registry.ModelVersion:
        outputs = client.get_run(run_id).outputs
        if outputs is None or not outputs.model_outputs:
            raise TrackingError(f"tracking.register={self.name}: run {run_id} has no logged model")
        model_id = outputs.model_outputs[0].model_id
        try:
            client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
        return client.create_model_version(self.name, f"models:/{model_id}", run_id, model_id=model_id)

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        with clear_errors():
            try:
                yield
            except MlflowException as error:
                if may_pass(error):
                    raise
                asked = f"tracking.register={self.name}: {get_uri()}"
                if _has_no_registry(error):
                    line = f"{asked} has no registry ({shorten(error)}); leave it out, or choose another server"
                    raise TrackingError(line) from error
                raise TrackingError(f"{asked} refuses: {shorten(error)}") from error


def _has_no_registry(error: MlflowException) -> bool:
    return isinstance(error, UnsupportedModelRegistryStoreURIException) or error.error_code in _NO_REGISTRY


def fetch_registered() -> dict[str, tuple[str, str]]:
    """Fetch the name and version under which models are registered, by the run that made them.

    Raises:
        TrackingError: the server does not answer.
    """
    with clear_errors():
        try:
            versions = mlflow.search_model_versions()
        except MlflowException as error:
            if _has_no_registry(error):
                return {}
            raise
    return {version.run_id: (version.name, str(version.version)) for version in versions if version.run_id}
