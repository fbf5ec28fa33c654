"""MLflow's registry of models, which names versions of a model and points to one of them by an alias."""

from __future__ import annotations

import mlflow
from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

from mnist_flow.tracking.server import clear_errors


def fetch_registered() -> dict[str, tuple[str, str]]:
    """Fetch the name and version under which models are registered, by the run that made them.

    Raises:
        TrackingError: the server does not answer.
    """
    client = mlflow.MlflowClient()
    found: dict[str, tuple[str, str]] = {}
    token: str | None = None
    while True:
        with clear_errors():
            try:
                page = client.search_model_versions(page_token=token)
            except UnsupportedModelRegistryStoreURIException:
                return {}
        found |= {version.run_id: (version.name, str(version.version)) for version in page if version.run_id}
        token = page.token
        if not token:
            return found
