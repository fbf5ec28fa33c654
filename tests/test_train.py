"""The command line, in a process of its own, as a user types it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess

import mlflow
import pandas as pd
import pytest

from commands import start_command
from support import PROJECT_DIR, QUICK, command_environment, find_checkpoints, list_imports, list_modules, wait_until

TRAIN = ("-m", "mnist_flow.train")


def fetch_all(folder) -> pd.DataFrame:
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    try:
        return mlflow.search_runs(search_all_experiments=True)
    finally:
        mlflow.set_tracking_uri(None)


def test_one_run_prints_its_epochs_and_one_table(tmp_path, run_command):
    done = run_command(tmp_path, *TRAIN, *QUICK)
    assert done.returncode == 0
    assert "epoch 2/2  loss" in done.stdout
    assert "images/s" in done.stdout
    for word in (
        "test accuracy",
        "standard error, n = 360",
        "without",
        "12,730",
        "run id",
        "look: mlflow ui, and open http",
    ):
        assert word in done.stdout
    assert done.stderr == ""
    runs = fetch_all(tmp_path)
    assert list(runs["status"]) == ["FINISHED"]
    assert runs["run_id"][0] in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlruns"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reg=-1"], "reg=-1: must be greater than or equal to 0"),
        (["epochs=0"], "epochs=0: must be greater than or equal to 1"),
        (["epochs=ten"], "epochs=ten: must be a valid integer"),
        (["optimizer.learning_rate=nan"], "optimizer.learning_rate=nan: must be a finite number"),
        (["epoch=3"], "epoch: unknown key; did you mean 'epochs'?"),
        (["learning_rate=1"], "learning_rate: unknown key; did you mean 'optimizer.learning_rate'?"),
        (["noise.level=0.1"], "it belongs to noise=salt_and_pepper"),
        (["optimizer=sdg"], "did you mean 'sgd'? Choices: adam adamw rmsprop sgd"),
        (["loss=focl"], "loss=focl: no such option; did you mean 'focal'? Choices: focal mean_squared_error"),
        (["experiment=lenet6"], "experiment=lenet6: no such option; did you mean 'lenet5'"),
        (["hydra/launcher=nope"], "Choices: basic joblib local_pool ray"),
        (["data.path=nope.npz"], "data.path=nope.npz: no such file. Remedies: data.path=FILE.npz"),
        (["data=files"], "data.path=null: must name the images, data.path=X: an .npz file with"),
        (["data=files", "data.path=."], ": is an empty folder; it must be an .npz file with x_train and y_train"),
        (["-m", "data=digits", "reg=1e-5,-1"], "reg=-1: must be greater than or equal to 0"),
        (
            ["-m", "data=digits", "tracking.experiment_name=a,b"],
            "tracking: a sweep has one tracking server and one experiment",
        ),
        (["reg=[1"], "reg=[1: no viable alternative at input '[1'; quote lists"),
        (
            ["tracking.experiment_name=a#b"],
            "a#b: Hydra can't read the value without quotes; as text: \"tracking.experiment_name='a#b'\"\n",
        ),
        (["tracking.run_name=a,b"], "as a sweep: add -m, as text: \"tracking.run_name='a,b'\"\n"),
        (["data=digits", "data.path=x.npz"], "data.path=x.npz: belongs to data=mnist"),
        (["schedule=cosine", "schedule.warmup_epochs=10"], "must be less than epochs=10"),
        (["optimizer.nesterov=true"], "needs momentum"),
        (["model=mlp", "model.name=a/b"], "model.name=a/b: "),
    ],
)
def test_bad_input_is_one_line_status_2_and_no_run(tmp_path, run_command, arguments, message):
    done = run_command(tmp_path, *TRAIN, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["-m", "data=digits", "reg=-1,-2"], ["epoch=1"]])
def test_quick_answers_import_neither_tensorflow_nor_mlflow(tmp_path, run_command, arguments):
    done = run_command(tmp_path, "-X", "importtime", *TRAIN, *arguments)
    imported = list_imports(done.stderr)
    assert {"hydra", "mnist_flow"} <= imported
    assert not imported & {"tensorflow", "keras", "mlflow", "matplotlib"}


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        (["--help"], 600),
        (["--cfg", "job"], 600),
        (["plan=true", "data=digits"], 3350),
        (["-m", "plan=true", "data=digits", "reg=0,1e-5"], 3350),
    ],
    ids=["help", "config", "plan", "sweep's plan"],
)
def test_the_main_process_imports_few_modules(tmp_path, arguments, most):
    assert_few(list_modules(tmp_path, "mnist_flow.train", *arguments), most)


def assert_few(modules, most):
    """Counted, since seconds depend on the machine; what trains and draws is for the processes of the jobs."""
    packages = {name.partition(".")[0] for name in modules}
    assert {"hydra", "mnist_flow"} <= packages
    assert not packages & {"tensorflow", "keras", "skimage"}
    assert not modules & {"matplotlib.figure", "mnist_flow.training.loop", "mnist_flow.figures"}
    assert len(modules) < most


def test_one_run_of_a_preset_that_describes_a_sweep_says_so(tmp_path, run_command):
    def plan(*arguments):
        done = run_command(tmp_path, *TRAIN, "data=digits", "plan=true", *arguments)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith("one run")]

    told = "one run of the sweep that the preset describes; all of it: add -m"
    assert plan("experiment=learning_rate") == [told]
    # The seed alone, a value of one's own, and the sweep itself.
    assert plan("experiment=mlp_64_64") == []
    assert plan("experiment=learning_rate", "optimizer.learning_rate=0.3") == []
    assert plan("experiment=learning_rate", "-m") == []


def test_help_lists_every_group_and_key(tmp_path, run_command):
    text = run_command(tmp_path, *TRAIN, "--help").stdout
    assert "model: autoencoder, autoencoder_2d, cnn, cnn_20_40" in text
    assert "steps_per_execution: 32" in text


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (
            "python -m mnist_flow.train optimizer=",
            ["optimizer=adam", "optimizer=adamw", "optimizer=rmsprop", "optimizer=sgd"],
        ),
        ("python -m mnist_flow.train -m data=di", ["data=digits"]),
        ("python -m mnist_flow.train model=lenet5 batch", ["batch_size="]),
        ("python -m mnist_flow.analyze study=reg", ["study=regularization"]),
        ("python -m mnist_flow.evaluate thr", ["threads="]),
        ("python -m json.tool ", []),
    ],
)
def test_bash_completes_overrides(tmp_path, typed, offered):
    script = f'''
        source "{PROJECT_DIR}/completion.bash"
        COMP_LINE="{typed}" COMP_POINT={len(typed)}
        _mnist_flow_complete
        printf "%s\\n" "${{COMPREPLY[@]}}"
    '''
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=command_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == offered


SWEEP = ("-m", *QUICK, "reg=1e-6,1e-5,1e-4", "tracking.experiment_name=sweep")


def assert_is_one_sweep(runs):
    assert len(runs) == 4
    assert set(runs["status"]) == {"FINISHED"}
    assert runs["experiment_id"].nunique() == 1
    (parent,) = runs.loc[runs["tags.mnist_flow.kind"] == "sweep", "run_id"]
    jobs = runs[runs["tags.mnist_flow.kind"] == "train"]
    assert set(jobs["tags.mlflow.parentRunId"]) == {parent}
    assert sorted(jobs["params.reg"].astype(float)) == [1e-6, 1e-5, 1e-4]


def test_a_sweep_lands_in_its_experiment_below_one_parent(tmp_path, run_command):
    done = run_command(tmp_path, *TRAIN, *SWEEP)
    assert done.returncode == 0, done.stderr
    assert_is_one_sweep(fetch_all(tmp_path))


@pytest.mark.slow
@pytest.mark.launchers
def test_a_sweep_on_a_pool_that_starts_from_nothing_does_too_and_its_main_process_imports_few_modules(tmp_path):
    modules = list_modules(tmp_path, "mnist_flow.train", *SWEEP, "hydra/launcher=local_pool")
    assert_is_one_sweep(fetch_all(tmp_path))
    assert_few(modules, most=3600)


@pytest.mark.slow
@pytest.mark.launchers
def test_a_run_gives_the_same_numbers_alone_and_as_a_later_job_of_a_worker(tmp_path, run_command):
    lenet5 = ["data=digits", "model=lenet5", "epochs=2"]
    alone, pool = tmp_path / "alone", tmp_path / "pool"
    alone.mkdir()
    pool.mkdir()
    done = run_command(
        pool, *TRAIN, "-m", *lenet5, "reg=1e-3,1e-4,1e-5", "hydra/launcher=local_pool", "hydra.launcher.n_jobs=2"
    )
    assert done.returncode == 0, done.stderr
    runs = fetch_all(pool).sort_values("start_time")
    process = "tags.mnist_flow.process"
    (parent,) = runs.loc[runs["tags.mnist_flow.kind"] == "sweep", process]
    jobs = runs[runs["tags.mnist_flow.kind"] == "train"]
    assert parent not in set(jobs[process])
    # Two processes have three jobs.
    later = jobs[jobs.duplicated(process)].tail(1)
    run_command(alone, *TRAIN, *lenet5, f"reg={later['params.reg'].item()}")
    first = fetch_all(alone)
    metrics = ["metrics.loss", "metrics.val_loss", "metrics.val_accuracy", "metrics.test_loss", "metrics.test_accuracy"]
    assert first[metrics].to_numpy().tolist() == later[metrics].to_numpy().tolist()
    assert list(first["tags.mnist_flow.fingerprint"]) == list(later["tags.mnist_flow.fingerprint"])


@pytest.mark.parametrize(
    ("option", "plugin", "extra"),
    [("local_pool", "joblib", "parallel"), ("ray", "ray", "ray"), ("slurm", "submitit", "slurm")],
)
def test_a_launcher_that_is_not_installed_is_one_line_and_no_run(tmp_path, run_command, option, plugin, extra):
    # None in sys.modules is how Python itself remembers that there is no such package.
    script = (
        f"import runpy, sys; sys.modules['hydra_plugins.hydra_{plugin}_launcher'] = None; "
        "runpy.run_module('mnist_flow.train', run_name='__main__', alter_sys=True)"
    )
    done = run_command(tmp_path, "-c", script, "-m", *QUICK, "reg=0,1e-5", f"hydra/launcher={option}")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: hydra/launcher={option}: {plugin}'s launcher is not installed; "
        f"in the project's folder: pip install '.[{extra}]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=null"], "model=null: a config group is filled by one of its options; leave it out for the default"),
        (["hydra.run.dir=file"], "hydra.run.dir=file: is no folder, and can't be made one; choose another"),
        (["-m", "reg=0", "hydra.sweep.dir=file/a"], "hydra.sweep.dir=file/a: is no folder, and can't be made one; "),
    ],
)
def test_what_hydra_itself_can_not_do_is_one_line(tmp_path, run_command, arguments, message):
    (tmp_path / "file").write_text("")
    done = run_command(tmp_path, *TRAIN, *QUICK, *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in done.stderr


def test_multirun_may_stand_behind_overrides(tmp_path, run_command):
    done = run_command(tmp_path, *TRAIN, *QUICK, "-m", "reg=-1,-2")
    assert done.stderr == "error: reg=-1: must be greater than or equal to 0\n"


@pytest.mark.parametrize("option", [["--config-dir", "own"], ["-cd", "own"], ["--config-dir=own"]])
def test_a_config_dir_may_stand_among_overrides_and_its_preset_may_name_a_launcher(tmp_path, run_command, option):
    preset = tmp_path / "own/experiment/mine.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("# @package _global_\ndefaults: [override /hydra/launcher: local_pool]\nreg: -1\n")
    done = run_command(tmp_path, *TRAIN, *QUICK, *option, "-m", "experiment=mine", "seed=0,1")
    assert done.stderr == "error: reg=-1: must be greater than or equal to 0\n"


def test_a_store_that_cannot_be_is_one_line(tmp_path, run_command):
    done = run_command(tmp_path, *TRAIN, *QUICK, MLFLOW_TRACKING_URI="sqlite:////nowhere/mlflow.db")
    assert done.returncode == 2
    assert "/nowhere: no such folder" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_failing_job_fails_the_sweep_and_not_its_siblings(tmp_path, run_command):
    done = run_command(tmp_path, *TRAIN, "-m", *QUICK, "optimizer.learning_rate=1e30,0.1")
    assert done.returncode == 1
    assert "the loss became nan in epoch 1" in done.stderr
    assert "Traceback" not in done.stderr
    runs = fetch_all(tmp_path).set_index("params.optimizer.learning_rate")["status"]
    assert runs["1e+30"] == "FAILED"
    assert runs["0.1"] == "FINISHED"
    assert runs[runs.index.isna()].to_list() == ["FAILED"]


@pytest.mark.parametrize(
    ("sent", "status", "sweep"),
    [
        (signal.SIGINT, 130, []),
        (signal.SIGTERM, 143, []),
        (signal.SIGTERM, 143, ["-m", "reg=0,1e-5", "hydra/launcher=local_pool"]),
    ],
)
def test_an_interrupted_command_leaves_killed_runs(tmp_path, sent, status, sweep):
    with (tmp_path / "errors.txt").open("w") as errors:
        process = start_command(tmp_path, *TRAIN, *sweep, *QUICK, "epochs=100000", stderr=errors)
    # In a sweep, wait for both jobs.
    wait_until(lambda: len(find_checkpoints(tmp_path)) > bool(sweep))
    process.send_signal(sent)
    assert process.wait(timeout=120) == status
    assert "Traceback" not in (tmp_path / "errors.txt").read_text()
    assert set(fetch_all(tmp_path)["status"]) == {"KILLED"}


@pytest.mark.slow
@pytest.mark.launchers
def test_credentials_are_not_printed_and_all_arrives_over_http(tmp_path, run_command, mlflow_server):
    client = tmp_path / "client"
    client.mkdir()
    # The server does not ask for credentials, but a URI may hold some.
    uri = mlflow_server.uri.replace("://", "://ada:sesame@")
    for launcher, seed in (("basic", 0), ("local_pool", 1)):
        sweep = ["-m", *QUICK, "reg=0,1e-5", f"seed={seed}", f"hydra/launcher={launcher}"]
        done = run_command(client, *TRAIN, *sweep, MLFLOW_TRACKING_URI=uri)
        assert done.returncode == 0, done.stderr
        assert "sesame" not in done.stdout + done.stderr
        assert list(fetch_all(mlflow_server.folder)["status"]) == ["FINISHED"] * 3 * (seed + 1)
    assert not (client / "mlruns").exists()


def test_credentials_of_a_server_that_is_away_are_not_printed(tmp_path, run_command):
    override = "tracking.uri='http://ada:sesame@127.0.0.1:9'"
    done = run_command(tmp_path, *TRAIN, *QUICK, override, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.returncode == 2
    assert "http://***@127.0.0.1:9: does not answer" in done.stderr
    assert "sesame" not in done.stdout + done.stderr


def test_a_terminal_gets_a_live_bar(tmp_path):
    main, side = pty.openpty()
    terminal = {"TERM": "xterm-256color", "COLUMNS": "160"}
    process = start_command(tmp_path, *TRAIN, *QUICK, "epochs=30", stdout=side, stderr=side, **terminal)
    os.close(side)
    shown = b""
    try:
        while chunk := os.read(main, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(main)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert text.count("\x1b[2K") > 5
    assert "epoch 30/30" in text
    assert "val_accuracy" in text
