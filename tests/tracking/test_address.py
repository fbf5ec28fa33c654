import re
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from mnist_flow.errors import TrackingError
from mnist_flow.tracking.address import build_sqlite_uri, complete_uri, find_sqlite_file


@pytest.mark.parametrize(
    "name", ["plain", "a b", "übung", "a+b", "(1)", "&,=@'\"", "#", "100%", "~", "$HOME", "a%20b", "a?b", "a:b", "%2F"]
)
def test_the_uri_of_a_file_leads_back_to_it(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    folder.mkdir()
    file = folder / "mlflow.db"
    uri = build_sqlite_uri(file)
    assert find_sqlite_file(uri) == file
    assert make_url(uri).database == str(file)
    assert find_sqlite_file(complete_uri(uri, "tracking.uri")) == file
    monkeypatch.chdir(folder)
    assert complete_uri(None, "tracking.uri") == uri
    # MLflow makes a folder of what follows, undecoded.
    assert not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")) == file


@pytest.mark.parametrize(
    ("typed", "file", "query"),
    [
        ("sqlite:///x.db", "HERE/x.db", ""),
        ("sqlite:///sub/x.db?timeout=60", "HERE/sub/x.db", "?timeout=60"),
        ("sqlite:////data/x.db?a=1&b=2", "/data/x.db", "?a=1&b=2"),
        ("sqlite:///~/x.db", "HOME/x.db", ""),
        ("sqlite+pysqlite:///x.db", "HERE/x.db", ""),
        ("sqlite:///a%20b.db", "HERE/a b.db", ""),
    ],
)
def test_the_file_of_a_typed_address_is_absolute(tmp_path, monkeypatch, typed, file, query):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    completed = complete_uri(typed, "tracking.uri")
    assert str(find_sqlite_file(completed)) == file.replace("HERE", str(tmp_path)).replace("HOME", "/home/ada")
    assert completed.endswith(f".db{query}")


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:5000",
        "https://ada:sesame@host/mlflow",
        "postgresql+psycopg://ada@host/runs",
        "databricks",
        "databricks-uc",
        "uc",
    ],
)
def test_other_addresses_stay_as_they_are(uri):
    assert complete_uri(uri, "tracking.uri") == uri
    assert find_sqlite_file(uri) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost", "http://localhost"),
        ("mlflow.example.org/runs", "http://mlflow.example.org/runs"),
        ("server:80", "http://server:80"),
        ("mlflow.db", "sqlite:///mlflow.db"),
        ("/data/my runs.sqlite3", "sqlite:////data/my runs.sqlite3"),
        ("sqlite:mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:/mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite://mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite://runs/mlflow.db", "sqlite:///runs/mlflow.db"),
        ("postgres://ada:sesame@host/runs", "postgresql://***@host/runs"),
    ],
)
def test_a_mistake_is_refused_with_what_was_meant(typed, meant):
    with pytest.raises(TrackingError, match=rf": is no tracking URI; did you mean {re.escape(meant)}\?$") as caught:
        complete_uri(typed, "MLFLOW_TRACKING_URI")
    assert str(caught.value).startswith("MLFLOW_TRACKING_URI=")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("typed", ["mlruns", "./mlruns", "file:///data/mlruns", "file:mlruns"])
def test_a_folder_of_files_is_refused_with_a_file(typed):
    with pytest.raises(TrackingError, match=r"keeps no runs in a folder of files any more; .*=sqlite:///mlflow\.db$"):
        complete_uri(typed, "tracking.uri")


@pytest.mark.parametrize("typed", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(typed):
    with pytest.raises(TrackingError, match="would be gone with this process"):
        complete_uri(typed, "tracking.uri")
