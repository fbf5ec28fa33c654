"""The server that docs/CLUSTERS.md builds: PostgreSQL, artifacts through the server, users with passwords."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import mlflow
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from support import QUICK, AuthenticatedServer, assert_is_a_finished_sweep

pytestmark = [pytest.mark.slow, pytest.mark.launchers]

TRAIN = ("-m", "mnist_flow.train")
POSTGRES = os.environ.get("MNIST_FLOW_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")


@pytest.fixture
def database() -> Iterator[str]:
    """The URI of an empty PostgreSQL database that is dropped afterwards."""
    name = f"mnist_flow_test_{secrets.token_hex(4)}"
    try:
        connection = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        where = conninfo_to_dict(POSTGRES)
        pytest.skip(
            f"no PostgreSQL answers at {where.get('host')}:{where.get('port')} ({str(error).splitlines()[0]}); "
            "MNIST_FLOW_TEST_POSTGRES=postgresql://USER@HOST:PORT/DATABASE names one"
        )
    with connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def server(tmp_path, database) -> Iterator[AuthenticatedServer]:
    server = AuthenticatedServer(tmp_path / "server", "--backend-store-uri", database)
    server.start()
    yield server
    server.stop()


def test_a_sweep_is_tracked_on_postgresql_by_those_who_know_the_password(
    tmp_path, run_command, server, database, monkeypatch
):
    laptop = tmp_path / "laptop"
    laptop.mkdir()
    wrong = {**server.credentials, "MLFLOW_TRACKING_PASSWORD": secrets.token_urlsafe(16)}
    refused = run_command(laptop, *TRAIN, *QUICK, MLFLOW_TRACKING_URI=server.uri, **wrong)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: tracking server {server.uri}: asks for a user and a password, and got none, or not those that "
        "it knows; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or correct those in the URI\n"
    )
    assert wrong["MLFLOW_TRACKING_PASSWORD"] not in refused.stdout + refused.stderr

    sweep = ["-m", *QUICK, "reg=0,1e-5", "hydra/launcher=local_pool", "tracking.experiment_name=shared"]
    done = run_command(laptop, *TRAIN, *sweep, MLFLOW_TRACKING_URI=server.uri, **server.credentials)
    assert done.returncode == 0, done.stderr
    assert server.password not in done.stdout + done.stderr
    assert list(laptop.iterdir()) == []

    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (3,)

    # Everything is there again after a restart of the server, which is killed first.
    server.kill()
    server.start()
    for name, value in server.credentials.items():
        monkeypatch.setenv(name, value)
    jobs = assert_is_a_finished_sweep(mlflow.MlflowClient(server.uri), "shared", n_jobs=2)
    assert sorted(job.data.params["reg"] for job in jobs) == ["0.0", "1e-05"]
    assert all(job.info.artifact_uri.startswith("mlflow-artifacts:/") for job in jobs)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server.uri)
        table = mlflow.artifacts.load_text(f"{jobs[0].info.artifact_uri}/config/config.yaml")
    assert "hidden_units" in table


def test_artifacts_that_moved_are_found_again_in_a_store_on_postgresql(tmp_path, run_command, database):
    here, shared, moved = (tmp_path / name for name in ("here", "shared", "moved"))
    here.mkdir()
    client = mlflow.MlflowClient(database)
    client.create_experiment("elsewhere", artifact_location=str(shared / "elsewhere"))
    # What begins with the same letters lies elsewhere, and stays.
    client.create_experiment("beside", artifact_location=str(tmp_path / "shared2"))
    arguments = (*TRAIN, *QUICK, "epochs=1", "tracking.experiment_name=elsewhere", f"tracking.uri={database}")
    done = run_command(here, *arguments)
    assert done.returncode == 0, done.stderr
    shared.rename(moved)
    relocate = ("-m", "mnist_flow.relocate", f"tracking.uri={database}", f"moved_from={shared}", f"moved_to={moved}")
    assert "nothing is changed yet" in run_command(here, *relocate).stdout
    assert client.get_experiment_by_name("elsewhere").artifact_location == str(shared / "elsewhere")
    applied = run_command(here, *relocate, "apply=true")
    assert applied.returncode == 0, applied.stderr
    experiment = client.get_experiment_by_name("elsewhere")
    assert experiment.artifact_location == str(moved / "elsewhere")
    assert client.get_experiment_by_name("beside").artifact_location == str(tmp_path / "shared2")
    evaluate = ("-m", "mnist_flow.evaluate", "measure=rotation", "measure.rotation.degrees=[0]")
    measured = run_command(here, *evaluate, "tracking.experiment_name=elsewhere", f"tracking.uri={database}")
    assert measured.returncode == 0, measured.stderr
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["mnist_flow.kind"] for run in runs) == ["evaluation", "train"]
    assert all(run.info.artifact_uri.startswith(str(moved)) for run in runs)
    assert not shared.exists()
    assert "nothing to relocate" in run_command(here, *relocate).stdout
