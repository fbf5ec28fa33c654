"""Servers and stores that answer, refuse, or are not there."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pytest
import requests
from mlflow.entities.model_registry import ModelVersion
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.rest_store import RestStore
from sqlalchemy.exc import OperationalError

from commands import start_command
from mnist_flow import tracking
from mnist_flow.errors import TrackingError
from mnist_flow.tracking.experiments import make_sqlite_store
from mnist_flow.tracking.server import may_pass, shorten
from support import find_free_port, wait_until


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch):
    """MLflow's own retries take seconds."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def use_uri():
    """Choose a tracking server for this test."""
    yield tracking.configure
    mlflow.set_tracking_uri(None)


@pytest.fixture
def refusing_server():
    """A server that answers every request with the status and body that it is told; with status 0, it hangs up."""

    class Handler(BaseHTTPRequestHandler):
        status, body = 200, b"{}"

        def do_GET(self) -> None:
            if not Handler.status:
                return
            self.send_response(Handler.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(Handler.body)))
            self.end_headers()
            self.wfile.write(Handler.body)

        do_POST = do_GET  # noqa: N815 - the name that the base class looks for

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def answer(status: int, body: bytes) -> str:
        Handler.status, Handler.body = status, body
        return f"http://127.0.0.1:{server.server_port}"

    yield answer
    server.shutdown()
    server.server_close()


# Experiments


def test_the_variables_of_mlflow_win_over_the_config(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "from_variable")
    experiment_id = tracking.get_or_create_experiment("from_config")
    assert store.get_experiment(experiment_id).name == "from_variable"
    assert tracking.choose_experiment_name("from_config") == "from_variable"
    other_id = store.create_experiment("from_id")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", other_id)
    assert tracking.get_or_create_experiment("from_config") == other_id


@pytest.mark.parametrize(
    "ask",
    [
        lambda: tracking.get_or_create_experiment("x"),
        lambda: tracking.find_experiment("x"),
        lambda: tracking.list_chosen_experiments(["x"]),
    ],
)
def test_an_experiment_that_was_set_for_another_store_is_told_with_its_variable(store, monkeypatch, ask):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    with pytest.raises(TrackingError) as caught:
        ask()
    assert str(caught.value) == (
        f"MLFLOW_EXPERIMENT_ID=77: {tracking.get_uri()} has no such experiment; mlflow.set_experiment may have set it "
        "for another store: unset it, or call mlflow.set_experiment again"
    )


def test_a_request_has_a_minute_unless_a_variable_says_otherwise(use_uri, tmp_path, monkeypatch):
    use_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 60
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "90")
    use_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 90


def test_the_uri_of_the_variable_wins_over_the_config(tmp_path, monkeypatch, use_uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/variable.db")
    use_uri(f"sqlite:///{tmp_path}/config.db")
    assert tracking.get_uri() == f"sqlite:///{tmp_path}/variable.db"


@pytest.mark.parametrize(
    ("given", "typed", "is_told"),
    [
        ("sqlite:///second.db", "sqlite:///{folder}/second.db", False),
        ("sqlite:///{folder}/second.db", "sqlite:///second.db", False),
        ("sqlite:///second.db", "sqlite:///first.db", True),
        ("sqlite:///second.db", "postgres://nowhere", True),
    ],
)
def test_a_variable_wins_over_the_uri_of_another_store_only(
    tmp_path, monkeypatch, use_uri, caplog, given, typed, is_told
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given.format(folder=tmp_path))
    use_uri(typed.format(folder=tmp_path))
    assert tracking.get_uri() == f"sqlite:///{tmp_path}/second.db"
    assert ("wins over tracking.uri=" in caplog.text) == is_told


def test_a_uri_that_was_configured_does_not_win_over_the_next_one(tmp_path, use_uri):
    """As in a notebook, which runs one config after another."""
    use_uri(f"sqlite:///{tmp_path}/first.db")
    use_uri(f"sqlite:///{tmp_path}/second.db")
    assert tracking.get_uri() == f"sqlite:///{tmp_path}/second.db"


def test_an_experiment_is_created_once(store):
    experiment_id = tracking.get_or_create_experiment("x")
    assert tracking.get_or_create_experiment("x") == experiment_id != "0"
    assert tracking.find_experiment("x") == experiment_id
    assert tracking.find_experiment("y") is None
    assert {one.name for one in store.search_experiments()} == {"Default", "x"}


def test_a_deleted_experiment_is_told_with_the_remedy(store):
    store.delete_experiment(store.create_experiment("gone"))
    with pytest.raises(TrackingError, match=r"tracking\.experiment_name=gone: this experiment is deleted; restore it"):
        tracking.get_or_create_experiment("gone")


@pytest.mark.parametrize("variable", [None, "MAX_OVERFLOW", "POOL_SIZE"])
def test_a_new_store_is_what_mlflow_makes(tmp_path, monkeypatch, variable):
    monkeypatch.chdir(tmp_path)
    if variable is not None:
        monkeypatch.setenv(f"MLFLOW_SQLALCHEMYSTORE_{variable}", "3")
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    make_sqlite_store(ours)
    assert list(tmp_path.iterdir()) == [ours]
    mlflow.MlflowClient(f"sqlite:///{theirs}").search_experiments()
    dumps = []
    for file in (ours, theirs):
        with closing(sqlite3.connect(file)) as database:
            database.execute("UPDATE experiments SET creation_time = 0, last_update_time = 0")
            # MLflow's migrations go by sets here and there, so that constraints and indices have no fixed order.
            lines = "\n".join(database.iterdump()).splitlines()
            dumps.append(sorted(line.strip(" \t,") for line in lines))
    assert dumps[0] == dumps[1]
    assert f"'{tmp_path}/mlruns/0'" in "".join(dumps[0])


def test_a_store_that_is_a_link_is_made_where_it_leads_to(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "mlflow.db").symlink_to(tmp_path / "disk" / "runs.db")
    make_sqlite_store(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").is_symlink()
    assert [file.name for file in (tmp_path / "disk").iterdir()] == ["runs.db"]


def test_a_store_that_a_signal_breaks_off_leaves_nothing(tmp_path, use_uri, monkeypatch):
    monkeypatch.chdir(tmp_path)
    use_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")

    def be_interrupted(engine):
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as interrupted:
        interrupted.setattr("mlflow.store.db.utils._upgrade_db", be_interrupted)
        with pytest.raises(KeyboardInterrupt):
            tracking.get_or_create_experiment("x")
    assert list(tmp_path.iterdir()) == []
    assert tracking.get_or_create_experiment("x") == "1"


def test_what_a_killed_process_left_of_a_new_store_stops_nobody(tmp_path):
    (tmp_path / "mlflow.db.new").write_bytes(b"SQLite format 3")
    make_sqlite_store(tmp_path / "mlflow.db")
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.commands
def test_processes_that_create_an_experiment_at_once_agree(tmp_path):
    program = (
        "import pathlib, sys, time; from mnist_flow import tracking; here = pathlib.Path.cwd(); number = sys.argv[1]; "
        "tracking.configure(f'sqlite:///{here}/mlflow.db'); (here / f'{number}.ready').touch()\n"
        "while not (here / 'go').exists(): time.sleep(0.001)\n"
        "(here / f'{number}.id').write_text(tracking.get_or_create_experiment('x'))"
    )
    commands = [start_command(tmp_path, "-c", program, str(number)) for number in range(4)]
    wait_until(lambda: len(list(tmp_path.glob("*.ready"))) == 4)
    (tmp_path / "go").touch()
    assert [command.wait(timeout=120) for command in commands] == [0] * 4
    (experiment_id,) = {path.read_text() for path in tmp_path.glob("?.id")}
    assert experiment_id != "0"


# Errors


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "(Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
            "failed: self-signed certificate (_ssl.c:1006)')))",
            "its certificate can't be verified (self-signed certificate); name the file of who signed it: "
            "MLFLOW_TRACKING_SERVER_CERT_PATH=FILE.pem",
        ),
        (
            "SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number')",
            "speaks http, not https; begin its address with http://",
        ),
        (
            "failed with error code 403 != 200. Response body: 'Invalid Host header - possible DNS rebinding attack'",
            "does not know the name by which it is asked; start it with --allowed-hosts HOST",
        ),
        (
            "failed with error code 403 != 200. Response body: 'Permission denied'",
            "does not permit this user to do this; ask its administrator for the permission, or name another user: "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        (
            "API request to endpoint /api/2.0/x failed with error code 404 != 200. Response body: '<html>no</html>'",
            "is no MLflow server; it answers '<html>no</html>'",
        ),
        (
            "API request to endpoint /api/2.0/x failed with error code 302 != 200. Response body: ''",
            "is no MLflow server; it answers ''",
        ),
        (
            "Model registry functionality is unavailable; got unsupported URI 'foo://bar'",
            "is no address that MLflow knows; it knows http, https, sqlite, postgresql, mysql and mssql",
        ),
        (
            "No module named 'psycopg2'",
            "psycopg2 is not installed; with pip install '.[server]' begin the address with postgresql+psycopg://",
        ),
    ],
)
def test_common_errors_of_servers_are_told_with_the_remedy(error, said):
    assert shorten(MlflowException(error)) == said


@pytest.mark.parametrize(
    ("code", "trouble"),
    [("ProxyError('Unable to connect to proxy')", "does not answer"), ("error code 407", "asks for")],
)
def test_a_proxy_is_named_with_its_variable(use_uri, monkeypatch, code, trouble):
    monkeypatch.setenv("https_proxy", "http://ada:sesame@proxy:3128")
    use_uri("https://server.example/mlflow")
    said = shorten(MlflowException(code))
    assert said.startswith(f"the proxy http://***@proxy:3128 in https_proxy {trouble}")
    assert said.endswith("or go past it: no_proxy=server.example")


def test_what_is_deleted_is_restored_where_it_is(tmp_path, use_uri):
    deleted = MlflowException("The run ab12 must be in the 'active' state. Current state is deleted.")
    for uri, other, named in (
        (f"sqlite:///{tmp_path}/mine.db", None, f"MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mine.db "),
        (f"sqlite:///{tmp_path}/mine.db", "http://ada:sesame@there", "MLFLOW_TRACKING_URI='http://***@there' "),
    ):
        use_uri(uri)
        said = shorten(deleted, other)
        assert said.startswith(f"the run ab12 is deleted; restore it: {named}")
        assert said.endswith("mlflow runs restore --run-id ab12")


def test_a_certificate_that_is_not_trusted_will_not_be_later():
    assert not may_pass(MlflowException("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))


def test_a_server_that_answers_nothing_known_is_no_mlflow(refusing_server, use_uri):
    use_uri(refusing_server(200, b"{}"))
    with pytest.raises(TrackingError, match="is no MLflow server"):
        tracking.get_or_create_experiment("x")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [("http://ada:sesame@127.0.0.1:9", "http://***@127.0.0.1:9: does not answer"), ("foo://bar", "foo://bar")],
)
def test_a_server_that_does_not_answer_is_one_clear_line(use_uri, uri, shown):
    def ask() -> None:
        use_uri(uri)
        tracking.get_or_create_experiment("x")

    with pytest.raises(TrackingError) as caught:
        ask()
    assert shown in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_can_only_be_read_is_refused_to_those_who_write(tmp_path, use_uri, monkeypatch):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    use_uri(uri)
    assert tracking.find_unwritable() is None
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert tracking.configure(uri, writes=False) == uri
    assert tracking.find_unwritable() == tmp_path
    with pytest.raises(TrackingError, match=f"{tmp_path}: can't be written; go to another folder"):
        tracking.configure(uri)
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.F_OK)
    with pytest.raises(TrackingError, match=f"{tmp_path}/mlflow.db: can't be read; ask its owner"):
        tracking.configure(uri, writes=False)


def test_a_store_in_a_folder_that_is_not_there_is_told(tmp_path, use_uri):
    with pytest.raises(TrackingError, match=f"{tmp_path}/nowhere: no such folder"):
        use_uri(f"sqlite:///{tmp_path}/nowhere/mlflow.db")


def test_a_server_that_stops_while_it_is_asked_does_not_answer(refusing_server, use_uri):
    uri = refusing_server(0, b"")
    use_uri(uri)
    with pytest.raises(TrackingError) as caught:
        tracking.get_or_create_experiment("x")
    assert str(caught.value).startswith(f"tracking server {uri}: does not answer")


def test_an_error_is_one_short_line_without_credentials():
    assert shorten(ValueError("no answer\n  from http://ada:sesame@example.org/")) == (
        "no answer from http://***@example.org/"
    )
    assert shorten(ValueError()) == "ValueError"
    assert shorten(OSError("[Errno 111] Connection refused")) == "does not answer"
    long = shorten(ValueError("word " * 1000))
    assert len(long) <= 400
    assert long.endswith(" …")


def fetch_error(uri: str) -> Exception:
    with pytest.raises(MlflowException) as caught:
        mlflow.MlflowClient(uri).get_experiment("1")
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "passes"),
    [
        (500, b"", True),
        (502, b"<html>bad gateway</html>", True),
        (503, b"", True),
        (504, b"", True),
        (429, b"", True),
        (500, json.dumps({"error_code": "INTERNAL_ERROR", "message": "(OperationalError) locked"}).encode(), True),
        (503, json.dumps({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "wait"}).encode(), True),
        (400, json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}).encode(), False),
        (401, b"", False),
        (403, json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}).encode(), False),
        (404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}).encode(), False),
    ],
)
def test_a_server_in_trouble_may_recover_and_one_that_refuses_will_not(refusing_server, status, body, passes):
    assert may_pass(fetch_error(refusing_server(status, body))) is passes


def test_a_server_that_is_away_may_come_back():
    assert may_pass(fetch_error(f"http://127.0.0.1:{find_free_port()}"))


@pytest.mark.parametrize(("status", "passes"), [(404, False), (429, True), (499, False), (500, True), (503, True)])
def test_artifacts_over_http_are_asked_for_again_where_the_server_is_in_trouble(status, passes):
    response = requests.Response()
    response.status_code = status
    assert may_pass(requests.HTTPError(response=response)) is passes


def test_a_database_that_is_locked_may_be_free_again_and_one_that_is_read_only_will_not_be_written():
    assert may_pass(OperationalError("INSERT", {}, Exception("database is locked"))) is True
    assert may_pass(OperationalError("INSERT", {}, Exception("attempt to write a readonly database"))) is False


def test_other_errors_do_not_pass():
    assert not may_pass(ValueError("a bug"))
    assert not may_pass(OSError("No space left on device"))


# Patience


def test_a_call_is_repeated_until_the_server_is_back(refusing_server):
    uri = refusing_server(503, b"")
    attempts = []

    def fetch() -> str:
        attempts.append(uri)
        if len(attempts) == 2:
            refusing_server(200, json.dumps({"experiment": {"experiment_id": "5", "name": "x"}}).encode())
        return mlflow.MlflowClient(uri).get_experiment("5").name

    assert tracking.wait_for(fetch, patience=60) == "x"
    assert len(attempts) == 2


def test_patience_ends(refusing_server):
    uri = refusing_server(503, b"")
    start = time.monotonic()
    with pytest.raises(MlflowException):
        tracking.wait_for(lambda: mlflow.MlflowClient(uri).get_experiment("5"), patience=0.2)
    assert time.monotonic() - start < 10


def test_a_refusal_is_not_waited_for(refusing_server):
    uri = refusing_server(404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}).encode())
    attempts = []

    def fetch() -> None:
        attempts.append(uri)
        mlflow.MlflowClient(uri).get_experiment("5")

    with pytest.raises(MlflowException):
        tracking.wait_for(fetch, patience=60)
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("uri", "user", "who"),
    [
        ("http://ada:sesame@host", "bob", "the user in its URI"),
        ("http://host", "bob", "user bob"),
        ("http://host", "", "this user"),
    ],
)
def test_who_is_denied_is_named_by_the_variable_alone(monkeypatch, uri, user, who):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    error = MlflowException("failed with error code 403 != 200. Response body: 'Permission denied'")
    assert shorten(error, uri).startswith(f"does not permit {who} to do this; ")


def test_an_address_of_the_registry_is_checked_as_that_of_the_store(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite://relative.db")
    with pytest.raises(TrackingError, match=r"^MLFLOW_REGISTRY_URI=sqlite://relative\.db: "):
        tracking.configure(f"sqlite:///{tmp_path}/mlflow.db", "x")


def test_mlflow_does_not_say_how_long_it_would_wait_for_a_registered_model(use_uri, tmp_path, capsys):
    use_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    version = ModelVersion("digits", "1", creation_timestamp=0, status="READY")
    RestStore(lambda: None)._await_model_version_creation(version, 300)
    assert capsys.readouterr().err == ""
