import os
import subprocess
import sys

import pytest

from mnist_flow.runtime.native_output import native_stderr_hidden


def write(text):
    """As native code does: past sys.stderr."""
    os.write(2, text.encode())


def test_what_is_written_in_the_block_is_hidden(capfd):
    write("before\n")
    with native_stderr_hidden():
        write("notice\n")
    write("after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_stdout_is_left_alone(capfd):
    with native_stderr_hidden():
        os.write(1, b"result\n")
    assert capfd.readouterr().out == "result\n"


@pytest.mark.parametrize("kind", [ImportError, KeyboardInterrupt])
def test_what_was_hidden_is_shown_when_the_block_raises(capfd, kind):
    with pytest.raises(kind, match="no such library"), native_stderr_hidden():  # noqa: PT012
        write("the reason\n")
        raise kind("no such library")
    write("after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


def test_blocks_nest(capfd):
    with native_stderr_hidden():
        with native_stderr_hidden():
            write("inner\n")
        write("outer\n")
    write("after\n")
    assert capfd.readouterr().err == "after\n"


def test_no_file_descriptor_is_left_open(capfd):
    def free_descriptor():
        descriptor = os.dup(1)
        os.close(descriptor)
        return descriptor

    before = free_descriptor()
    with native_stderr_hidden():
        write("notice\n")
    with pytest.raises(ValueError, match="x"), native_stderr_hidden():
        raise ValueError("x")
    assert free_descriptor() == before


def test_what_python_wrote_before_the_block_is_kept():
    # pytest replaces sys.stderr, so this needs a process of its own; without line buffering, as in a pipe.
    code = """
import os, sys
from mnist_flow.runtime.native_output import native_stderr_hidden
sys.stderr.reconfigure(line_buffering=False)
sys.stderr.write("before ")
with native_stderr_hidden():
    os.write(2, b"hidden")
    print("hidden too", file=sys.stderr, flush=True)
sys.stderr.write("after")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "before after"
