"""python -m mnist_flow.rerun in a subprocess, and the config that it composes."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from types import SimpleNamespace

import mlflow
import pytest
import yaml

from mnist_flow import tracking
from mnist_flow.errors import ConfigError, TrackingError
from mnist_flow.rerun import main as train_again
from mnist_flow.runs import replay
from mnist_flow.runs.replay import compare_with_original, fetch_original, write_config
from support import QUICK

RERUN = ("-m", "mnist_flow.rerun")


@pytest.fixture(scope="module")
def original(tmp_path_factory, run_command):
    """The folder of a run that was made with overrides, its client, and the run."""
    folder = tmp_path_factory.mktemp("original")
    overrides = ["reg=1e-4", "seed=3", "model.dropout=0.2", "noise=gaussian", "optimizer.momentum=0.5"]
    done = run_command(folder, "-m", "mnist_flow.train", *QUICK, *overrides, "tracking.run_name=mine")
    assert done.returncode == 0, done.stderr
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("mnist_flow").experiment_id])
    return folder, client, run


@pytest.fixture
def rerun(original, run_command):
    """Run it again with these arguments; returns what the command said and the new run, if there is one."""
    folder, client, first = original

    def run(*arguments, run_id=first.info.run_id):
        done = run_command(folder, *RERUN, f"run_id={run_id}", *arguments)
        newest, *_ = client.search_runs([first.info.experiment_id], order_by=["attributes.start_time DESC"])
        return done, newest if newest.info.run_id != first.info.run_id else None

    return run


def test_a_run_is_repeated_with_identical_metrics(original, rerun):
    _, client, first = original
    done, run = rerun()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"repeats run {first.info.run_id}: all " in done.stdout
    assert "metrics are identical" in done.stdout
    assert run.info.status == "FINISHED"
    assert run.data.tags["mnist_flow.rerun_of"] == first.info.run_id
    assert run.data.tags["mnist_flow.rerun_agrees"] == "identical"
    assert run.data.tags["mnist_flow.fingerprint"] == first.data.tags["mnist_flow.fingerprint"]
    for name in ("loss", "val_loss", "test_loss", "test_accuracy"):
        assert run.data.metrics[name] == first.data.metrics[name]
    different = {key for key, value in first.data.params.items() if run.data.params[key] != value}
    # The repetition is recorded as is usual, with figures.
    assert different == {"resume", "tracking.run_name", "tracking.rerun_of", "tracking.log_figures"}
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 2


def test_a_group_that_is_chosen_is_the_projects_own_and_differences_are_told(original, rerun):
    _, _, first = original
    done, run = rerun("optimizer=adam")
    assert (done.returncode, done.stderr) == (0, "")
    params = run.data.params
    assert (params["optimizer.name"], params["optimizer.learning_rate"]) == ("adam", "0.001")
    assert "optimizer.momentum" not in params
    assert (params["reg"], params["seed"], params["noise.name"]) == ("0.0001", "3", "gaussian")
    assert run.data.tags["mnist_flow.rerun_agrees"] == "differs"
    assert f"has another config, other data or other code of your own than run {first.info.run_id}: " in done.stdout
    metrics = run.data.metrics
    assert f"  loss: {first.data.metrics['loss']:.6g} then, {metrics['loss']:.6g} now" in done.stdout


def test_what_differs_in_code_data_and_packages_is_told(original, rerun):
    _, client, first = original
    run_id = first.info.run_id
    packages = mlflow.artifacts.load_text(f"{first.info.artifact_uri}/environment/packages.txt")
    tags = first.data.tags
    client.set_tag(run_id, tracking.CODE_TAG, "code of then")
    client.set_tag(run_id, tracking.DATA_TAG, "digest of then")
    client.log_text(run_id, packages.replace("numpy==", "numpy==0."), "environment/packages.txt")
    try:
        done, _ = rerun("epochs=1")
    finally:
        client.set_tag(run_id, tracking.CODE_TAG, tags[tracking.CODE_TAG])
        client.set_tag(run_id, tracking.DATA_TAG, tags[tracking.DATA_TAG])
        client.log_text(run_id, packages, "environment/packages.txt")
    assert done.returncode == 0, done.stderr
    now = tags[tracking.DATA_TAG]
    assert f"the code differs from that of run {run_id}" in done.stderr
    assert f"the data differs from that of run {run_id}: digest digest of then then, {now} now" in done.stderr
    assert f"1 packages differ from those of run {run_id}: numpy" in done.stderr
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run_id: missing; python -m mnist_flow.rerun run_id=ID"),
        (["run_id="], "run_id: missing"),
        (["reg=0"], "run_id: missing"),
        (["run_id=nowhere"], "nowhere"),
    ],
)
def test_a_run_id_that_is_missing_or_unknown_is_one_line_status_2(original, run_command, arguments, message):
    done = run_command(original[0], *RERUN, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_key_is_one_line_status_2(rerun):
    done, _ = rerun("noise.std=1")
    assert (done.returncode, done.stderr) == (2, done.stderr.splitlines()[0] + "\n")
    # The run's own noise has such a key, and not that of the default config.
    assert "noise.std: unknown key; did you mean 'noise.stddev' or 'noise.min_stddev'?" in done.stderr


def test_help_says_how(tmp_path, run_command):
    done = run_command(tmp_path, *RERUN, "--help")
    assert done.returncode == 0
    assert "python -m mnist_flow.rerun run_id=ID" in done.stdout


# The config alone


HYDRA = {
    "hydra": {
        "runtime": {"choices": {"model": "cnn_20_40", "data": "digits", "experiment": None, "hydra/launcher": "basic"}},
        "overrides": {"task": ["model=cnn_20_40", "data={holdout_size: 0.1}", "reg=0.5"]},
    }
}
LOGGED = {
    "reg": 0.5,
    "resume": True,
    "data": {"name": "digits", "path": "/then/mnist.npz"},
    "model": {"name": "cnn_20_40", "hidden_units": [7]},
    "training": {"threads": 2, "checkpoint_dir": "/then"},
    "tracking": {"uri": "http://then:5000", "run_name": "then", "experiment_name": "then"},
}


@pytest.fixture
def logged_run(store):
    """Create a run with these configs as its artifacts; returns its id."""

    def create(kind="train", **texts):
        run_id = store.create_run(tracking.get_or_create_experiment("x"), tags={tracking.KIND_TAG: kind}).info.run_id
        for name, text in texts.items():
            store.log_text(run_id, text if isinstance(text, str) else yaml.safe_dump(text), f"config/{name}.yaml")
        return run_id

    return create


def test_the_logged_config_extends_the_projects_own(logged_run, tmp_path):
    run_id = logged_run(config=LOGGED, hydra=HYDRA)
    assert write_config([f"run_id={run_id}", "reg=0", "-m"], str(tmp_path)) == ["reg=0", "-m"]
    text = (tmp_path / "rerun.yaml").read_text()
    assert text.startswith("# @package _global_\n")
    assert yaml.safe_load(text) == {
        "defaults": ["config", {"override data": "digits"}, {"override model": "cnn_20_40"}, "_self_"],
        "reg": 0.5,
        "resume": False,
        "data": {"name": "digits"},
        "model": {"name": "cnn_20_40", "hidden_units": [7]},
        "training": {"threads": 2},
        # Where it is, whatever its config says.
        "tracking": {"rerun_of": run_id, "experiment_name": "x"},
    }


def test_a_group_that_is_chosen_is_not_the_runs(logged_run, tmp_path):
    run_id = logged_run(config=LOGGED, hydra=HYDRA)
    assert write_config([f"run_id={run_id}", "model=mlp_100"], str(tmp_path)) == ["model=mlp_100"]
    config = yaml.safe_load((tmp_path / "rerun.yaml").read_text())
    assert config["defaults"] == ["config", {"override data": "digits"}, "_self_"]
    assert "model" not in config
    assert config["reg"] == 0.5


def test_what_was_typed_counts_where_a_trial_of_a_search_has_logged_the_default_choices(logged_run, tmp_path):
    choices = {"model": "mlp_500_300", "data": "mnist"}
    hydra = {"runtime": {"choices": choices}, "overrides": {"task": ["data=digits", "model='cnn_20_40'"]}}
    write_config([f"run_id={logged_run(config=LOGGED, hydra={'hydra': hydra})}"], str(tmp_path))
    defaults = yaml.safe_load((tmp_path / "rerun.yaml").read_text())["defaults"]
    assert defaults == ["config", {"override data": "digits"}, {"override model": "cnn_20_40"}, "_self_"]


def test_a_deleted_experiment_is_restored_where_it_is(logged_run, tmp_path, monkeypatch):
    # MLflow sets it with the store in force, and it would win over tracking.uri.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run_id = logged_run(config=LOGGED, hydra=HYDRA)
    (tmp_path / "mlflow.db").rename(tmp_path / "other.db")
    uri = f"sqlite:///{tmp_path}/other.db"
    mlflow.MlflowClient(uri).delete_experiment("1")
    with pytest.raises(TrackingError, match=r"restore it: MLFLOW_TRACKING_URI=sqlite:///other\.db .*mlflow exp"):
        write_config([f"run_id={run_id}", f"tracking.uri={uri}"], str(tmp_path))


def test_a_run_without_its_config_can_not_be_repeated(logged_run, tmp_path):
    run_id = logged_run(hydra=HYDRA)
    with pytest.raises(TrackingError, match=f"run_id={run_id}: its artifact config/config.yaml can't be had"):
        write_config([f"run_id={run_id}"], str(tmp_path))


def test_a_run_that_was_started_from_python_has_its_groups_as_it_logged_them(logged_run, tmp_path):
    run_id = logged_run(config=LOGGED)
    write_config([f"run_id={run_id}"], str(tmp_path))
    defaults = yaml.safe_load((tmp_path / "rerun.yaml").read_text())["defaults"]
    assert defaults == [
        "config",
        *({f"override {group}": "as_logged"} for group in ("data", "model", "training")),
        "_self_",
    ]
    assert yaml.safe_load((tmp_path / "model" / "as_logged.yaml").read_text()) == LOGGED["model"]


@pytest.mark.parametrize("text", ["", "- a list\n", "a text", "a: [1\n"])
@pytest.mark.parametrize("damaged", ["config", "hydra"])
def test_a_config_that_is_damaged_is_told(logged_run, tmp_path, damaged, text):
    run_id = logged_run(**{"config": LOGGED, "hydra": HYDRA, damaged: text})
    with pytest.raises(TrackingError, match=f"run_id={run_id}: its artifact config/{damaged}.yaml is no config"):
        write_config([f"run_id={run_id}"], str(tmp_path))


def test_a_hydra_config_without_choices_is_told(logged_run, tmp_path):
    run_id = logged_run(config=LOGGED, hydra={"hydra": {}})
    with pytest.raises(TrackingError, match=f"run_id={run_id}: its artifact config/hydra.yaml is no config"):
        write_config([f"run_id={run_id}"], str(tmp_path))


@pytest.mark.parametrize("kind", ["sweep", "analysis"])
def test_only_a_training_run_can_be_repeated(logged_run, tmp_path, kind):
    run_id = logged_run(kind, config=LOGGED, hydra=HYDRA)
    with pytest.raises(TrackingError, match=f"run_id={run_id}: is no training run"):
        write_config([f"run_id={run_id}"], str(tmp_path))


def test_the_server_can_be_named(logged_run, tmp_path, tmp_path_factory, monkeypatch):
    run_id = logged_run(config=LOGGED, hydra=HYDRA)
    uri = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(None)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    write_config([f"run_id={run_id}", f"tracking.uri='{uri}'"], str(tmp_path))
    assert (tmp_path / "rerun.yaml").exists()


def test_a_run_id_is_needed(tmp_path):
    with pytest.raises(ConfigError, match="run_id: missing"):
        write_config(["reg=0"], str(tmp_path))


def test_folders_of_ones_own_stand_before_a_search_path_that_was_typed(logged_run, tmp_path):
    run_id, own = logged_run(config=LOGGED, hydra=HYDRA), tmp_path / "own"
    typed = [f"run_id={run_id}", "hydra.searchpath=[file://theirs]", "--config-dir", str(own)]
    assert write_config(typed, str(tmp_path)) == [f"hydra.searchpath=[file://{own},file://theirs]"]
    assert write_config(typed[:2], str(tmp_path)) == typed[1:2]


def test_a_temporary_folder_that_can_not_be_made_is_told_and_help_needs_none(monkeypatch, capsys):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    monkeypatch.setattr(sys, "argv", ["rerun.py", "run_id=1"])
    with pytest.raises(ConfigError, match=r"^no temporary files can be written \(.*No space left on device\); TMPDIR="):
        train_again(ExitStack())
    monkeypatch.setattr(sys, "argv", ["rerun.py", "--help"])
    train_again(ExitStack())
    assert capsys.readouterr().out.startswith("mnist_flow: the same run again")


@pytest.mark.parametrize(
    ("now", "fingerprint", "told"),
    [
        ({"loss": 0.5, "val_loss": 0.25}, "same", ["repeats run r: all 2 metrics are identical"]),
        ({"loss": 0.5}, "other", ["repeats run r: all 1 metrics are identical"]),
        (
            {"loss": 0.5, "val_loss": 0.375},
            "same",
            ["repeats run r: 1 of 2 metrics differ", "  val_loss: 0.25 then, 0.375 now"],
        ),
        (
            {"loss": 1.0, "val_loss": 0.25},
            "other",
            [
                "has another config, other data or other code of your own than run r: 1 of 2 metrics differ",
                "  loss: 0.5 then, 1 now",
            ],
        ),
    ],
)
def test_a_rerun_tells_and_is_tagged_with_what_differs(capsys, now, fingerprint, told):
    original = SimpleNamespace(
        run_id="r", fingerprint="same", metrics={"loss": 0.5, "val_loss": 0.25, "fit_seconds": 3.0, "accuracy": 0.5}
    )
    tags = {}
    identity = SimpleNamespace(fingerprint=fingerprint)
    compare_with_original(original, identity, {**now, "fit_seconds": 4.0}, SimpleNamespace(set_tags=tags.update))
    assert capsys.readouterr().out.splitlines() == told
    agrees = "identical" if len(told) == 1 else "differs"
    assert tags == {"mnist_flow.rerun_of": "r", "mnist_flow.rerun_agrees": agrees}


@pytest.mark.parametrize(
    ("code", "digest", "packages", "told"),
    [
        ("now", "D", ["a==1", "b==2"], []),
        ("then", "D", ["a==1", "b==2"], ["the code differs from that of run r"]),
        ("now", "E", ["a==1", "b==2"], ["the data differs from that of run r: digest D then, E now"]),
        ("now", "D", ["a==2", "c==1"], ["3 packages differ from those of run r: a, b, c"]),
        (
            "now",
            "D",
            ["a==1", "b==2", *(f"{letter}==0" for letter in "cdefghijklmnopq")],
            ["15 packages differ from those of run r: c, d, e, f, g, h, i, j …"],
        ),
    ],
)
def test_what_is_different_now_is_told_before_a_rerun(monkeypatch, caplog, code, digest, packages, told):
    original = SimpleNamespace(run_id="r", code=code, data_digest="D")
    monkeypatch.setattr(replay, "digest_code", lambda: "now")
    monkeypatch.setattr(replay, "list_packages", lambda: packages)
    monkeypatch.setattr(replay.tracking, "fetch_run", lambda run_id: original)
    monkeypatch.setattr(replay.tracking, "fetch_text", lambda run_id, path: "a==1\nb==2\n")
    assert fetch_original("r", digest) is original
    assert [one.getMessage() for one in caplog.records] == told
    assert fetch_original(None, digest) is None
