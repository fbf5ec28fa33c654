from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE

from mnist_flow.errors import TrackingError
from mnist_flow.tracking.places import check_place, describe_move, to_path, to_place

SERVER = "http://server.example:5000"


@pytest.mark.parametrize("path", ["/data/my project/mlruns/1", "/a%20b/mlruns", "/ü+(1)/100%/#"])
def test_a_path_that_was_noted_is_read_as_itself(path):
    assert to_path(to_place(Path(path))) == Path(path)


def test_addresses_are_no_paths():
    assert [to_path(place) for place in ("s3://bucket/x", "mlflow-artifacts:/1", "gs://b")] == [None] * 3
    assert to_path("mlruns/1") == Path.cwd() / "mlruns" / "1"


def test_a_place_beside_its_store_is_good_though_nothing_is_there_yet(store, tmp_path):
    check_place(f"{tmp_path}/mlruns/7", "experiment 'x'")
    assert not (tmp_path / "mlruns").exists()


def test_a_place_elsewhere_is_good_where_its_folder_is_there(store, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "mlruns").mkdir()
    # A store of its own in that folder is no copy of this one.
    (tmp_path / "other" / "mlruns").mkdir()
    check_place(f"{tmp_path}/other/mlruns/7", "experiment 'x'")


def test_a_place_whose_folder_is_gone_names_the_command(store, tmp_path):
    with pytest.raises(TrackingError) as caught:
        check_place(f"{tmp_path}/gone/mlruns/7", "experiment 'x'")
    assert str(caught.value) == (
        f"experiment 'x': its artifacts are looked for in {tmp_path}/gone, but their store is in {tmp_path}; relocate "
        "them: python -m mnist_flow.relocate apply=true"
    )


def test_the_command_names_a_store_that_is_not_the_usual_one(store, tmp_path):
    said = describe_move(f"{tmp_path}/gone/mlruns/7", f"sqlite:///{tmp_path}/my runs.db")
    command = f"python -m mnist_flow.relocate 'tracking.uri=sqlite:///{tmp_path}/my runs.db' apply=true"
    assert said is not None
    assert said.endswith(f"; relocate them: {command}")


def test_artifacts_are_looked_for_beside_the_store_that_is_asked(store, tmp_path):
    other = f"sqlite:///{tmp_path}/other/mlflow.db"
    with pytest.raises(TrackingError, match=rf"in {tmp_path}/gone, but their store is in {tmp_path}/other; relocate"):
        check_place(f"{tmp_path}/gone/mlruns/7", "experiment 'x'", other)


def test_secrets_of_a_store_stay_out_of_what_is_said(tmp_path):
    said = describe_move(f"{tmp_path}/gone/mlruns/7", f"sqlite:///{tmp_path}/runs.db?password=sesame")
    assert said is not None
    assert f"tracking.uri='sqlite:///{tmp_path}/runs.db?password=***'" in said.replace('"', "'")
    with pytest.raises(TrackingError, match=r"tracking server http://\*\*\*@server.example:5000 keeps its artifacts"):
        check_place("/srv/mlruns/1", "experiment 'x'", SERVER.replace("//", "//ada:sesame@"))


def test_a_database_without_a_file_asks_where_artifacts_moved_to(tmp_path):
    said = describe_move(f"{tmp_path}/gone/mlruns/7", "postgresql://host/runs")
    assert said == (
        f"are looked for in {tmp_path}/gone/mlruns/7, and there is no {tmp_path}/gone; if it moved, say where to: "
        f"python -m mnist_flow.relocate moved_from={tmp_path}/gone moved_to=FOLDER apply=true"
    )


def test_a_folder_of_a_servers_machine_is_refused_here(tmp_path):
    with pytest.raises(TrackingError, match=r"keeps its artifacts in /srv/mlruns/1, a folder of its own machine"):
        check_place("/srv/mlruns/1", "experiment 'x'", SERVER)
    # One that both see, say over a network, is good.
    (tmp_path / "mlruns").mkdir()
    check_place(f"{tmp_path}/mlruns/1", "experiment 'x'", SERVER)


def test_a_file_where_a_folder_should_be_is_told(store, tmp_path):
    (tmp_path / "mlruns").touch()
    with pytest.raises(TrackingError, match=rf"experiment 'x': its artifacts can't be written to {tmp_path}/mlruns;"):
        check_place(f"{tmp_path}/mlruns/7", "experiment 'x'")


@pytest.mark.parametrize(
    ("place", "module", "package"),
    [
        ("gs://bucket/x", "google.cloud.storage", "google-cloud-storage"),
        ("wasbs://c@a.blob.core.windows.net/x", "azure.storage.blob", "azure-storage-blob azure-identity"),
        ("abfss://c@a.dfs.core.windows.net/x", "azure.storage", "azure-storage-file-datalake azure-identity"),
        ("sftp://host/x", "paramiko", "paramiko pysftp"),
    ],
)
def test_an_address_whose_package_is_missing_names_it(store, place, module, package):
    try:
        is_there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        is_there = False
    if is_there:
        pytest.skip(f"{module} is installed")
    with pytest.raises(TrackingError, match=rf"go to {place}; a package is missing .*; pip install {package}$"):
        check_place(place, "experiment 'x'")


def test_an_address_that_mlflow_does_not_know_is_told(store):
    with pytest.raises(TrackingError, match=r"experiment 'x': its artifacts can't be written to foo://bucket"):
        check_place("foo://bucket", "experiment 'x'")


@pytest.mark.parametrize(
    ("code", "text", "line"),
    [
        (PERMISSION_DENIED, "Permission denied", "x: its artifacts can't be written to mlflow-artifacts:/1"),
        (TEMPORARILY_UNAVAILABLE, "start it with --serve-artifacts", "x: its artifacts can't be written to"),
        (TEMPORARILY_UNAVAILABLE, "busy", None),
    ],
)
def test_a_server_that_keeps_no_artifacts_is_told_and_one_that_is_busy_is_not(monkeypatch, code, text, line):
    def refuse(path):
        raise MlflowException(text, code)

    repository = SimpleNamespace(list_artifacts=refuse)
    monkeypatch.setattr("mnist_flow.tracking.places.get_artifact_repository", lambda place: repository)
    with nullcontext() if line is None else pytest.raises(TrackingError, match=f"^{line}"):
        check_place("mlflow-artifacts:/1", "x", SERVER)
