"""A command for several presets: a sweep for each, with its own grid, experiment and parent."""

from __future__ import annotations

import mlflow

from support import QUICK

PRESET = """# @package _global_
tracking:
  experiment_name: {name}
hydra:
  sweeper:
    params:
      optimizer.learning_rate: {rates}
"""


def test_each_preset_has_its_grid_below_a_parent_of_its_own(tmp_path, run_command):
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    # The first of them fails, and the other is run all the same.
    for name, rates in {"rates": "0.1,1e30", "one": "0.2"}.items():
        (tmp_path / "own" / "experiment" / f"{name}.yaml").write_text(PRESET.format(name=name, rates=rates))
    command = ("-m", "mnist_flow.train", "-m", "--config-dir", "own", *QUICK)
    done = run_command(tmp_path, *command, "experiment=rates,one")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["experiment=rates", "2 jobs: 0 skipped, 0 resumed, 2 new"]
    assert lines[lines.index("experiment=one") + 1] == "1 job: 0 skipped, 0 resumed, 1 new"
    assert "error: experiment=rates: 1 of 2 jobs failed: optimizer.learning_rate=1e+30: the loss became" in done.stderr
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    for name, status, n_jobs in (("rates", "FAILED", 2), ("one", "FINISHED", 1)):
        experiment = client.get_experiment_by_name(name)
        runs = list(client.search_runs([experiment.experiment_id]))
        (parent,) = [run for run in runs if run.data.tags["mnist_flow.kind"] == "sweep"]
        assert (parent.info.status, parent.data.metrics["jobs"]) == (status, n_jobs)
        assert f"experiment={name}" in parent.info.run_name.split()
        made = f"Made by: `python -m mnist_flow.train -m --config-dir {tmp_path / 'own'} data=digits "
        assert made in parent.data.tags["mlflow.note.content"]
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert len(children) == n_jobs
    # Alone it is the same sweep.
    alone = run_command(tmp_path, *command, "experiment=one")
    assert alone.stdout.startswith("1 job: 1 skipped, 0 resumed, 0 new\n")


def test_a_plan_tells_of_each_preset(tmp_path, run_command):
    done = run_command(
        tmp_path, "-m", "mnist_flow.train", "-m", "data=digits", "experiment=mlp_100,mlp_64_64", "plan=true"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("0 done or running, 10 to train") == 2
    assert "experiment=mlp_64_64\n" in done.stdout
    assert list(tmp_path.iterdir()) == []
