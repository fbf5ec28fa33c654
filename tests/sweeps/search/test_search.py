"""A search typed once, and again with more trials: its runs, its parent, and what is resumed."""

from __future__ import annotations

import json
import pathlib
import re
import shutil

import mlflow
import pandas as pd
import pytest
import yaml

from mnist_flow import tracking
from support import QUICK

SEARCH = ("-m", "mnist_flow.train", "-m", "hydra/sweeper=optuna", *QUICK, "tracking.experiment_name=x")
SPACE = (
    "optimizer.learning_rate=tag(log,interval(1e-6,1))",
    "optimizer=sgd,adam",
    "optimizer.momentum=interval(0,0.9)",
)
TWO = "evaluation.objective=[val_accuracy,n_parameters]"
PRUNED = ("hydra.sweeper.pruner=median", "hydra.sweeper.pruner_options={n_startup_trials: 1}")


def fetch(folder, kind):
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("x")
    return list(client.search_runs([experiment.experiment_id], f"tags.`mnist_flow.kind` = '{kind}'"))


def load(folder, run, name):
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return client.download_artifacts(run.info.run_id, f"sweep/{name}")


@pytest.fixture(scope="module")
def searched(tmp_path_factory, run_command):
    folder = tmp_path_factory.mktemp("searched")
    return folder, run_command(folder, *SEARCH, *SPACE, *PRUNED, "hydra.sweeper.n_trials=3")


@pytest.fixture
def again(searched, tmp_path):
    """A copy of the folder, whose store knows that."""
    folder = tmp_path / "again"
    shutil.copytree(searched[0], folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    tracking.relocate(None, None, apply=True)
    mlflow.set_tracking_uri(None)
    return folder


def test_a_search_trains_its_trials_and_says_what_it_chose(searched):
    folder, done = searched
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "3 trials: 0 complete, 0 pruned, 0 failed, 0 resumed, 3 new"
    assert sum(line.startswith("trial ") for line in lines) == 3
    runs = fetch(folder, "train")
    (parent,) = fetch(folder, "sweep")
    assert parent.info.status == "FINISHED"
    assert sorted(run.data.tags["mnist_flow.trial"] for run in runs) == ["0", "1", "2"]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    trials = pd.read_csv(load(folder, parent, "trials.csv"))
    assert list(trials["trial"]) == [0, 1, 2]
    by_trial = {int(run.data.tags["mnist_flow.trial"]): run for run in runs}
    for row in trials.itertuples():
        run = by_trial[row.trial]
        assert row.run_ids == run.info.run_id
        assert run.data.params["optimizer.name"] == row.optimizer
        if row.state == "pruned":
            assert run.info.status == "KILLED"
            assert run.data.tags["mnist_flow.pruned"] == str(int(row.last_step))
            assert run.data.tags["mnist_flow.pruned_because"] == row.reason
            assert f"at epoch {row.last_step:.0f} is behind that of other trials" in row.reason
        elif row.state == "complete":
            assert run.info.status == "FINISHED"
    complete = trials[trials["state"] == "complete"]
    assert set(trials["state"]) == {"complete", "pruned"}
    # Trials of adam have no momentum.
    assert trials["optimizer.momentum"].isna().any()
    assert not re.search(r"\b(nan|None)\b", done.stdout)
    assert parent.data.metrics["best_val_accuracy"] == pytest.approx(complete["val_accuracy"].max())


def test_the_best_is_a_preset(searched):
    folder, _ = searched
    (parent,) = fetch(folder, "sweep")
    trials = pd.read_csv(load(folder, parent, "trials.csv"))
    best = trials.loc[trials["val_accuracy"].where(trials["state"] == "complete").idxmax()]
    with pathlib.Path(load(folder, parent, "best.yaml")).open(encoding="utf-8") as file:
        text = file.read()
    preset = yaml.safe_load(text)
    assert text.startswith("# @package _global_\n")
    assert {"override /optimizer": best["optimizer"]} in preset["defaults"]
    assert preset["optimizer"]["learning_rate"] == pytest.approx(best["optimizer.learning_rate"])
    assert preset["epochs"] == 2
    assert "tracking" not in preset


def test_a_search_is_drawn_and_its_figures_are_logged_to_its_parent(again, run_command):
    done = run_command(again, "-m", "mnist_flow.analyze", "study=search", "tracking.experiment_name=x")
    assert done.returncode == 0, done.stderr
    (parent,) = fetch(again, "sweep")
    assert f"run {parent.info.run_id} of experiment 'x':" in done.stdout
    client = mlflow.MlflowClient(f"sqlite:///{again / 'mlflow.db'}")
    logged = {file.path for file in client.list_artifacts(parent.info.run_id, "analysis/search-x")}
    # Three trials tell no importances.
    named = [f"analysis/search-x/search-x_{what}" for what in ("history", "slices", "parallel", "curves")]
    files = {f"{name}.{ending}" for name in named for ending in ("png", "svg")}
    assert logged == files | {"analysis/search-x/search-x_trials.csv"}
    n_pruned = sum("mnist_flow.pruned" in run.data.tags for run in fetch(again, "train"))
    done = run_command(again, "-m", "mnist_flow.analyze", "study=curves", "tracking.experiment_name=x")
    assert done.returncode == 0, done.stderr
    assert f"{n_pruned} runs that a search pruned are left out; study=search draws them" in done.stderr


def test_a_run_that_is_no_search_is_not_drawn(again, run_command):
    run = fetch(again, "train")[0].info.run_id
    draw = ("-m", "mnist_flow.analyze", "study=search", "tracking.experiment_name=x", f"study.run_id={run}")
    done = run_command(again, *draw)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"run_id={run}: its artifact sweep/search.json can't be had" in line
    assert line.endswith("only the parent run of a search has it")


def test_the_same_search_with_more_trials_goes_on_and_confirms_the_best(again, run_command):
    wanted = ("hydra.sweeper.n_trials=4", "hydra.sweeper.confirm=1", "hydra.sweeper.confirm_seeds=2")
    done = run_command(again, *SEARCH, *SPACE, *PRUNED, *wanted)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].endswith("0 resumed, 1 new")
    (parent,) = fetch(again, "sweep")
    runs = fetch(again, "train")
    confirming = [run for run in runs if "mnist_flow.confirms" in run.data.tags]
    assert sorted(run.data.params["seed"] for run in confirming) == ["1", "2"]
    assert len(runs) == 4 + 2
    (row,) = pd.read_csv(load(again, parent, "confirmation.csv")).itertuples()
    assert row.n == 2
    tests = [run.data.metrics["test_accuracy"] for run in confirming]
    assert parent.data.metrics["chosen_test_accuracy"] == pytest.approx(sum(tests) / 2)


def test_several_objectives_leave_a_pareto_front_and_a_plan_tells_what_is_left(tmp_path, run_command):
    search = (*SEARCH, "model.hidden_units=[4],[8]", TWO, "epochs=1", "hydra.sweeper.sampler=random")
    planned = run_command(tmp_path, *search, "plan=true", "hydra.sweeper.n_trials=3")
    assert planned.returncode == 0, planned.stderr
    assert "CategoricalDistribution(choices=('[4]', '[8]'))" in planned.stdout
    assert "3 trials: 0 complete, 0 pruned, 0 failed, 0 resumed, 3 new\ntime: unknown" in planned.stdout
    done = run_command(tmp_path, *search, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    assert "Pareto front, val_accuracy maximised, n_parameters minimised: " in done.stdout
    (parent,) = fetch(tmp_path, "sweep")
    trials = pd.read_csv(load(tmp_path, parent, "trials.csv"))
    front = pd.read_csv(load(tmp_path, parent, "pareto.csv"))
    smallest = trials[trials["n_parameters"] == trials["n_parameters"].min()]
    assert smallest["val_accuracy"].max() in set(front["val_accuracy"])
    assert front["val_accuracy"].iloc[0] == trials["val_accuracy"].max()
    assert parent.data.metrics["best_n_parameters"] == trials["n_parameters"].min()
    assert not any(name.startswith("chosen_") for name in parent.data.metrics)
    best = front.iloc[0]
    text = pathlib.Path(load(tmp_path, parent, f"pareto/trial_{best['trial']}.yaml")).read_text(encoding="utf-8")
    assert str(yaml.safe_load(text)["model"]["hidden_units"]) == best["model.hidden_units"]
    planned = run_command(tmp_path, *search, "plan=true", "hydra.sweeper.n_trials=5")
    assert "5 trials: 3 complete, 0 pruned, 0 failed, 0 resumed, 2 new\ntime: about 0:" in planned.stdout
    assert "with 1 at a time, by the trials that have ended" in planned.stdout
    assert len(fetch(tmp_path, "train")) == len(set(trials["run_ids"]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reg=1e-5"], "error: hydra/sweeper=optuna: nothing is to be searched"),
        (["reg=interval(0,1)", "evaluation.objective=test_loss"], "the test set is for what has been chosen"),
        (["reg=interval(0,1)", "hydra.sweeper.pruner=wilcoxon"], "compares seeds; set replicates=5"),
        (["reg=interval(0)"], "reg=interval(0): is no range that Hydra can read; write 'interval(0.001,1)', 'tag(log,"),
        (["reg=interval(0,1)", "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: must be greater"),
        (["reg=choice(0,few)"], "error: reg=few: must be a valid number"),
        (
            ["reg=interval(0,1)", "evaluation.objective=accuracy"],
            "evaluation.objective=accuracy: must be 'val_accuracy'",
        ),
        (["reg=interval(0,1)", f"{TWO}", "hydra.sweeper.pruner=median"], "median: compares one objective, and evalu"),
        (["reg=interval(0,1)", f"{TWO}", "hydra.sweeper.confirm=2"], "confirm=2: is for the best trials, and evalua"),
        (
            ["reg=interval(0,1)", "evaluation.objective=[val_loss,val_loss]"],
            "[val_loss,val_loss]: names a metric twice",
        ),
        (
            ["reg=interval(0,1)", "evaluation.objective=[val_loss,test_loss]"],
            "evaluation.objective=test_loss: a search",
        ),
        (["data.folds=2", "data.fold=range(2)"], "data.fold: is not for a search to choose; all trials are measured"),
        (
            ["reg=interval(0,1)", "hydra/sweeper=resuming"],
            "reg=interval(0,1): a grid needs a list of values; intervals are",
        ),
    ],
)
def test_bad_input_is_a_line_before_anything_is_begun(tmp_path, run_command, overrides, message):
    done = run_command(tmp_path, *SEARCH, *overrides)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "mlflow.db").exists()


def test_a_chosen_trial_whose_run_is_gone_is_told(again, run_command):
    client = mlflow.MlflowClient(f"sqlite:///{again / 'mlflow.db'}")
    (parent,) = fetch(again, "sweep")
    choices = {"optimizer.learning_rate": 0.01, "optimizer": "adam"}
    gone = {"state": "complete", "choices": choices, "values": [1.0], "run_ids": ["0" * 32], "reason": ""}
    client.set_tag(parent.info.run_id, "mnist_flow.trial.3", json.dumps(gone))
    done = run_command(again, *SEARCH, *SPACE, *PRUNED, "hydra.sweeper.n_trials=4", "tracking.register=best")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the chosen trial has no results, and is not registered: ")
    assert "0" * 32 in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "choices",
    [
        ("hydra.sweeper.sampler=random", "hydra.sweeper.pruner=hyperband"),
        ("hydra.sweeper.sampler=qmc", "hydra.sweeper.pruner=hyperband"),
        ("hydra.sweeper.sampler=nsgaii", "evaluation.objective=[val_accuracy,n_parameters]"),
        ("hydra.sweeper.sampler=cmaes", "hydra.sweeper.pruner=median"),
    ],
    ids=" ".join,
)
def test_fifteen_trials_of_every_sampler_in_two_goes(tmp_path, run_command, choices):
    space = ("optimizer.learning_rate=tag(log,interval(1e-4,1))", "optimizer.momentum=interval(0,0.9)")
    for n_trials in (8, 15):
        done = run_command(tmp_path, *SEARCH, *space, *choices, "epochs=4", f"hydra.sweeper.n_trials={n_trials}")
        assert (done.returncode, done.stderr) == (0, "")
    runs = fetch(tmp_path, "train")
    assert sorted(int(run.data.tags["mnist_flow.trial"]) for run in runs) == list(range(15))
    assert len({run.data.params["optimizer.learning_rate"] for run in runs}) == 15
    assert len(fetch(tmp_path, "sweep")) == 1
    if "hyperband" in " ".join(choices):
        assert any("mnist_flow.pruned" in run.data.tags for run in runs)
