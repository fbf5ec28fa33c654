"""Finished runs of other sweeps as trials of a search."""

from __future__ import annotations

from dataclasses import replace

import mlflow
import pandas as pd
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from mnist_flow import CONF_DIR, tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.jobs.composition import Composer, list_replicates
from mnist_flow.sweeps.search.adoption import find_finished
from mnist_flow.sweeps.search.memory import Terms
from mnist_flow.sweeps.search.space import read_space
from mnist_flow.sweeps.search.study import TrialRecord
from mnist_flow.tracking import PastRun
from support import QUICK

FIXED = ["data=digits", "model=mlp"]
SPACE = [
    *("optimizer=sgd,adam", "optimizer.momentum=interval(0,0.9)", "reg=0,1e-5", "batch_size=range(32,129,32)"),
    *("model.hidden_units=choice([8],[16,8])", "training.early_stopping_patience=null,3"),
]


@pytest.fixture
def find(monkeypatch):
    """Overrides of finished runs → what a search of SPACE makes of them."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        parser = OverridesParser.create(config_loader=loader)
        composer = Composer(loader.load_configuration("config", FIXED, run_mode=RunMode.MULTIRUN), loader, parser)

        def compose(*overrides):
            return validate_config(composer.compose([*FIXED, *overrides]), TrainConfig)

        def find_among(*runs, known=(), replicates=1, state="finished"):
            past = []
            for number, overrides in enumerate(runs):
                (job,) = list_replicates(overrides, compose(*overrides))
                params = {key: str(value) for key, value in job.params.items()}
                identity = job.identity
                ids = (f"run {number}", state, identity.fingerprint, identity.recipe)
                past.append(PastRun(*ids, "", "", "", "", 0, 0.0, {"val_accuracy": number / 10}, params))
            monkeypatch.setattr(tracking, "fetch_past_runs", lambda *where, **filters: past)
            fixed = [*FIXED, f"replicates={replicates}"]
            space = read_space(parser.parse_overrides([*fixed, *SPACE]), composer.chooses_option)
            terms = Terms(space.dimensions, ("val_accuracy",), replicates)
            return find_finished("1", compose(), space, composer, terms, known)

        yield find_among


def test_runs_of_the_space_are_found_with_what_was_chosen_for_them(find):
    found = find(
        ["optimizer=sgd", "optimizer.momentum=0.25", "batch_size=64", "model.hidden_units=[8]", "reg=1e-5"],
        ["optimizer=adam", "batch_size=32", "model.hidden_units=[16,8]", "training.early_stopping_patience=3"],
    )
    assert [record.choices for record in found] == [
        {
            "optimizer": "sgd",
            "optimizer.momentum": 0.25,
            "reg": "1e-05",
            "batch_size": 64,
            "model.hidden_units": "[8]",
            "training.early_stopping_patience": "null",
        },
        {
            "optimizer": "adam",
            "reg": "0",
            "batch_size": 32,
            "model.hidden_units": "[16,8]",
            "training.early_stopping_patience": "3",
        },
    ]
    told = [(record.replicates, record.run_ids) for record in found]
    assert told == [([[0.0]], ["run 0"]), ([[0.1]], ["run 1"])]


@pytest.mark.parametrize(
    "other",
    [
        ["optimizer.momentum=0.95"],
        ["batch_size=33"],
        ["batch_size=160"],
        ["reg=1e-4"],
        ["model.hidden_units=[9]"],
        ["optimizer=rmsprop"],
        # Of keys that are the same in all trials.
        ["epochs=11"],
        ["model.activation=tanh"],
    ],
    ids=" ".join,
)
def test_runs_outside_the_space_are_not(find, other):
    assert find(["optimizer=sgd", "batch_size=64", "model.hidden_units=[8]", *other]) == []


def test_a_trial_needs_all_replicates_and_what_the_search_has_is_left_out(find):
    one = ["optimizer=adam", "batch_size=64", "model.hidden_units=[8]"]
    assert find([*one, "seed=0"], [*one, "seed=2"], replicates=2) == []
    both = [*one, "seed=1"], [*one, "seed=0"]
    (record,) = find(*both, replicates=2)
    assert (record.replicates, record.run_ids) == ([[0.1], [0.0]], ["run 1", "run 0"])
    assert find(*both, replicates=2, state="failed") == []
    known = TrialRecord(4, {}, run_ids=["run 0"])
    assert find(*both, known=[known], replicates=2) == []
    assert [record.number for record in find(one, known=[replace(known, run_ids=[])])] == [5]


def test_a_search_goes_on_from_the_runs_of_a_grid(tmp_path, run_command):
    common = ("-m", "mnist_flow.train", "-m", *QUICK, "epochs=1", "tracking.experiment_name=x")
    run_command(tmp_path, *common, "reg=0,0.5,2")
    search = (*common, "hydra/sweeper=optuna", "reg=interval(0,1)", "hydra.sweeper.pruner=median")
    including = (*search, "hydra.sweeper.n_trials=1", "hydra.sweeper.include_finished=true")
    told = [
        "finished configs of this space included: 2 (2 new)",
        "3 trials: 2 complete, 0 pruned, 0 failed, 0 resumed, 1 new",
    ]
    planned = run_command(tmp_path, *including, "plan=true").stdout.splitlines()
    assert planned[-3:-1] == told
    assert planned[-1].startswith("time: about 0:")
    done = run_command(tmp_path, *including)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == told
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("x")
    runs = list(client.search_runs([experiment.experiment_id]))
    assert len(runs) == 2 + 3 + 1
    parent = next(run for run in runs if "mnist_flow.trial.0" in run.data.tags)
    trials = pd.read_csv(
        client.download_artifacts(parent.info.run_id, "sweep/trials.csv"), float_precision="round_trip"
    )
    by_id = {run.info.run_id: run.data for run in runs}
    for row in trials.itertuples():
        assert float(by_id[row.run_ids].params["reg"]) == row.reg
        assert by_id[row.run_ids].metrics["val_accuracy"] == row.val_accuracy
    # They are remembered, and no more trials are wanted.
    again = run_command(tmp_path, *search, "hydra.sweeper.n_trials=1")
    assert again.stdout.startswith("3 trials: 3 complete, 0 pruned, 0 failed, 0 resumed, 0 new\n")
