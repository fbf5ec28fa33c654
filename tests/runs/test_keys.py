"""What every key of the training config changes, and what it leaves as it is.

Each row of the table is a run on the digits that differs from a base in one key. Both go through `run_experiment`; they
tell a notebook what they would tell MLflow, figures are what they would be drawn from, and the few steps on few images
are not traced first, so that a row takes a third of a second. What comes out differently must be what the row says, no
more and no less.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mnist_flow import CONF_DIR, figures, tracking
from mnist_flow.config.section import flatten
from mnist_flow.config.train import INCIDENTAL
from mnist_flow.data.loading import load_data_set
from mnist_flow.runs import training
from mnist_flow.runs.orchestrator import run_experiment
from mnist_flow.training import devices
from mnist_flow.training.settings import TrainingSettings

# Groups whose options have keys of their own.
OPTIONS = ("optimizer", "schedule", "noise", "augmentation")
# 195 images are left to train on, of some digits more than of others.
ALWAYS = (
    *("data=digits", "data.holdout_size=1242", "epochs=2"),
    *("resume=false", "training.checkpoint_dir=null"),
)
DENOISER = ("evaluation.quality_images=10", "evaluation.noise_levels=[0.4]", "epochs=1")
SLOW = ("model=mlp", "model.hidden_units=[8]", "optimizer.learning_rate=1e-4", "epochs=4", "seed=2")
BASES: dict[str, tuple[str, ...]] = {
    "mlp": ("model=mlp", "model.hidden_units=[8,6]", "reg=1e-3", "optimizer.momentum=0.5"),
    "plain": ("model=mlp", "model.hidden_units=[8]"),
    "folds": ("model=mlp", "model.hidden_units=[8]", "data.folds=4", "data.fold=0"),
    # The digits in a file as MNIST is.
    "file": ("data=mnist", "data.path=digits.npz", "model=mlp", "model.hidden_units=[8]"),
    "adam": ("model=mlp", "model.hidden_units=[8]", "optimizer=adam"),
    "adamw": ("model=mlp", "model.hidden_units=[8]", "optimizer=adamw"),
    "rmsprop": ("model=mlp", "model.hidden_units=[8]", "optimizer=rmsprop"),
    "cosine": ("model=mlp", "model.hidden_units=[8]", "schedule=cosine"),
    "step": ("model=mlp", "model.hidden_units=[8]", "schedule=step", "schedule.step_epochs=1"),
    # A rate so small that no epoch counts as an improvement.
    "plateau": (
        *("model=mlp", "model.hidden_units=[8]", "schedule=plateau", "schedule.patience=1", "epochs=4"),
        "optimizer.learning_rate=1e-6",
    ),
    # Rates so small that each epoch lowers the loss a little, and never changes the accuracy.
    "slow": (*SLOW, "training.monitor=val_accuracy"),
    "slow, best": (*SLOW, "training.keep_best_epoch=true"),
    "slow, stopped": (*SLOW, "training.early_stopping_patience=1"),
    # Loss and accuracy improve in each epoch, so that the rate stays, whichever is looked at.
    "improving": (
        *("model=mlp", "model.hidden_units=[8]", "schedule=plateau", "schedule.patience=1", "epochs=3"),
        *("batch_size=32", "optimizer=adam"),
    ),
    "slow, plateau": (*SLOW, "schedule=plateau", "schedule.patience=1"),
    "gaussian": ("model=mlp", "model.hidden_units=[8]", "noise=gaussian"),
    "salt_and_pepper": ("model=mlp", "model.hidden_units=[8]", "noise=salt_and_pepper"),
    "affine": ("model=mlp", "model.hidden_units=[8]", "augmentation=affine"),
    "elastic": ("model=mlp", "model.hidden_units=[8]", "augmentation=elastic"),
    "shift": ("model=mlp", "model.hidden_units=[8]", "augmentation=shift"),
    "cnn": (
        "model=cnn",
        "model.blocks=[{filters:[2],kernel_size:3,pool_size:2},{filters:[2],kernel_size:2,pool_size:1}]",
        *("model.hidden_units=[8]", "reg=1e-3", "epochs=1"),
    ),
    "autoencoder": (
        *("model=autoencoder", "model.hidden_units=[8]", "model.latent_units=4", "noise=salt_and_pepper"),
        *DENOISER,
    ),
    "conv_autoencoder": ("model=conv_autoencoder", "model.filters=[4]", "model.latent_filters=2", *DENOISER),
    "unet": ("model=unet", "model.filters=[4]", "model.bottleneck_filters=2", *DENOISER),
    "cvae": ("model=cvae", "model.hidden_units=[8]", "model.latent_units=3", "epochs=1"),
}

# What a training gives: another training gives another of each.
TRAINING = {"loss", "validation", "weights", "test"}
CURVES = {"curves/epochs.png", "curves/epochs.svg"}
# Figures whose titles name the model and the data set.
TITLED = CURVES | {
    *("confusion_matrix/counts.png", "confusion_matrix/row_normalised.png", "samples/misclassified.png"),
}


class Row(NamedTuple):
    base: str
    # The override whose key the row is about, and those that it needs; `; ` between them.
    overrides: str
    # Exactly what differs, of what `Notebook.read` tells. Artifacts are compared where the weights are the same.
    changes: set[str]
    # What may differ in its last digits.
    may: frozenset[str] | set[str] = frozenset()


TABLE = [
    # The run
    Row("mlp", "reg=1e-2", TRAINING),
    Row("mlp", "seed=1", TRAINING | {"first weights", "seed of the epochs"}),
    Row("mlp", "epochs=3", TRAINING | {"rate", "selected"}),
    Row("mlp", "batch_size=64", TRAINING),
    Row("mlp", "published={setting: some, results: []}", set()),
    # Data
    Row("mlp", "data.validation=test", TRAINING | {"data", "largest batch"}),
    Row("mlp", "data.holdout_size=200", TRAINING | {"data", "largest batch"}),
    Row("mlp", "data.split_seed=1", TRAINING | {"data"}),
    Row("mlp", "data.folds=4; data.fold=0", TRAINING | {"data", "largest batch"}),
    Row("folds", "data.fold=1", TRAINING | {"data"}),
    Row("mlp", "data.scale=0.5", TRAINING | {"data"}),
    Row("file", "data.path=copy.npz", {"data"}),
    Row("plain", "data.name=mnist; data=mnist; data.path=digits.npz", {"data", *TITLED}),
    # Models
    Row("mlp", "model.name=other", TITLED | {"name", "model_diagram/diagram.png", "model_diagram/summary.txt"}),
    Row("plain", "model.family=cnn; model=cnn", TRAINING | {"parameters", "name", "largest batch"}),
    Row("mlp", "model.hidden_units=[8]", TRAINING | {"parameters"}),
    Row("mlp", "model.activation=tanh", TRAINING),
    # A dropout layer has a random state, which counts as a weight.
    Row("mlp", "model.dropout=0.2", TRAINING | {"first weights"}),
    Row("mlp", "model.batch_normalization=true", TRAINING | {"parameters"}),
    Row("mlp", "model.kernel_initializer=he_normal", TRAINING | {"first weights"}),
    # So has one of noise.
    Row("mlp", "model.gaussian_noise=0.2", TRAINING | {"first weights"}),
    Row("mlp", "model.centering=mass", TRAINING),
    Row("mlp", "model.regularized_layers=[dense_2]", TRAINING),
    Row("cnn", "model.zero_padding=2", TRAINING | {"parameters"}),
    Row("cnn", "model.blocks=[{filters: [3], kernel_size: 3, pool_size: 2}]", TRAINING | {"parameters"}),
    Row("cnn", "model.pooling=average", TRAINING),
    Row("cnn", "model.convolution_dropout=0.2", TRAINING | {"first weights"}),
    Row("cnn", "model.block_dropout=0.2", TRAINING | {"first weights"}),
    Row("cnn", "model.hidden_units=[6]", TRAINING | {"parameters"}),
    Row("cnn", "model.hidden_dropout=[0.2]", TRAINING | {"first weights"}),
    Row("cnn", "model.activation=tanh", TRAINING),
    Row("cnn", "model.hidden_activation=tanh", TRAINING),
    Row("cnn", "model.batch_normalization=true", TRAINING | {"parameters"}),
    Row("cnn", "model.batch_normalization_after=pooling; model.batch_normalization=true", TRAINING | {"parameters"}),
    Row("cnn", "model.centering=mass", TRAINING),
    Row("cnn", "model.regularized_layers=[conv_1]", TRAINING),
    Row("autoencoder", "model.hidden_units=[6]", TRAINING | {"parameters"}),
    Row("autoencoder", "model.latent_units=3", TRAINING | {"parameters"}),
    Row("autoencoder", "model.activation=tanh", TRAINING),
    Row("autoencoder", "model.latent_activation=linear", TRAINING),
    Row("conv_autoencoder", "model.filters=[3]", TRAINING | {"parameters"}),
    Row("conv_autoencoder", "model.latent_filters=3", TRAINING | {"parameters"}),
    Row("conv_autoencoder", "model.kernel_size=5", TRAINING | {"parameters"}),
    Row("conv_autoencoder", "model.activation=tanh", TRAINING),
    Row("unet", "model.filters=[3]", TRAINING | {"parameters"}),
    Row("unet", "model.bottleneck_filters=3", TRAINING | {"parameters"}),
    Row("unet", "model.kernel_size=5", TRAINING | {"parameters"}),
    Row("unet", "model.activation=tanh", TRAINING),
    Row("cvae", "model.hidden_units=[6]", TRAINING | {"parameters"}),
    Row("cvae", "model.latent_units=4", TRAINING | {"parameters"}),
    Row("cvae", "model.activation=tanh", TRAINING),
    # Optimizers and schedules
    Row("plain", "optimizer.name=adam; optimizer=adam", TRAINING | {"rate"}),
    Row("mlp", "optimizer.learning_rate=0.05", TRAINING | {"rate"}),
    Row("mlp", "optimizer.momentum=0.6", TRAINING),
    Row("mlp", "optimizer.nesterov=true", TRAINING),
    Row("adam", "optimizer.learning_rate=0.002", TRAINING | {"rate"}),
    Row("adam", "optimizer.beta_1=0.8", TRAINING),
    Row("adam", "optimizer.beta_2=0.9", TRAINING),
    Row("adamw", "optimizer.learning_rate=0.002", TRAINING | {"rate"}),
    Row("adamw", "optimizer.beta_1=0.8", TRAINING),
    Row("adamw", "optimizer.beta_2=0.9", TRAINING),
    Row("adamw", "optimizer.weight_decay=0.1", TRAINING),
    Row("rmsprop", "optimizer.learning_rate=0.002", TRAINING | {"rate"}),
    Row("rmsprop", "optimizer.rho=0.8", TRAINING),
    Row("rmsprop", "optimizer.momentum=0.5", TRAINING),
    Row("mlp", "schedule.name=cosine; schedule=cosine", TRAINING | {"rate"}),
    Row("cosine", "schedule.warmup_epochs=1", TRAINING | {"rate"}),
    Row("cosine", "schedule.final_fraction=0.5", TRAINING | {"rate"}),
    Row("step", "schedule.step_epochs=2", TRAINING | {"rate"}),
    Row("step", "schedule.factor=0.5", TRAINING | {"rate"}),
    Row("plateau", "schedule.factor=0.5", TRAINING | {"rate"}),
    Row("plateau", "schedule.patience=2", TRAINING | {"rate"}),
    Row("plateau", "schedule.min_learning_rate=5e-7", TRAINING | {"rate"}),
    # Noise and augmentation
    Row("mlp", "noise.name=gaussian; noise=gaussian", TRAINING),
    Row("gaussian", "noise.stddev=0.3", TRAINING),
    Row("gaussian", "noise.min_stddev=0", TRAINING),
    Row("gaussian", "noise.redraw=false", TRAINING),
    Row("salt_and_pepper", "noise.level=0.2", TRAINING),
    Row("salt_and_pepper", "noise.min_level=0", TRAINING),
    Row("salt_and_pepper", "noise.redraw=false", TRAINING),
    Row("mlp", "augmentation.name=shift; augmentation=shift", TRAINING),
    Row("affine", "augmentation.rotation=30", TRAINING),
    Row("affine", "augmentation.zoom=0.3", TRAINING),
    Row("affine", "augmentation.shift=0.3", TRAINING),
    Row("elastic", "augmentation.rotation=30", TRAINING),
    Row("elastic", "augmentation.zoom=0.3", TRAINING),
    Row("elastic", "augmentation.shift=0.3", TRAINING),
    Row("elastic", "augmentation.alpha=60", TRAINING),
    Row("elastic", "augmentation.sigma=6", TRAINING),
    Row("shift", "augmentation.max_pixels=1", TRAINING),
    # Training
    Row("slow, best", "training.monitor=val_accuracy", {"weights", "test", "selected"}),
    Row("slow, stopped", "training.monitor=val_accuracy", TRAINING | {"rate", "selected"}),
    Row("slow, plateau", "training.monitor=val_accuracy", TRAINING | {"rate"}),
    Row("improving", "training.monitor=val_accuracy", set()),
    Row("slow", "training.keep_best_epoch=true", {"weights", "test", "selected"}),
    Row("slow", "training.early_stopping_patience=1", TRAINING | {"rate", "selected"}),
    # The training itself goes on with the weights that are not averaged.
    Row("cnn", "training.ema_momentum=0.9", {"validation", "weights", "test"}),
    Row("mlp", "training.label_smoothing=0.1", TRAINING),
    Row("mlp", "training.adversarial_radius=1", TRAINING),
    Row("mlp", "training.class_weights=balanced", TRAINING),
    Row("mlp", "training.precision=mixed_bfloat16", TRAINING),
    Row("mlp", "training.threads=2", {"threads"}),
    Row("mlp", "training.steps_per_execution=1", {"steps a call"}),
    Row("mlp", "training.checkpoint_dir=kept", {"checkpoints"}),
    Row("mlp", "training.keep_state=true", {"state/last_epoch.npz"}),
    # Measures
    # On some processors a row of a matrix product depends, in its last bits, on how many rows there are.
    Row(
        "mlp",
        "evaluation.batch_size=100",
        {"largest batch", "validation batch"},
        # On some processors the last bits of a prediction depend on the batch, and so does the order of the mistakes.
        may={"validation", "test", "predictions/test.npz", "samples/misclassified.png", *CURVES},
    ),
    Row("mlp", "evaluation.objective=test_loss", {"objective"}),
    Row("mlp", "evaluation.misclassified=3", {"samples/misclassified.png"}),
    Row("autoencoder", "evaluation.noise_levels=[0.2]", {"test", "tables/reconstruction.json", "samples/levels.png"}),
    Row("autoencoder", "evaluation.quality_images=20", {"test", "tables/reconstruction.json"}),
    Row("autoencoder", "evaluation.samples_every=1", {"samples/epochs/epoch_001.png"}),
    # Tracking
    Row("mlp", "tracking.experiment_name=other", {"experiment"}),
    Row("mlp", "tracking.uri=http://other", {"uri"}),
    Row("mlp", "tracking.run_name=other", {"name"}),
    Row("mlp", "tracking.system_metrics=true", {"system_metrics"}),
    Row("mlp", "tracking.log_model=false", {"weights", "model"}),
    Row("mlp", "tracking.log_figures=false", TITLED | {"model_diagram/diagram.png"}),
    Row("mlp", "tracking.patience=5", {"patience"}),
    Row("mlp", "tracking.undelivered_dir=other", {"undelivered_dir"}),
    Row("mlp", "tracking.stale_after=300", {"stale_after"}),
]
# Keys that name the option of a group.
CHOOSING = {"data.name", "model.family", *(f"{group}.name" for group in OPTIONS)}
# Keys about runs that are there already, which a row has none of: test_orchestrator.py; those of sweeps and of the
# registry are tried in tests/sweeps/test_models.py.
ABOUT_OTHER_RUNS = {
    "replicates",
    "resume",
    "plan",
    "zip",
    "jobs",
    "training.warm_start",
    "tracking.changed_code",
    "tracking.rerun_of",
    "tracking.keep_models",
    "tracking.register",
    "tracking.alias",
    "tracking.move_alias",
}


class Notebook:
    """Stands where the run of MLflow does, and keeps what it is told."""

    run_id = "r"
    experiment_id = "1"

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.history: list[dict[str, float]] = []
        self.metrics: dict[str, float] = {}
        self.told: dict[str, Any] = {"largest batch": 0}
        self.artifacts: dict[str, Any] = {}

    def keep_console(self, console: Any) -> None:
        """What is said is about this moment."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.params.update(params)

    def log_data_set(self, info: Any, parts: Mapping[str, Any]) -> None:
        self.told["data"] = [info.name, info.source, *[[part.images, part.labels] for part in parts.values()]]

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.history.append(dict(metrics))
        self.told["checkpoints"] = sorted(str(folder) for folder in Path().glob(f"*/{self.run_id}"))

    def log_metrics(self, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        self.metrics.update(metrics)

    def log_artifacts(self, **kinds: Mapping[str, Any]) -> None:
        for artifacts in kinds.values():
            self.artifacts.update(artifacts)

    def log_model(self, model: Any, input_example: Any, output_example: Any, own_parts: Any) -> None:
        self.told["weights"] = model.get_weights()
        self.told["model"] = True

    def read(self) -> dict[str, Any]:
        """What came out, by name; what is about this moment, and the config itself, are left out."""

        def pick(*names: str) -> list[dict[str, float]]:
            return [{name: epoch[name] for name in names if name in epoch} for epoch in self.history]

        return {
            **self.told,
            "loss": pick("loss", "accuracy"),
            "validation": pick("val_loss", "val_accuracy"),
            "rate": pick("learning_rate"),
            "test": {name: value for name, value in self.metrics.items() if name.startswith("test_")},
            "selected": self.metrics["selected_epoch"],
            "parameters": self.metrics["n_parameters"],
            **{
                path: content
                for path, content in self.artifacts.items()
                if not path.startswith(("config/", "environment/"))
            },
        }


@cache
def compose_run(*overrides: str) -> Any:
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose("config", list(overrides))


def compose_row(base: Sequence[str], overrides: Sequence[str]) -> Any:
    """As `compose_run` of both, and faster where the overrides choose no option of a group."""
    if any(Path(CONF_DIR, text.partition("=")[0]).is_dir() for text in overrides):
        return compose_run(*ALWAYS, *base, *overrides)
    return OmegaConf.merge(compose_run(*ALWAYS, *base), OmegaConf.from_dotlist(list(overrides)))


def to_digest(value: Any) -> str:
    """Equal for equal values: arrays, tables, and what JSON holds of them."""

    def to_plain(value: Any) -> Any:
        if isinstance(value, pd.DataFrame):
            return value.to_json(double_precision=15)
        if isinstance(value, np.ndarray):
            return [value.shape, hashlib.sha256(np.ascontiguousarray(value)).hexdigest()]
        return value.item() if isinstance(value, np.generic) else str(value)

    return hashlib.sha256(json.dumps(value, default=to_plain).encode()).hexdigest()


@pytest.fixture(scope="module")
def observe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a config; returns its params, its fingerprint, and digests of what came out. The same config is run once."""
    notebook = Notebook()
    seen: dict[Any, tuple[dict[str, Any], str, dict[str, str]]] = {}

    @contextmanager
    def start_run(experiment: str, name: str, tags: Mapping[str, str], **asked: Any) -> Iterator[Notebook]:
        notebook.told |= {"experiment": experiment, "name": name, "fingerprint": tags[tracking.FINGERPRINT_TAG]}
        notebook.told |= {key: asked[key] for key in ("stale_after", "system_metrics")}
        options = asked["options"]
        notebook.told |= {"patience": options.patience, "undelivered_dir": str(options.undelivered_dir)}
        yield notebook

    train_model = training.train_model

    def note_start(model: Any, *arguments: Any, **options: Any) -> Any:
        (settings,) = [one for one in (*arguments, *options.values()) if isinstance(one, TrainingSettings)]
        notebook.told |= {"first weights": model.get_weights(), "seed of the epochs": settings.seed}
        notebook.told["steps a call"] = settings.steps_per_execution
        notebook.told["validation batch"] = settings.evaluation_batch_size
        return train_model(model, *arguments, **options)

    predict_on_batch = keras.Model.predict_on_batch

    def note_batch(model: Any, batch: Any) -> Any:
        size = len(batch[0]) if isinstance(batch, list) else len(batch)
        notebook.told["largest batch"] = max(size, notebook.told["largest batch"])
        return predict_on_batch(model, batch)

    def run(base: tuple[str, ...], *overrides: str) -> tuple[dict[str, Any], str, dict[str, str]]:
        if (base, overrides) not in seen:
            notebook.__init__()  # type: ignore[misc]
            notebook.told["objective"] = run_experiment(compose_row(base, overrides))
            read = notebook.read()
            fingerprint = read.pop("fingerprint")
            seen[base, overrides] = (
                notebook.params,
                fingerprint,
                {name: to_digest(value) for name, value in read.items()},
            )
        return seen[base, overrides]

    folder = tmp_path_factory.mktemp("keys")
    digits = load_data_set("digits")
    arrays = {
        f"{letter}_{part}": values
        for part, images in (("train", digits.train), ("test", digits.test))
        for letter, values in (("x", np.rint(images.images * 255).astype(np.uint8)), ("y", images.labels))
    }
    for name in ("digits", "copy"):
        np.savez(folder / f"{name}.npz", **arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(tracking, "configure", lambda uri, name=None: notebook.told.update(uri=uri))
        patch.setattr(tracking, "get_or_create_experiment", lambda name: name)
        patch.setattr(tracking, "close_stale_runs", lambda experiments, stale_after: [])
        patch.setattr(tracking, "start_run", start_run)
        patch.setattr(devices, "configure_tensorflow", lambda threads: notebook.told.update(threads=threads))
        patch.setattr(training, "train_model", note_start)
        patch.setattr(keras.Model, "predict_on_batch", note_batch)
        for name in [name for name in vars(figures) if name.startswith("plot_")]:
            patch.setattr(figures, name, lambda *arguments, **options: [arguments, options])
        tf.config.run_functions_eagerly(True)
        yield run
        tf.config.run_functions_eagerly(False)


def list_overrides(row: Row) -> list[str]:
    """The overrides of a row as Hydra takes them; the name of an option is set by choosing it."""
    return [text for text in row.overrides.split("; ") if text.partition("=")[0] not in CHOOSING]


@pytest.mark.parametrize("row", TABLE, ids=[f"{row.base}: {row.overrides}" for row in TABLE])
def test_a_key_changes_what_it_says_and_nothing_else(observe: Any, row: Row) -> None:
    key = row.overrides.partition("=")[0]
    base_params, base_fingerprint, base = observe(BASES[row.base])
    params, fingerprint, found = observe(BASES[row.base], *list_overrides(row))
    differing = {name for name in base.keys() | found.keys() if base.get(name) != found.get(name)}
    if "weights" in row.changes:
        differing = {name for name in differing if "/" not in name or name in row.changes}
    if "parameters" in row.changes:
        differing -= {"first weights"}
    if "validation" in row.changes:
        # It may be the same accuracy by chance.
        differing -= {"objective"}
    assert differing - row.may == row.changes
    if key != "published":
        assert params[key] != base_params.get(key)
    assert (fingerprint == base_fingerprint) == (key == "published" or key.startswith(INCIDENTAL))


@cache
def list_keys(*overrides: str) -> set[str]:
    """The keys of a config; those of a section whose option sets its keys with the option's name before them."""
    cfg = compose_run(*overrides)
    named = {
        "model": cfg.model.family,
        **{one: cfg[one].name for one in ("optimizer", "schedule", "noise", "augmentation")},
    }
    keys = set()
    for key in flatten(cfg):
        section, _, rest = key.partition(".")
        keys.add(f"{named[section]} {key}" if section in named and rest not in ("name", "family") else key)
    return keys


def test_every_key_has_a_row() -> None:
    wanted = list_keys("data=digits") | list_keys("data=mnist")
    for group in ("model", *OPTIONS):
        for file in Path(CONF_DIR, group).glob("*.yaml"):
            wanted |= list_keys(f"{group}={file.stem}")
    covered = set(ABOUT_OTHER_RUNS)
    for row in TABLE:
        key = row.overrides.partition("=")[0]
        covered |= {one for one in list_keys(*ALWAYS, *BASES[row.base]) if one.rpartition(" ")[2] == key}
    assert covered == wanted
