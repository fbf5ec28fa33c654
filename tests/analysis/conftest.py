"""Studies of runs that were trained and measured in a store that the slow tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from hydra import compose, initialize_config_dir

from mnist_flow import CONF_DIR, tracking
from mnist_flow.analysis.study import StudyResult, run_study
from mnist_flow.evaluation.orchestrator import evaluate_runs
from mnist_flow.runs.orchestrator import run_experiment

CLASSIFIER = (
    *("model=cnn", "model.blocks=[{filters:[3],kernel_size:3,pool_size:4}]", "model.hidden_units=[]"),
    *("model.hidden_dropout=[]", "model.convolution_dropout=0.2", "tracking.experiment_name=classifiers"),
)


@pytest.fixture(autouse=True)
def figures_stay(pictures: None) -> None:
    """What is drawn is compared as a whole, too."""


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store: two kinds of autoencoders and a classifier, trained for an epoch and measured.

    Latents are measured of both seeds of `autoencoder_2d` and seed 0 of `autoencoder`, the classifiers of seeds 0 and
    1 behind both kinds of denoisers, and feature maps of seeds 2 and 1, first of the digit 5, then of 7 and 3.
    """
    folder = tmp_path_factory.mktemp("measured")
    uri = f"tracking.uri='sqlite:///{folder / 'mlflow.db'}'"
    small = [
        *("data=digits", "epochs=1", "batch_size=32", "evaluation.quality_images=5"),
        *("tracking.log_figures=false", uri),
    ]
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(CONF_DIR, version_base="1.3"):
        patch.chdir(folder)

        def train(seed: int, *overrides: str) -> None:
            run_experiment(compose("config", [*small, *overrides, f"seed={seed}"]))

        def measure(*overrides: str) -> None:
            evaluate_runs(compose("evaluate", [*overrides, uri]))

        for name in ("autoencoder", "autoencoder_2d"):
            for seed in (1, 0):
                noise = ["noise=salt_and_pepper", "evaluation.noise_levels=[0.4]"]
                train(seed, f"model={name}", *noise, f"tracking.experiment_name={name}")
        for seed in (0, 2, 1):
            train(seed, *CLASSIFIER)
        ids = {
            (name, int(run.params["seed"])): run.run_id
            for name in ("autoencoder", "autoencoder_2d", "classifiers")
            for run in tracking.fetch_runs([str(tracking.find_experiment(name))])
        }
        measure("measure=latent", "tracking.experiment_name=autoencoder_2d")
        measure("measure=latent", f"run_ids=[{ids['autoencoder', 0]}]")
        pair = f"run_ids=[{ids['classifiers', 0]},{ids['classifiers', 1]}]"
        short = [
            "measure.denoising.levels=[0.0,0.5]",
            "measure.denoising.draws=2",
            "measure.denoising.quality_images=5",
        ]
        for name in ("autoencoder", "autoencoder_2d"):
            measure("measure=denoising", f"measure.denoising.denoiser.experiment_name={name}", *short, pair)
        for digits in ("[5]", "[7,3]"):
            chosen = f"run_ids=[{ids['classifiers', 2]},{ids['classifiers', 1]}]"
            measure("measure=feature_maps", f"measure.feature_maps.digits={digits}", chosen)
    mlflow.set_tracking_uri(None)
    return folder


@pytest.fixture
def analyze(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StudyResult]]:
    """Overrides → a study of the store in the folder `measured`, drawn into `tmp_path`."""
    monkeypatch.chdir(measured)

    def run(*overrides: str) -> StudyResult:
        store = f"tracking.uri='sqlite:///{measured / 'mlflow.db'}'"
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("analyze", [f"output_dir={tmp_path}", store, *overrides])
        return run_study(cfg)

    yield run
    mlflow.set_tracking_uri(None)
