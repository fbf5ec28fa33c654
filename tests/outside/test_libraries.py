"""What other programs leave in the environment for the libraries, and what these refuse: one line, no traceback."""

from __future__ import annotations

import mlflow
import pytest

TRAIN = ("-m", "mnist_flow.train", "data=digits", "model=mlp", "model.hidden_units=[8]", "epochs=1", "batch_size=64")


def fail(run_command, folder, *arguments: str, status: int = 2, **variables: str) -> str:
    """Run a command that must not succeed, and return the one line that it says."""
    done = run_command(folder, *arguments, **variables)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


# Python


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ({"PYTHONOPTIMIZE": "2"}, "error: PYTHONOPTIMIZE=2, or python -OO: Keras and MLflow read the docstrings"),
        ({"PYTHONWARNINGS": "error"}, "error: PYTHONWARNINGS=error, or python -W error: libraries warn of their own"),
    ],
)
def test_options_of_python_that_libraries_can_not_bear_are_refused(tmp_path, run_command, variable, said):
    assert fail(run_command, tmp_path, *TRAIN, **variable).startswith(said)
    assert not list(tmp_path.iterdir())


# Imports


def test_a_backend_that_a_notebook_left_does_not_matter(tmp_path, run_command):
    trained = run_command(tmp_path, *TRAIN)
    assert trained.returncode == 0, trained.stderr
    drawn = ("-m", "mnist_flow.analyze", "study=compare", "tracking.experiment_name=mnist_flow", "output_dir=figures")
    for backend in ("garbage", "module://matplotlib_inline.backend_that_is_not_there"):
        done = run_command(tmp_path, *drawn, MPLBACKEND=backend)
        assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "figures").glob("*.png"))


def test_an_implementation_of_protocol_buffers_that_there_is_no_more_does_not_matter(tmp_path, run_command):
    done = run_command(tmp_path, *TRAIN, "plan=true", PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="cpp", fresh=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SKLEARN_WORKING_MEMORY": "much"}, "sklearn can't be imported: ValueError: invalid literal for int()"),
        (
            {"NPY_ENABLE_CPU_FEATURES": "AVX2", "NPY_DISABLE_CPU_FEATURES": "AVX512F"},
            "numpy can't be imported: ImportError: Original error was: Both NPY_DISABLE_CPU_FEATURES and",
        ),
        ({"MLFLOW_CONFIGURE_LOGGING": "maybe"}, "mlflow can't be imported: ValueError: MLFLOW_CONFIGURE_LOGGING value"),
    ],
)
def test_a_library_that_can_not_be_imported_is_named_with_the_reason(tmp_path, run_command, variables, said):
    told = fail(run_command, tmp_path, *TRAIN, fresh=True, **variables)
    assert told.startswith(f"error: {said}")
    assert told.endswith("install the project's packages again (HYDRA_FULL_ERROR=1 shows the traceback)\n")
    assert not list(tmp_path.iterdir())


# Variables of MLflow


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "1s", "a whole number"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "many", "a whole number"),
        ("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "2.5", "a whole number"),
        ("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1s", "a number"),
        # Read only after the training, whose record it left undelivered.
        ("MLFLOW_ENABLE_ASYNC_LOGGING", "maybe", "true or false"),
    ],
)
def test_a_variable_that_mlflow_can_not_read_is_told_before_anything_is_started(
    tmp_path, run_command, name, value, wanted
):
    told = fail(run_command, tmp_path, *TRAIN, **{name: value})
    assert told == f"error: {name}={value}: must be {wanted}; correct it, or unset {name}\n"
    assert not list(tmp_path.iterdir())


def test_a_registry_that_is_none_is_told_by_its_variable(tmp_path, run_command):
    told = fail(run_command, tmp_path, *TRAIN, "tracking.register=digits", MLFLOW_REGISTRY_URI="localhost:5000")
    assert (
        told == "error: MLFLOW_REGISTRY_URI=localhost:5000: is no tracking URI; did you mean http://localhost:5000?\n"
    )


def test_a_name_that_is_too_long_for_mlflow_is_told_before_anything_is_started(tmp_path, run_command):
    told = fail(run_command, tmp_path, *TRAIN, f"tracking.experiment_name={'n' * 501}")
    assert told.endswith(": must have at most 500 characters\n")
    assert not list(tmp_path.iterdir())


# Memory


def test_a_network_that_is_too_large_for_the_memory_fails_in_one_line(tmp_path, run_command):
    done = run_command(tmp_path, *TRAIN, "model.hidden_units=[2000000000]")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: there is not enough memory for an array of shape [784,2000000000]; choose a smaller model"
    )
    assert "Traceback" not in done.stderr
    (run,) = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["1"])
    assert run.info.status == "FAILED"


# Files and folders of Hydra's


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"family: mlp\n\thidden_units: [8]\n",
            ", line 2: is no YAML: found character '\\t' that cannot start any token",
        ),
        (b"family: mlp\nfamily: cnn\n", ", line 2: is no YAML: found duplicate key family"),
        (b"family: mlp\nhidden_units: [8\n", ", line 3: is no YAML: expected ',' or ']', but got '<stream end>'"),
        ("# größe\nfamily: mlp\n".encode("latin-1"), ": is not in UTF-8 (invalid start byte)"),
    ],
    ids=["tab", "duplicate", "bracket", "latin-1"],
)
def test_an_option_that_is_no_yaml_is_told_with_its_file_and_line(tmp_path, run_command, content, said):
    file = tmp_path / "my" / "model" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    for arguments in (("model=mine",), ("-m", "model=mine,mlp"), ("model=mine", "plan=true")):
        told = fail(run_command, tmp_path, "-m", "mnist_flow.train", "--config-dir", "my", "data=digits", *arguments)
        assert told.startswith(f"error: {file}{said}")
    assert [path.name for path in tmp_path.iterdir()] == ["my"]


def test_a_list_of_jobs_that_is_no_yaml_is_told_with_its_file_and_line(tmp_path, run_command):
    (tmp_path / "jobs.yaml").write_text("- [seed=1\n- [seed=2]\n", encoding="utf-8")
    told = fail(run_command, tmp_path, *TRAIN, "-m", "jobs=jobs.yaml")
    assert "jobs.yaml" in told
    assert "Traceback" not in told


def test_a_folder_of_a_sweep_that_hydra_can_not_tell_yet_is_refused_before_a_run_is_open(tmp_path, run_command):
    told = fail(run_command, tmp_path, *TRAIN, "-m", "seed=0,1", "hydra.sweep.dir=${hydra:runtime.cwd}/logs")
    assert told.startswith("error: hydra.sweep.dir=${hydra:runtime.cwd}/logs: Hydra makes this folder before")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_a_job_whose_name_is_too_long_is_one_line(tmp_path, run_command):
    subdir = "hydra.sweep.subdir=${hydra.job.override_dirname}"
    long = f"tracking.experiment_name={'n' * 240}"
    told = fail(run_command, tmp_path, *TRAIN, long, "-m", "seed=0,1", "hydra.sweep.dir=multirun", subdir)
    remedy = "write a shorter one, 'hydra.sweep.subdir=${hydra.job.num}'"
    assert told == f"error: {subdir}: makes names that are too long; {remedy}\n"
    assert not list(tmp_path.iterdir())
