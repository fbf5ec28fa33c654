"""Runs that go on from the last state of a run with fewer epochs."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.runs import earlier
from mnist_flow.runs.earlier import open_checkpoint
from mnist_flow.runs.orchestrator import run_experiment
from support import QUICK

KEPT = "training.keep_state=true"


def read_histories(client, run):
    names = [name for name in run.data.metrics if name != "fit_seconds"]
    return {
        name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in names
    }


@pytest.mark.parametrize(
    "overrides",
    [
        [
            *("optimizer=adam", "training.ema_momentum=0.9", "training.keep_best_epoch=true", "schedule=plateau"),
            *("schedule.patience=1", "noise=gaussian", "model.dropout=0.2", "model.batch_normalization=true"),
        ],
        ["training.early_stopping_patience=1", "optimizer.learning_rate=1e-6", "training.monitor=val_accuracy"],
        ["schedule=step", "schedule.step_epochs=1", "training.checkpoint_dir=null", "optimizer.momentum=0.9"],
    ],
    ids=["all that has a state", "stopped early", "steps"],
)
def test_more_epochs_go_on_from_a_kept_state_as_if_never_interrupted(store, search, compose_config, overrides):
    common = [*QUICK, *overrides]
    run_experiment(compose_config(*common, "epochs=2", KEPT))
    run_experiment(compose_config(*common, "epochs=4", KEPT))
    run_experiment(compose_config(*common, "epochs=4", "resume=false"))
    short, continued, at_once = search()
    assert continued.data.tags["mnist_flow.continues"] == short.info.run_id
    assert "mnist_flow.continues" not in at_once.data.tags
    assert continued.data.tags["mnist_flow.fingerprint"] == at_once.data.tags["mnist_flow.fingerprint"]
    assert read_histories(store, continued) == read_histories(store, at_once)
    weights = [
        tracking.load_model(tracking.fetch_logged_run(run.info.run_id)).get_weights() for run in (continued, at_once)
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_without_a_state_is_named_where_one_is_asked_for(store, search, compose_config, caplog, capsys):
    run_experiment(compose_config(*QUICK, "epochs=1"))
    (first,) = search()
    capsys.readouterr()
    run_experiment(compose_config(*QUICK, "epochs=1", KEPT))
    assert capsys.readouterr().out.startswith(
        f"run {first.info.run_id} has the same config and data and is finished; its state was not kept; "
        "resume=false trains it anew, with its state\n"
    )
    run_experiment(compose_config(*QUICK, "epochs=2", KEPT))
    said = f"run {first.info.run_id} (epochs=1) has kept no state; trained"
    assert caplog.text.count(said) == 1
    run_experiment(compose_config(*QUICK, "epochs=3", KEPT))
    assert caplog.text.count("has kept no state") == 1


def test_a_run_that_would_be_another_is_trained_from_the_first_epoch_and_says_why(
    store, search, compose_config, caplog
):
    for epochs in (1, 2):
        run_experiment(compose_config(*QUICK, "schedule=cosine", f"epochs={epochs}", KEPT))
    assert "has other learning rates, since schedule=cosine depends on the number of epochs" in caplog.text
    first, _ = search()
    store.set_tag(first.info.run_id, "mnist_flow.code", "0123456789abcdef")
    run_experiment(compose_config(*QUICK, "schedule=cosine", "epochs=3", KEPT))
    assert f"run {first.info.run_id} (epochs=1) was made by another version of the code" in caplog.text
    assert not any("mnist_flow.continues" in run.data.tags for run in search())


def test_a_checkpoint_that_cant_be_read_is_told_and_the_run_starts_anew(store, compose_config, tmp_path, caplog):
    """So does one whose file another version or a full disk has left."""
    config = validate_config(compose_config(*QUICK), TrainConfig)
    run = SimpleNamespace(run_id="r")
    folder = tmp_path / "checkpoints" / "r"
    with ExitStack() as held:
        for state, found in (("interrupted", None), ("new", run)):
            assert open_checkpoint(config, SimpleNamespace(state=state, run=found), held) == (None, None)
        assert not caplog.text
        folder.mkdir(parents=True)
        assert open_checkpoint(config, SimpleNamespace(state="interrupted", run=run), held) == (None, None)
    assert "run r: its checkpoint can't be read; a new run starts from the first epoch" in caplog.text


@pytest.mark.parametrize("in_sweep", [False, True])
def test_what_differs_from_an_earlier_run_is_told_once_a_sweep(monkeypatch, caplog, in_sweep):
    run = SimpleNamespace(run_id="r")
    kept = SimpleNamespace(state="finished", run=run, other_code=True, other_data=True)
    monkeypatch.setattr(earlier, "look_up", lambda jobs, experiment_id: [kept])
    called = []
    monkeypatch.setattr(earlier.tracking, "deliver_kept_records", lambda folder: called.append(str(folder)))
    monkeypatch.setattr(earlier.tracking, "close_stale_runs", lambda *where: called.append(where))
    tracked = SimpleNamespace(undelivered_dir="undelivered", stale_after=600.0, patience=60.0)
    config = SimpleNamespace(resume=True, tracking=tracked)
    assert earlier.find_earlier(SimpleNamespace(config=config, in_sweep=in_sweep, job=None), "1") is kept
    assert called == ([] if in_sweep else ["undelivered", ("1", 600.0)])
    told = [one.getMessage() for one in caplog.records]
    assert told == (
        []
        if in_sweep
        else [
            "run r was made by another version of the code; tracking.changed_code=retrain trains it anew",
            "a finished run of this config has other data (its digest changed); this one is trained anew",
        ]
    )
    config.resume = False
    assert earlier.find_earlier(SimpleNamespace(config=config, in_sweep=True, job=None), "1").state == "new"
