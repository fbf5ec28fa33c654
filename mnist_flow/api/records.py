"""Finished runs as a table, and one run with its curves, its model and its predictions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_flow import cli
from mnist_flow.api.composition import check_tracking_uri, complete_tracking_uri
from mnist_flow.api.turns import check_tensorflow_works, one_at_a_time
from mnist_flow.errors import ConfigError, RunError, TrackingError
from mnist_flow.jobs.tables import build_run_table, select_epoch
from mnist_flow.runtime.native_output import native_stderr_hidden
from mnist_flow.runtime.suggestions import did_you_mean

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from mnist_flow.data.arrays import FloatArray
    from mnist_flow.data.dataset import DataSet

# Images at a time.
_BATCH_SIZE = 1024
# Pixels above it are taken for bytes; noise may lead a little out of 0 to 1.
_MAX_PIXEL = 2.0


@dataclass(frozen=True)
class Run:
    """A training run in MLflow."""

    run_id: str
    # finished, interrupted (it failed or was killed) or alive.
    state: str
    # The config as flat paths, as MLflow has them: {"optimizer.learning_rate": "0.1"}.
    params: Mapping[str, str] = field(repr=False)
    # The final ones, and those of the epoch whose weights the run ended with.
    metrics: Mapping[str, float] = field(repr=False)
    # Its page, on the server or on `mlflow ui`.
    link: str
    # Of its tracking server, whole: credentials that were typed in it are in a pickle of the run, too.
    uri: str = field(repr=False)

    @one_at_a_time()
    def fetch_history(self) -> pd.DataFrame:
        """Fetch the metrics of each epoch: one row per finished epoch, which is the index, one column per metric.

        Raises:
            TrackingError: the server does not answer, or the run is gone.
        """
        tracking = self._connect()
        tracking.fetch_run(self.run_id)
        points = tracking.fetch_histories([self.run_id], sorted(self.metrics))
        # Step 0 has the final metrics.
        of_epochs = points[points["step"] > 0]
        return of_epochs.pivot_table(index="step", columns="metric", values="value").rename_axis(
            index="epoch", columns=None
        )

    @one_at_a_time()
    def load_model(self) -> keras.Model:
        """Load the model that the run has logged. Imports TensorFlow.

        Raises:
            TrackingError: the server does not answer.
            RunError: the run has no model, or it can't be loaded.
            ConfigError: this process was forked from one that has used TensorFlow.
        """
        check_tensorflow_works()
        tracking = self._connect()
        with native_stderr_hidden():
            return tracking.load_model(tracking.fetch_logged_run(self.run_id))

    @one_at_a_time()
    def load_data(self) -> DataSet:
        """Load the data set that the run was trained on: `test.images`, `test.labels`, `train`, `class_names`, …

        Its arrays are read-only; `test.images.copy()` may be changed.

        Raises:
            DataError: it can't be had.
            RunError: it is another one than that of the run.
        """
        from mnist_flow.evaluation.plan import load_run_data

        tracking = self._connect()
        return load_run_data(tracking.fetch_logged_run(self.run_id), os.environ.get("MNIST_NPZ"))

    @one_at_a_time()
    def predict(self, images: FloatArray | None = None) -> FloatArray:
        """Predict class probabilities (n, classes), or images, float32; pixels are scaled as in the training.

        Args:
            images: float32 (n, height, width, channels) in [0, 1]; None: the test images of the run's data set.

        Raises:
            ValueError: the images are not of the model's shape; or they are integers, have pixels above 2, as bytes
                from 0 to 255 are and have, or pixels that are no numbers.
            DataError: the test images can't be had.
            TrackingError: the server does not answer.
            RunError: the run has no model, it can't be loaded, or it takes more than images.
        """
        if images is not None:
            images = np.asarray(images)
            _check_pixels(images)
        from mnist_flow.evaluation.subject import LoadedModel

        model = self.load_model()
        if len(model.inputs) > 1:
            raise RunError(f"run {self.run_id}: its model takes {len(model.inputs)} inputs; load_model() gives it")
        given = self.load_data().test.images if images is None else images
        wanted = model.inputs[0].shape[1:]
        if not given.size:
            raise ValueError("images: there are none")
        if given.shape[1:] != wanted:
            raise ValueError(
                f"images: have the shape {given.shape}; the model takes (n, {', '.join(map(str, wanted))})"
            )
        scale = float(self.params.get("data.scale", 1))
        return LoadedModel(self.run_id, self.run_id, model, scale, _BATCH_SIZE).predict(given)

    def _connect(self) -> Any:
        return _connect(self.uri, key=None)


@one_at_a_time()
@cli.clear_errors("config", ())
def run(run_id: str, *, uri: str | None = None) -> Run:
    """Look up a training run.

    Args:
        run_id: its id in MLflow.
        uri: of the tracking server; None: MLFLOW_TRACKING_URI, or mlflow.db in the working directory.

    Raises:
        ConfigError: the notebook has set another tracking server, or the id is no text.
        TrackingError: the server does not answer, or has no such training run.
    """
    if not isinstance(run_id, str):
        raise ConfigError(f"run_id={run_id!r}: must be the id of a run, a text")
    tracking = _connect(uri)
    found = tracking.fetch_run(run_id)
    link = tracking.build_run_link(tracking.find_pages(), found.experiment_id, run_id)
    metrics = select_epoch(found.metrics)
    return Run(run_id, found.state, found.params, metrics, link, complete_tracking_uri(uri))


@one_at_a_time()
@cli.clear_errors("config", ())
def runs(
    experiments: str | Sequence[str] | None = None, *, filter: str | None = None, uri: str | None = None
) -> pd.DataFrame:
    """Fetch finished training runs as a table.

    Args:
        experiments: name of an MLflow experiment, or of several; None: all.
        filter: a further condition in MLflow's language, such as "params.reg = '0.0'".
        uri: see `run`.

    Returns:
        One row per run, in the order in which they ended; of runs of an experiment with the same config, data and code
        only the last. Columns: run_id, experiment, experiment_id, group (the same for runs that differ in the seed
        alone), parent_run_id, every param by its config path, and every metric, that of the epoch whose weights the
        run ended with.

    Raises:
        TrackingError: the server does not answer, has no such experiment, or the filter is malformed.
    """
    tracking = _connect(uri)
    tracking.check_filter("filter", filter)
    names = [experiments] if isinstance(experiments, str) else experiments
    known = tracking.list_experiments(names or [])
    for name in names or []:
        if name not in known:
            meant = did_you_mean(name, sorted(known))
            raise TrackingError(f"experiment '{name}': there is none at {tracking.get_uri()}{meant}")
    ids = {known[name]: name for name in (known if names is None else names)}
    found = sorted(tracking.fetch_runs(list(ids), filter), key=lambda run: run.end_time)
    if filter and not found:
        # With the columns that another condition may be about.
        return build_run_table(tracking.fetch_runs(list(ids)), ids).iloc[:0]
    return build_run_table(found, ids)


def _check_pixels(images: np.ndarray) -> None:
    """Refuse what no images are that were scaled as those of the training.

    Raises:
        ValueError: see `Run.predict`.
    """
    if images.dtype.kind not in "fiub":
        raise ValueError(f"images: must be an array of numbers, but are {images.dtype}")
    if not np.isfinite(images).all():
        raise ValueError("images: some pixels are NaN or infinite; leave out their images: np.isfinite finds them")
    highest = images.max(initial=0)
    if images.dtype.kind != "f" or highest > _MAX_PIXEL:
        remedy = "images / 255" if highest > 1 else "images.astype('float32')"
        told = f"{images.dtype}, up to {highest:g}"
        raise ValueError(f"images: pixels must be floats from 0 to 1, but are {told}; give {remedy}")


def _connect(uri: str | None, key: str | None = "uri") -> Any:
    """Choose the tracking server, and return the package that talks to it, whose import takes seconds."""
    cli.quiet_libraries()
    check_tracking_uri(uri, key)
    from mnist_flow import tracking

    tracking.configure(uri, writes=False)
    tracking.check_store_is_there()
    return tracking
