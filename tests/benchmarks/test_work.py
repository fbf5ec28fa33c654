import os
import sys
import time

import mlflow
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.measure import measure_work
from benchmarks.peers.evaluation_loop import list_shifts, shift
from benchmarks.pieces import Contender, Work
from benchmarks.processes import CommandError, run_command
from benchmarks.searches import build_trial_work
from benchmarks.traces import read_trace
from benchmarks.work import SETTING, list_works
from commands import run_command as run_project_command
from commands import start_command
from mnist_flow.data.transforms import DIRECTIONS
from mnist_flow.metrics.robustness import list_shifts as list_our_shifts


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "tiny.npz"
    arrays = {"x_train": (120, 28, 28), "x_test": (40, 28, 28), "y_train": (120,), "y_test": (40,)}
    np.savez(
        file,
        **{
            name: rng.integers(10 if name[0] == "y" else 256, size=size, dtype=np.uint8)
            for name, size in arrays.items()
        },
    )
    return file


@pytest.mark.slow
def test_the_keras_loop_trains_its_grid(images, tmp_path):
    loop = (sys.executable, "-m", "benchmarks.peers.keras_loop", "--data", str(images))
    finished = run_command([*loop, "--hidden", "8", "--reg", "1e-4", "--seed", "0", "1", "--epochs", "1"], tmp_path)
    assert finished.report["runs"] == 2
    assert 0 <= finished.report["test_accuracy"] <= 1
    assert finished.seconds > 0
    # Its import alone takes more than a second of one core.
    assert 1 < finished.processor_seconds < finished.seconds * os.cpu_count()
    assert finished.peak_bytes > 100e6


def test_a_command_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(CommandError, match="exit status 3"):
        run_command([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def test_processor_seconds_are_those_of_all_processes_and_not_of_waiting(tmp_path):
    busy = "import time; end = time.process_time() + 2\nwhile time.process_time() < end: pass"
    program = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {busy!r}]); time.sleep(1.5)"
    finished = run_command([sys.executable, "-c", program], tmp_path)
    # The last look at the busy one may be half a second before its end.
    assert 1 < finished.processor_seconds < finished.seconds - 1


def test_output_that_is_no_report_gives_no_numbers(tmp_path):
    assert run_command([sys.executable, "-c", "print('done')"], tmp_path).report == {}


def measure(contender, rounds=2):
    return measure_work(Work("x", "some work", (contender,), reference="ours"), rounds, "", sys.executable, print)


def test_every_round_of_a_contender_is_kept():
    record = measure(Contender("ours", "this project", ("json.tool", "--help")))
    assert record["contenders"] == {
        "ours": {
            "title": "this project",
            "command": "python -m json.tool --help",
            "one_thread": False,
            "precision": "float32",
        }
    }
    assert [(one["round"], one["contender"]) for one in record["measurements"]] == [(1, "ours"), (2, "ours")]
    assert all(one["seconds"] > 0 for one in record["measurements"])


def test_a_contender_that_does_not_do_the_work_is_no_measurement():
    with pytest.raises(CommandError, match=r"json\.tool --help: 0 trainings ended well, not 3"):
        measure(Contender("ours", "this project", ("json.tool", "--help"), runs=3))


@pytest.mark.slow
def test_what_trains_untracked_gives_the_numbers_of_the_command(tmp_path):
    mlp = ("data=digits", "model=mlp_64_64", "epochs=2", "batch_size=32")
    untracked = run_command([sys.executable, "-m", "benchmarks.untracked", *mlp, "seed=3"], tmp_path).report
    assert start_command(tmp_path, "-m", "mnist_flow.train", *mlp, "seed=3").wait() == 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("mnist_flow").experiment_id])
    assert untracked == {"runs": 1, "test_accuracy": run.data.metrics["test_accuracy"], "mlflow_imported": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--work", "a,z"], "--work z: must be of a,b,c"),
        (["--rounds", "0"], "--rounds 0: must be at least 1"),
        (["--epochs", "0"], "--epochs 0: must be at least 1"),
        (["--runs", "7"], "--runs 7: must be a multiple of 10"),
        (["--trials", "7"], "argument --trials: invalid choice: 7 (choose from 12, 24, 36, 48, 60)"),
        (["--torch-python", "nowhere"], "--torch-python nowhere: no such program"),
    ],
)
def test_bad_input_is_one_line_and_status_2(images, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("MNIST_NPZ", str(images))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--output", str(tmp_path / "docs"), *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "docs").exists()


def test_the_evaluation_loop_shifts_as_ours_does():
    digits = np.random.default_rng(0).random((2, 28, 28, 1), dtype=np.float32)
    ours = list_our_shifts(3, list(DIRECTIONS), ["wrap", "zero"])
    theirs = list_shifts(3)
    assert len(ours) == len(theirs) == 50
    for condition in ours:
        columns = condition.columns
        move = (columns["dx"], columns["dy"], columns["fill"] == "wrap")
        assert move in theirs
        np.testing.assert_array_equal(condition.transform(digits), shift(digits, *move))


def test_bfloat16_runs_only_where_the_processor_has_it():
    works = {work.key: work for work in list_works(bfloat16=False)}
    assert "mixed_bfloat16" in next(iter(works["c"].left_out))
    with_it = {work.key: work for work in list_works(bfloat16=True)}["c"]
    assert with_it.contenders[-1].arguments[-2:] == ("training.precision=mixed_bfloat16", "epochs=2")
    assert not with_it.left_out


@pytest.mark.slow
def test_a_filled_store_holds_runs_that_a_plan_finds_finished_and_copies_of_its_earlier_sizes(tmp_path):
    filled = [sys.executable, "-m", "benchmarks.store", "--experiment", "e", "--runs", "20", "--copies", "10"]
    run_command(filled, tmp_path)
    plan = [*SETTING, "epochs=40", "optimizer.learning_rate=0.1,0.5", "seed=0,1", "plan=true"]
    for store, told in (("store_10", "2 done or running, 2 to train"), ("mlflow", "4 done or running, 0 to train")):
        uri = f"tracking.uri=sqlite:///{store}.db"
        command = ["-m", "mnist_flow.train", "-m", *plan, "tracking.experiment_name=e", uri]
        done = run_project_command(tmp_path, *command)
        assert told in done.stdout, done.stderr


def test_commands_on_the_page_can_be_typed():
    commands = {(work.key, one.name): one.command for work in list_works() for one in work.contenders}
    assert commands["b", "ours"] == (
        "python -m mnist_flow.train -m model=mlp_100 optimizer.learning_rate=0.001,0.005,0.025,0.05,0.1,0.25,0.5,1 "
        "'seed=range(3)' hydra/launcher=local_pool epochs=10"
    )
    assert commands["tracking", "off_6"] == "python -m benchmarks.untracked model=mlp_64_64 'seed=range(6)' epochs=10"
    assert commands["d", "ours"] == "python -m mnist_flow.train model=mlp_64_64 epochs=10"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_optuna_loop_prunes_and_its_store_tells_how_the_best_rose(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"train": 400, "val": 100}
    arrays = {f"x_{name}": rng.random((n, 28, 28, 1), dtype=np.float32) for name, n in shapes.items()}
    labels = {f"y_{name}": rng.integers(10, size=n) for name, n in shapes.items()}
    np.savez(tmp_path / "split.npz", **arrays, **labels)
    loop = (sys.executable, "-m", "benchmarks.peers.optuna_loop", "--images", "split.npz")
    began = time.time()
    finished = run_command([*loop, "--trials", "9", "--epochs", "2"], tmp_path)
    found = read_trace(tmp_path / "mlflow.db", began)
    assert found["runs"] == finished.report["runs"] == 9
    assert found["best"] == found["trace"][-1][1] == pytest.approx(finished.report["best"])
    seconds, best = zip(*found["trace"], strict=True)
    assert 0 < seconds[0] < seconds[-1] < finished.seconds + 1
    assert list(best) == sorted(set(best))
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("optuna").experiment_id])
    pruned = [run for run in runs if run.info.status == "KILLED"]
    assert pruned
    assert {run.data.tags["state"] for run in pruned} == {"PRUNED"}
    assert [bool(run.outputs and run.outputs.model_outputs) for run in runs] == [
        run.info.status == "FINISHED" for run in runs
    ]


@pytest.mark.slow
def test_a_search_knows_the_trials_that_were_made_for_it(tmp_path):
    work = build_trial_work(known=20, epochs=1)
    assert work.prepare(tmp_path, "") == {"known": "20"}
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs(
        [client.get_experiment_by_name("known").experiment_id], "tags.`mnist_flow.trial` LIKE '%'"
    )
    assert len({run.data.params["reg"] for run in runs}) == 20


def test_what_was_prepared_is_put_back_before_each_command():
    def prepare(folder, data):
        (folder / "prepared").touch()
        return {}

    def read(folder, began):
        return {"files": sorted(path.name for path in folder.iterdir())}

    def touch(name):
        return Contender(name, name, ("timeit", "-n1", "-r1", f"import pathlib; pathlib.Path({name!r}).touch()"))

    contenders = touch("one"), touch("other")
    work = Work("x", "some work", contenders, reference="one", prepare=prepare, renewed=True, read=read)
    record = measure_work(work, 1, "", sys.executable, print)
    assert [one["files"] for one in record["measurements"]] == [["one", "prepared"], ["other", "prepared"]]


def test_few_trials_are_a_smaller_grid_and_the_round_is_the_samplers_seed():
    work = {one.key: one for one in list_works(epochs=1, trials=24)}["h"]
    commands = {one.name: one.command for one in work.contenders}
    assert (
        "optimizer.learning_rate=0.003,0.01 optimizer.momentum=0,0.45,0.9 reg=1e-6,1e-4 batch_size=64,256"
        in commands["grid"]
    )
    assert "hydra.sweeper.seed=ROUND hydra.sweeper.n_trials=24" in commands["ours"]
    assert "--trials 24 --epochs 1 --seed ROUND" in commands["loop"]
