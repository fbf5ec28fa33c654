import io
import logging

import pytest

from mnist_flow.runtime.credentials import HidingFormatter, HidingStream, hide_credentials


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("http://user:word@host/", "http://***@host/"),
        ("https://token@host:5000", "https://***@host:5000"),
        ("redis://:word@host", "redis://***@host"),
        ("postgresql+psycopg2://mlflow:wo%2Frd@db:5432/runs", "postgresql+psycopg2://***@db:5432/runs"),
        ("tracking.uri='http://user:word@host' failed", "tracking.uri='http://***@host' failed"),
        ("http://a:b@one then ftp://c:d@two/x", "http://***@one then ftp://***@two/x"),
    ],
)
def test_credentials_are_hidden_wherever_they_stand(text, hidden):
    assert hide_credentials(text) == hidden


@pytest.mark.parametrize(
    "text", ["", "http://host:5000/a@b", "me@example.org", "sqlite:///mlflow.db", "http://host/?mail=me@host"]
)
def test_all_else_stays(text):
    assert hide_credentials(text) == text


@pytest.mark.parametrize("password", ["pa@word", "pa'word"])
def test_password_with_an_unusual_character(password):
    assert hide_credentials(f"http://user:{password}@host/") == "http://***@host/"


@pytest.fixture
def log():
    """A logger and what it wrote."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(HidingFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, text


def test_formatter_hides_in_arguments(log):
    logger, text = log
    logger.warning("no answer from %s", "http://user:word@host")
    assert text.getvalue() == "WARNING no answer from http://***@host\n"


def test_formatter_hides_in_tracebacks(log):
    logger, text = log
    try:
        raise OSError("http://user:word@host")
    except OSError:
        logger.exception("failed")
    assert "OSError: http://***@host" in text.getvalue()
    assert "word" not in text.getvalue()


def test_stream_hides_what_is_printed():
    text = io.StringIO()
    print("at http://user:word@host", file=HidingStream(text))
    assert text.getvalue() == "at http://***@host\n"


def test_stream_is_the_stream_beneath_in_all_else():
    text = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    stream = HidingStream(text)
    assert stream.encoding == "latin-1"
    assert stream.isatty() is False
    stream.write("é")
    stream.flush()
    assert text.buffer.getvalue() == b"\xe9"


def test_stream_hides_in_lines():
    text = io.StringIO()
    HidingStream(text).writelines(["http://user:word@host\n"])
    assert text.getvalue() == "http://***@host\n"
