"""One run in MLflow that this process writes to."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import mlflow
import mlflow.data
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.entities import Metric

from mnist_flow.config.overrides import type_override
from mnist_flow.errors import RunError, TrackingError, UndeliveredError
from mnist_flow.runtime.console import Console
from mnist_flow.runtime.credentials import hide_credentials
from mnist_flow.tracking import names
from mnist_flow.tracking.artifacts import fetch_text, has_artifact
from mnist_flow.tracking.delivery import Delivery
from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.operations import Operation
from mnist_flow.tracking.server import clear_errors

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from matplotlib.figure import Figure

    from mnist_flow.data.arrays import FloatArray
    from mnist_flow.data.dataset import DatasetInfo, Images

log = logging.getLogger(__name__)

_MODEL_PACKAGES = ("tensorflow", "keras", "numpy", "mlflow")
# The artifact with what a run said.
CONSOLE = "console.txt"
_MAX_PARAM_LENGTH = 6000
# Pixels an inch of the figures.
_DPI = 120


@dataclass(frozen=True)
class DeliveryOptions:
    """What to do about a server that goes away."""

    # Seconds to wait for it at the start and at the end of a run.
    patience: float = 120.0
    # Where the record is kept after that.
    undelivered_dir: Path = Path("undelivered")


class TrackedRun:
    """A run that this process writes to. Nothing here waits for the server, but for the constructor and `end`.

    Args:
        run_id: the run, already RUNNING.
        options: for a server that goes away.
        taken_up: the run has a history, which is not to be logged twice.
    """

    def __init__(self, run_id: str, experiment_id: str, options: DeliveryOptions, taken_up: bool = False) -> None:
        self.run_id = run_id
        self.experiment_id = experiment_id
        self._options = options
        # As MLflow's page wants them listed.
        self._tables: list[dict[str, str]] = []
        self._taken_up = taken_up
        self._read_console: Callable[[], str] | None = None
        self._console_path = CONSOLE
        # Points by metric and step: those of a run taken up again, and then all that are logged.
        self._points: dict[str, dict[int, list[Any]]] = {}
        self._params: dict[str, str] = {}
        if taken_up:
            client = mlflow.MlflowClient()
            with clear_errors():
                run = client.get_run(run_id)
                self._params = run.data.params
                self._tables = json.loads(run.data.tags.get(names.TABLES_TAG, "[]"))
                for name in run.data.metrics:
                    history = client.get_metric_history(run_id, name)
                    self._points[name] = {point.step: _to_list(point) for point in history}
        with _room_for(run_id):
            self._delivery = Delivery(run_id, experiment_id, options.undelivered_dir)

    def keep_console(self, console: Console) -> None:
        """Log what is said as console.txt, while the run goes on and at its end; a run taken up keeps its old text.

        Where the old text can't be read now, it stays, and the new one goes to another file beside it.
        """
        earlier = ""
        if self._taken_up:
            try:
                earlier = fetch_text(self.run_id, CONSOLE) if has_artifact(self.run_id, CONSOLE) else ""
            except TrackingError as error:
                self._console_path = time.strftime("console-%Y%m%dT%H%M%S.txt")
                log.warning("%s; what is said from now on goes to %s", error, self._console_path)
        self._read_console = lambda: earlier + console.read()
        self._delivery.keep_live(self._console_path, self._read_console)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log flat params as text, without credentials; those the run already has are left as they are.

        `mlflow run` logs its own -P values first, and params can't be changed.
        """
        texts = {key: hide_credentials(str(value))[:_MAX_PARAM_LENGTH] for key, value in params.items()}
        new = {key: text for key, text in texts.items() if key not in self._params}
        self._params |= new
        self._put(kind="batch", params=new)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, without credentials."""
        self._put(kind="batch", tags={key: hide_credentials(text) for key, text in tags.items()})

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of a finished epoch, which count from 1; an epoch that is already logged is left as it is."""
        self.log_metrics(metrics, step=epoch)

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        step: int = 0,
        model_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics; those that the run already has at this step are left as they are.

        Args:
            metrics: by name.
            step: finished epochs, or 0.
            model_id: the logged model that they are measures of, and that shows them too.
            tags: to be set in the same call.
        """
        now = int(time.time() * 1000)
        new = []
        for name, value in metrics.items():
            points = self._points.setdefault(name, {})
            if step not in points:
                points[step] = [name, float(value), now, step]
                new.append(points[step])
        if new or tags:
            cleared = {key: hide_credentials(text) for key, text in (tags or {}).items()}
            self._put(kind="batch", metrics=new, model_id=model_id, tags=cleared)

    def count_logged(self, metric: str) -> int:
        """Points that a metric has."""
        return len(self._points.get(metric, {}))

    def log_artifacts(
        self,
        figures: Mapping[str, Figure] | None = None,
        records: Mapping[str, Any] | None = None,
        texts: Mapping[str, str] | None = None,
        arrays: Mapping[str, Mapping[str, Any]] | None = None,
        tables: Mapping[str, pd.DataFrame] | None = None,
    ) -> None:
        """Write artifacts to a folder and send them in one call.

        Keys are paths within the run; text and JSON are cleared of credentials.

        Args:
            figures: by .png or .svg path.
            records: by .json path.
            texts: by any path.
            arrays: by .npz path.
            tables: tidy tables by .json path, which `mlflow.load_table` reads, across runs if wanted, or .csv path.

        Raises:
            RunError: the disk is full.
        """
        import numpy as np

        with _room_for(self.run_id):
            folder = self._delivery.make_folder()

            def place(path: str) -> Path:
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                return file

            for path, figure in (figures or {}).items():
                figure.savefig(place(path), dpi=_DPI)
            for path, record in (records or {}).items():
                place(path).write_text(hide_credentials(json.dumps(record, indent=2)), encoding="utf-8")
            for path, text in (texts or {}).items():
                place(path).write_text(hide_credentials(text), encoding="utf-8")
            for path, named in (arrays or {}).items():
                np.savez_compressed(place(path), **named)
            for path, table in (tables or {}).items():
                if path.endswith(".csv"):
                    table.to_csv(place(path), index=False)
                else:
                    table.to_json(place(path), orient="split", index=False, double_precision=15)
        self._put(kind="artifacts", folder=folder.name)
        entries = [{"path": path, "type": "table"} for path in tables or {} if path.endswith(".json")]
        if new := [entry for entry in entries if entry not in self._tables]:
            self._tables += new
            self._put(kind="batch", tags={names.TABLES_TAG: json.dumps(self._tables)})

    def log_data_set(self, info: DatasetInfo, parts: Mapping[str, Images]) -> None:
        """Log the parts of a data set (training, validation, test) as MLflow dataset inputs with their digests."""
        source = (
            LocalArtifactDatasetSource(info.source)
            if Path(info.source).is_file()
            else CodeDatasetSource({"source": info.source})
        )
        datasets = {}
        for context, part in parts.items():
            described = mlflow.data.from_numpy(
                part.images,
                targets=part.labels,
                source=source,
                name=f"{info.name}_{context}",
                digest=f"{info.digest}-{context}-{len(part)}"[:36],
            ).to_dict()
            datasets[context] = described
        self._put(kind="inputs", datasets=datasets)

    def link_model(self, model_id: str) -> None:
        """Say that the run takes a logged model as its input."""
        self._put(kind="inputs", datasets={}, models=[model_id])

    def log_model(
        self,
        model: keras.Model,
        input_example: FloatArray | Mapping[str, FloatArray],
        output_example: FloatArray,
        own_parts: Mapping[str, Any],
    ) -> None:
        """Log a model as `model`, with signature, input example and the pinned packages that it needs to be served.

        Args:
            model: trained.
            input_example: float32 (n, …), of a model with several inputs by their names.
            output_example: float32 (n, …), what the model answers.
            own_parts: classes and functions that the model consists of and Keras does not know, by name. They are kept
                with the model, so that it can be loaded and served where the code is not.
        """
        import mlflow.tensorflow

        with _room_for(self.run_id), _pickled_by_value(own_parts):
            folder = self._delivery.make_folder()
            mlflow.tensorflow.save_model(
                model,
                str(folder / "model"),
                input_example=input_example,
                signature=mlflow.models.infer_signature(input_example, output_example),
                pip_requirements=[f"{package}=={version(package)}" for package in _MODEL_PACKAGES],
                custom_objects=dict(own_parts) or None,
            )
        final = [points[0] for points in self._points.values() if 0 in points]
        self._put(kind="model", folder=f"{folder.name}/model", metrics=final, params=self._params)

    def end(self, status: str, patience: float | None = None) -> None:
        """End the run: FINISHED, FAILED or KILLED.

        Raises:
            UndeliveredError: the server is away or refuses; the message says where the record is.
            LostRecordError: the same, and the record can't be kept.
        """
        if self._read_console is not None:
            with suppress(RunError):  # A full disk must not keep the run from ending.
                self.log_artifacts(texts={self._console_path: self._read_console()})
        self._put(kind="end", status=status, end_time=int(time.time() * 1000))
        kept = self._delivery.close(self._options.patience if patience is None else patience)
        if kept is not None:
            raise UndeliveredError(
                f"run {self.run_id} is {status}, but tracking server {get_uri()}: {self._delivery.describe_trouble()}. "
                f"Its record is kept in {kept}; deliver it: "
                f"python -m mnist_flow.sync {type_override('tracking.undelivered_dir', str(kept.parent))}"
            )

    def _put(self, **operation: Any) -> None:
        self._delivery.put(Operation(operation))


@contextmanager
def _pickled_by_value(parts: Mapping[str, Any]) -> Iterator[None]:
    """Within the block cloudpickle writes these classes and functions themselves, and not where they were found."""
    modules = [sys.modules[name] for name in {part.__module__ for part in parts.values()}]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


@contextmanager
def _room_for(run_id: str) -> Iterator[None]:
    """Files are written to the temporary folder before they are sent."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"run {run_id}: its artifacts can't be written to {tempfile.gettempdir()} ({error.strerror or error}); "
            "make room, or set TMPDIR to another folder"
        ) from error


def _to_list(point: Metric) -> list[Any]:
    return [point.key, point.value, point.timestamp, point.step]
