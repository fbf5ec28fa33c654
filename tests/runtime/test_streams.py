"""Streams that can't be written to do not fail a command."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import psutil
import pytest

from mnist_flow.runtime.streams import LastingStream, protect_streams


@pytest.fixture
def stream(tmp_path):
    """A stream whose file is in ASCII."""
    with (tmp_path / "out.txt").open("w", encoding="ascii") as file:
        yield LastingStream(file)


def read(stream):
    stream.flush()
    return Path(stream.name).read_text(encoding="ascii")


def test_characters_that_the_encoding_lacks_are_escaped_and_credentials_hidden(stream):
    assert stream.write("λ at http://ada:sesame@x.org\n") == 29
    assert read(stream) == "\\u03bb at http://***@x.org\n"


@pytest.mark.skipif(not psutil.LINUX, reason="looks into /proc")
def test_a_pipe_that_nobody_reads_is_dropped_without_a_word(capsys):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as file:
        stream = LastingStream(file)
        for _ in range(2):
            stream.write("lost\n")
            stream.flush()
        # Later processes find the null device there.
        assert Path(f"/proc/self/fd/{writing}").samefile(os.devnull)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere no device is always full")
def test_a_full_disk_is_told_once_and_the_command_goes_on(capsys):
    with Path("/dev/full").open("w", encoding="utf-8") as file:
        stream = LastingStream(file)
        for _ in range(2):
            assert stream.write("lost\n") == 5
            stream.flush()
    error = capsys.readouterr().err
    assert error == f"standard output can't be written ({os.strerror(errno.ENOSPC)}); the command goes on\n"


def test_a_process_gets_streams_that_hide_credentials(capsys):
    kept = sys.stdout, sys.stderr
    try:
        protect_streams()
        assert all(isinstance(one, LastingStream) for one in (sys.stdout, sys.stderr))
        print("http://ada:sesame@x.org")  # noqa: T201
        sys.stderr.write("error\n")
    finally:
        sys.stdout, sys.stderr = kept
    assert capsys.readouterr() == ("http://***@x.org\n", "error\n")
