"""A whole run on the digits, read back through MLflow's client."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

from mnist_flow import CONF_DIR, tracking
from mnist_flow.errors import BusyError, ConfigError, DivergedError, PrunedError, RunError, TrackingError, UserError
from mnist_flow.runs import orchestrator
from mnist_flow.runs import training as runs_training
from mnist_flow.runs.observer import RunObserver
from mnist_flow.runs.orchestrator import run_experiment
from mnist_flow.tracking import delivery, names
from support import PROCESS_ELSEWHERE, QUICK, count_calls, watch_store

ARTIFACTS = {
    "config/config.yaml",
    "confusion_matrix/confusion_matrix.json",
    "confusion_matrix/counts.png",
    "confusion_matrix/row_normalised.png",
    "curves/epochs.png",
    "curves/epochs.svg",
    "environment/git.json",
    "environment/machine.json",
    "environment/packages.txt",
    "model_diagram/diagram.png",
    "model_diagram/summary.txt",
    "predictions/test.npz",
    "samples/misclassified.png",
    "tables/per_class.json",
}

# Beginnings of the names of methods that write.
WRITES = ("create_", "delete_", "finalize_", "log_", "record_", "set_", "update_")


def only_run(client: mlflow.MlflowClient, name: str = "mnist_flow") -> mlflow.entities.Run:
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1
    return runs[0]


def list_artifacts(client: mlflow.MlflowClient, run_id: str, folder: str = "") -> set[str]:
    found: set[str] = set()
    for entry in client.list_artifacts(run_id, folder):
        found |= list_artifacts(client, run_id, entry.path) if entry.is_dir else {entry.path}
    return found


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    """A folder whose store has one finished run, which several tests read, and the objective of that run."""
    folder = tmp_path_factory.mktemp("finished")
    config = [
        *QUICK,
        "tracking.log_figures=true",
        "reg=1e-4",
        "seed=3",
        f"tracking.uri='sqlite:///{folder / 'mlflow.db'}'",
    ]
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(CONF_DIR, version_base="1.3"):
        patch.chdir(folder)
        return folder, run_experiment(compose("config", config))


@pytest.fixture
def folder(finished_once):
    return finished_once[0]


@pytest.fixture
def finished(client):
    return client, only_run(client)


def test_a_run_leaves_everything_in_mlflow(finished, finished_once, tmp_path):
    client, run = finished
    _, objective = finished_once
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.learning_rate"] == "0.1"
    assert run.data.params["reg"] == "0.0001"
    assert run.data.params["model.hidden_units"] == "[16]"
    assert run.data.params["data.validation"] == "holdout"

    tags = run.data.tags
    assert tags["mnist_flow.kind"] == "train"
    assert len(tags["mnist_flow.fingerprint"]) == len(tags["mnist_flow.group"]) == 16
    assert tags["mnist_flow.fingerprint"] != tags["mnist_flow.group"]

    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        assert [point.step for point in client.get_metric_history(run.info.run_id, name)] == [1, 2]
    assert run.data.metrics["fit_seconds"] > 0
    assert objective == run.data.metrics["selected_val_accuracy"]

    assert list_artifacts(client, run.info.run_id) >= ARTIFACTS
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    packages = (folder / "environment/packages.txt").read_text().splitlines()
    assert "tensorflow==2.21.0" in packages
    machine = json.loads((folder / "environment/machine.json").read_text())
    assert machine["intra_op_threads"] == 1


@pytest.mark.parametrize("epochs", [2, 12])
def test_a_run_writes_to_the_store_once_an_epoch_and_eleven_times_besides(store, compose_config, monkeypatch, epochs):
    """Counted, since a server may be far away; besides the heartbeats, which a slow machine adds."""
    monkeypatch.setattr(delivery, "HEARTBEAT_SECONDS", 3600)
    calls = watch_store(monkeypatch.setattr)
    run_experiment(compose_config(*QUICK, f"epochs={epochs}"))
    written = sum(number for name, number in calls.items() if name.startswith(WRITES))
    assert calls["log_batch"] <= epochs + 4
    assert written <= epochs + 11
    assert calls.total() - written <= 8


def test_each_job_of_a_process_is_traced_once(store, compose_config, monkeypatch):
    """The gradient step, the validation step, and the predictions, of two numbers of images."""
    traced = count_calls(monkeypatch, *((keras.Model, f"{kind}_step") for kind in ("train", "test", "predict")))
    for reg in (0, 1e-4):
        run_experiment(compose_config(*QUICK, f"reg={reg}"))
    # The first validation step of each builds its metrics. There are 360 test images and 300 validation images.
    assert traced == {"train_step": 2, "test_step": 4, "predict_step": 4}


@pytest.mark.parametrize(("log_figures", "n_drawn"), [("true", 6), ("false", 0)])
def test_a_run_draws_six_pictures_or_none_and_makes_three_folders_of_artifacts(
    store, compose_config, monkeypatch, log_figures, n_drawn
):
    drawn, sent = [], []
    monkeypatch.setattr(delivery, "HEARTBEAT_SECONDS", 3600)  # A slow machine would add some.
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: drawn.append(file.name))
    deliver = delivery.deliver
    monkeypatch.setattr(
        delivery, "deliver", lambda *arguments: (sent.append(arguments[3]["kind"]), deliver(*arguments))
    )
    run_experiment(compose_config(*QUICK, f"tracking.log_figures={log_figures}"))
    assert len(drawn) == n_drawn
    # The last is the console's, which is sent when all has been said.
    assert Counter(sent)["artifacts"] == 3
    assert len(sent) <= 11


def test_the_second_job_of_a_process_trains_on_the_arrays_of_the_first(store, compose_config, monkeypatch):
    trained_on = []
    train = runs_training.train_network

    def note(context, *arguments):
        trained_on.append((context.splits.train, context.splits.validation))
        return train(context, *arguments)

    monkeypatch.setattr(runs_training, "train_network", note)
    for seed in (0, 1):
        run_experiment(compose_config(*QUICK, "epochs=1", f"seed={seed}"))
    first, second = trained_on
    assert all(one.images is other.images for one, other in zip(first, second, strict=True))


def test_the_data_is_logged_as_inputs_with_digests(finished):
    _, run = finished
    inputs = {item.tags[0].value: item.dataset for item in run.inputs.dataset_inputs}
    assert set(inputs) == {"training", "validation", "test"}
    assert inputs["training"].name == "digits_training"
    assert inputs["training"].digest.endswith("-training-1137")
    assert len({dataset.digest for dataset in inputs.values()}) == 3


def test_the_logged_model_classifies_like_the_run(finished, tmp_path):
    client, run = finished
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    saved = np.load(client.download_artifacts(run.info.run_id, "predictions/test.npz", str(tmp_path)))
    from mnist_flow.data.loading import load_data_set

    images = load_data_set("digits").test.images
    np.testing.assert_allclose(model.predict(images), saved["probabilities"], atol=1e-6)
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 28, 28, 1)
    assert model.metadata.get_input_schema().numpy_types() == [np.dtype("float32")]
    assert model.input_example.shape == (5, 28, 28, 1)


def test_the_same_config_gives_the_same_numbers_after_another_job(store, compose_config):
    config = ["noise=salt_and_pepper", "noise.level=0.1", "augmentation=shift", "model.dropout=0.2"]
    run_experiment(compose_config(*QUICK, *config, "tracking.experiment_name=first"))
    run_experiment(compose_config("data=digits", "model=lenet5", "epochs=1", "tracking.experiment_name=between"))
    run_experiment(compose_config(*QUICK, *config, "tracking.experiment_name=second"))
    run_experiment(compose_config(*QUICK, *config, "seed=1", "tracking.experiment_name=other"))
    histories = {
        name: [
            (metric, point.value)
            for metric in ("loss", "accuracy", "val_loss", "val_accuracy", "test_loss")
            for point in store.get_metric_history(only_run(store, name).info.run_id, metric)
        ]
        for name in ("first", "second", "other")
    }
    assert histories["first"] == histories["second"]
    assert histories["first"] != histories["other"]
    fingerprints = {
        name: only_run(store, name).data.tags["mnist_flow.fingerprint"] for name in ("first", "second", "other")
    }
    groups = {name: only_run(store, name).data.tags["mnist_flow.group"] for name in ("first", "second", "other")}
    assert fingerprints["first"] == fingerprints["second"] != fingerprints["other"]
    assert groups["first"] == groups["second"] == groups["other"]


@pytest.mark.parametrize(
    ("overrides", "notes"),
    [
        ([], ["the same command goes on from the last finished epoch"]),
        (["resume=false"], []),
        (["training.checkpoint_dir=null"], []),
    ],
    ids=["kept", "anew", "not kept"],
)
def test_an_interrupted_run_says_how_it_goes_on_where_it_can(store, compose_config, overrides, notes):
    class Interrupted(RunObserver):
        def on_start(self, run_id):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_experiment(compose_config(*QUICK, *overrides), Interrupted())
    assert getattr(caught.value, "__notes__", []) == notes
    assert only_run(store).info.status == "KILLED"


def test_an_observer_hears_of_each_epoch_and_ends_a_run_whose_checkpoints_go_with_it(store, compose_config, tmp_path):
    heard = []

    class Pruner(RunObserver):
        def on_epoch(self, epoch, metrics):
            heard.append((epoch, set(metrics) >= {"loss", "val_accuracy"}))
            if epoch == 2:
                raise PrunedError(epoch, "hopeless")

    with pytest.raises(PrunedError):
        run_experiment(compose_config(*QUICK, "epochs=3"), Pruner())
    assert heard == [(1, True), (2, True)]
    assert list(tmp_path.glob("checkpoints/*")) == []


def test_a_diverged_run_is_failed_and_says_at_which_epoch(store, compose_config, tmp_path):
    with pytest.raises(DivergedError, match=r"epoch 1.*smaller optimizer\.learning_rate"):
        run_experiment(compose_config(*QUICK, "optimizer.learning_rate=1e30"))
    run = only_run(store)
    assert run.info.status == "FAILED"
    trace = Path(store.download_artifacts(run.info.run_id, "traceback.txt", str(tmp_path))).read_text(encoding="utf-8")
    assert "DivergedError" in trace


@pytest.mark.parametrize("override", ["reg=-1", "data.path=nowhere.npz", "data.holdout_size=5000"])
def test_bad_input_leaves_no_run(store, compose_config, override):
    data = [] if override.startswith("data.path") else ["data=digits"]
    with pytest.raises(UserError, match=override.split("=")[0].replace(".", r"\.")):
        run_experiment(compose_config(*data, override))
    assert mlflow.search_runs(search_all_experiments=True).empty


def test_an_option_that_the_optimizer_does_not_have_leaves_no_run(store, compose_config):
    with pytest.raises(ConfigError, match=r"optimizer=sgd: .*rho"):
        run_experiment(compose_config(*QUICK, "+optimizer.rho=0.5"))
    assert mlflow.search_runs(search_all_experiments=True).empty


def test_a_deleted_experiment_is_a_clear_error(store, compose_config):
    store.delete_experiment(store.create_experiment("gone"))
    with pytest.raises(TrackingError, match=r"gone.*deleted"):
        run_experiment(compose_config(*QUICK, "tracking.experiment_name=gone"))


@pytest.mark.parametrize("objective", ["val_loss", "test_accuracy", "val_balanced_accuracy"])
def test_the_objective_can_be_chosen(store, compose_config, objective):
    value = run_experiment(compose_config(*QUICK, "epochs=1", f"evaluation.objective={objective}"))
    assert value == only_run(store).data.metrics[objective]


def test_credentials_of_the_tracking_uri_stay_out_of_the_run(store, compose_config, tmp_path, monkeypatch):
    # The variable wins over the config, so the run lands here while its config holds the credentials.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    password = secrets.token_hex()
    run_experiment(compose_config(*QUICK, "epochs=1", f"tracking.uri='http://ada:{password}@example.org'"))
    run = only_run(store)
    assert run.data.params["tracking.uri"] == "http://***@example.org"
    folder = Path(store.download_artifacts(run.info.run_id, "", str(tmp_path)))
    for file in folder.rglob("*"):
        assert not file.is_file() or password.encode() not in file.read_bytes()


@pytest.mark.skipif("MNIST_NPZ" not in os.environ, reason="MNIST_NPZ is not set")
def test_the_real_mnist_is_learned(store, compose_config):
    assert run_experiment(compose_config("model=mlp_64_64", "epochs=2")) > 0.92
    run = only_run(store)
    assert run.data.metrics["test_accuracy"] > 0.92
    assert run.data.metrics["n_parameters"] == 55_050
    assert {item.dataset.digest for item in run.inputs.dataset_inputs} == {
        "06b0d1f124c4e5fa-training-50000",
        "06b0d1f124c4e5fa-validation-10000",
        "06b0d1f124c4e5fa-test-10000",
    }


DENOISER = ["data=digits", "model=autoencoder", "model.hidden_units=[16]", "model.latent_units=8", "epochs=2"]


def test_a_denoisers_levels_are_those_of_its_kind_of_noise(store, compose_config, tmp_path):
    shown = ["evaluation.noise_levels=[0.0,0.4]", "evaluation.quality_images=20"]
    run_experiment(compose_config(*DENOISER, *shown, "noise=gaussian"))
    run = only_run(store)
    file = store.download_artifacts(run.info.run_id, "tables/reconstruction.json", str(tmp_path))
    table = pd.read_json(file, orient="split")
    assert table["method"].tolist() == ["noisy", "median_3x3", "denoised"] * 2
    assert table["stddev"].tolist() == [0.0] * 3 + [0.4] * 3
    assert {f"test_{measure}_at_stddev_0.4" for measure in ("psnr", "ssim")} <= run.data.metrics.keys()
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert model.metadata.signature.outputs.inputs[0].shape == (-1, 28, 28, 1)


def test_a_finished_denoiser_is_not_trained_again(store, compose_config, capsys):
    config = compose_config(*DENOISER, "epochs=1", "noise=salt_and_pepper")
    first = run_experiment(config)
    assert run_experiment(config) == first
    only_run(store)
    assert "has the same config and data and is finished" in capsys.readouterr().out


@pytest.fixture
def count_runs(store, compose_config):
    """Run a config in a real store; returns how many runs are there then, and the newest."""

    def run(*overrides):
        run_experiment(compose_config(*QUICK, "epochs=1", *overrides))
        found = store.search_runs(["1"], order_by=["attributes.start_time DESC"])
        return len(found), found[0]

    return run


def test_a_run_is_made_once_unless_the_config_says_otherwise(store, count_runs, capsys):
    n_runs, first = count_runs()
    assert n_runs == 1
    assert count_runs()[0] == 1
    assert f"run {first.info.run_id} has the same config and data and is finished" in capsys.readouterr().out
    assert count_runs("resume=false")[0] == 2
    for run in store.search_runs(["1"]):
        store.set_tag(run.info.run_id, tracking.CODE_TAG, "code of then")
    assert count_runs()[0] == 2
    n_runs, last = count_runs("tracking.changed_code=retrain")
    assert n_runs == 3
    assert last.data.tags[tracking.CODE_TAG] != "code of then"
    assert tracking.RERUN_OF_TAG not in last.data.tags
    n_runs, again = count_runs(f"tracking.rerun_of={first.info.run_id}", "resume=false")
    assert n_runs == 4
    assert again.data.tags[tracking.RERUN_OF_TAG] == first.info.run_id
    assert again.data.tags[tracking.RERUN_AGREES_TAG] == "identical"


def test_a_classifier_of_the_users_own_without_a_softmax_is_failed_before_it_is_trained(
    store, compose_config, tmp_path, monkeypatch
):
    (tmp_path / "no_softmax.py").write_text(
        "import keras\nfrom mnist_flow.config.train import ModelSection\n\nclass Config(ModelSection):\n    pass\n\n"
        "def build(config, info):\n    images = keras.Input(info.input_shape)\n"
        "    return keras.Model(images, keras.layers.Dense(info.n_classes)(keras.layers.Flatten()(images)))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = compose_config(*QUICK)
    cfg.model = {"name": "mine", "family": "mine", "module": "no_softmax"}
    with pytest.raises(
        RunError, match=r"no_softmax.py:7: build returned a network whose outputs are no probabilities: "
    ):
        run_experiment(cfg)
    assert store.search_runs(["1"])[0].info.status == "FAILED"


def test_a_plan_starts_nothing_and_replicates_are_for_sweeps(store, compose_config, capsys):
    assert np.isnan(run_experiment(compose_config(*QUICK, "plan=true")))
    assert "0 done or running, 1 to train" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="replicates=2: is for sweeps"):
        run_experiment(compose_config(*QUICK, "replicates=2"))
    assert store.search_experiments(filter_string="name = 'mnist_flow'") == []


def test_a_config_that_another_process_trains_is_refused_unless_the_config_says_otherwise(store, count_runs):
    _, first = count_runs()
    alive = {
        **{key: value for key, value in first.data.tags.items() if key.startswith("mnist_flow.")},
        names.PROCESS_TAG: PROCESS_ELSEWHERE,
        names.HEARTBEAT_TAG: str(int(time.time())),
    }
    store.delete_run(first.info.run_id)
    other = store.create_run("1", tags=alive).info.run_id
    with pytest.raises(BusyError, match=f"run {other} of process .* has the same config; wait for it, or resume=false"):
        count_runs()
    n_runs, last = count_runs("resume=false")
    assert (n_runs, last.info.status) == (2, "FINISHED")


@pytest.mark.parametrize(
    ("params", "typed", "is_told"),
    [
        ({"reg": "0,1", "seed": "0,1"}, [], True),
        ({"reg": "0,1", "seed": "0,1"}, ["seed=3"], True),
        ({"reg": "0,1", "seed": "0,1"}, ["reg=0"], False),
        ({"seed": "0,1"}, [], False),
        (None, [], False),
    ],
)
def test_one_run_of_a_preset_over_more_than_seeds_says_how_to_get_all(capsys, params, typed, is_told):
    orchestrator._tell_of_sweep(SimpleNamespace(sweeper={"params": params}), typed)
    line = "one run of the sweep that the preset describes; all of it: add -m\n"
    assert capsys.readouterr().out == (line if is_told else "")
