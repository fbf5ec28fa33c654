import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from mnist_flow.errors import Terminated
from mnist_flow.runtime import processes
from mnist_flow.runtime.processes import describe_process, is_alive, name_process, wait_for_end
from support import wait_until


def test_this_process_is_alive():
    assert is_alive(describe_process()) is True


def test_another_process_is_alive_until_it_dies(other_process):
    process, name = other_process
    assert name != describe_process()
    assert is_alive(name) is True
    process.kill()
    process.wait()
    assert is_alive(name) is False


def test_a_process_that_nobody_has_waited_for_is_dead(other_process):
    process, name = other_process
    process.kill()
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, seconds=10)
    assert is_alive(name) is False


def test_another_process_that_got_the_same_number_is_not_taken_for_it():
    host, pid, start = describe_process().rsplit("/", 2)
    assert is_alive(f"{host}/{pid}/{float(start) - 100:.2f}") is False


def test_a_process_of_another_machine_can_not_be_judged():
    _, boot, pid, start = describe_process().split("/")
    assert is_alive(f"elsewhere/{boot}/{pid}/{start}") is None


def test_a_process_of_another_boot_or_container_can_not_be_judged():
    host, _, pid, start = describe_process().split("/")
    assert is_alive(f"{host}/00000000-4026531836/{pid}/{start}") is None


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere a boot has no id")
def test_a_boot_is_told_by_its_id():
    _, boot, _, _ = describe_process().split("/")
    assert boot.split("-")[0] == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")[:8]


def test_a_run_without_a_process_belongs_to_no_machine():
    assert is_alive("/-/0/0") is None


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the system keeps the start itself")
def test_a_process_lives_on_when_the_clock_is_set(monkeypatch):
    """The time of the boot, to which the system counts the start of processes, moves with the clock."""
    name = describe_process()
    boot_time = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot_time + 1)
    assert is_alive(name) is True


def test_people_see_number_and_host():
    assert name_process(describe_process()) == f"process {os.getpid()} on {socket.gethostname()}"
    assert name_process("node17/0a1b2c3d-4026531836/4242/1763720000.51") == "process 4242 on node17"


# It says that it is there, and at SIGTERM how it ended, after a while.
COMMAND = """
import os, signal, sys, time

def end(number, frame):
    time.sleep(0.3)
    # Not print: the signal may come while "ready" is still being printed.
    os.write(1, b"ended by %d\\n" % number)
    sys.exit(3)

signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
{waits}
"""


@pytest.mark.parametrize(
    ("ending", "waits", "printed", "status"),
    [
        (Terminated(signal.SIGHUP), "time.sleep(100)", "ended by 15\n", 3),
        # Ctrl-C has reached it, too, and it needs no other signal.
        (KeyboardInterrupt(), "time.sleep(0.5); print('by itself')", "by itself\n", 0),
        (KeyboardInterrupt(), "time.sleep(100)", "ended by 15\n", 3),
    ],
)
def test_a_command_that_was_started_has_time_to_end(monkeypatch, ending, waits, printed, status):
    monkeypatch.setattr(processes, "_UNTIL_ENDED", 3.0)
    command = [sys.executable, "-c", COMMAND.format(waits=waits)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        wait_for_end(process, ending)
        assert process.returncode == status
        assert process.stdout.read() == printed


@pytest.mark.usefixtures("ctrl_c_raises")
def test_who_does_not_wait_for_a_command_ends_it(monkeypatch):
    monkeypatch.setattr(processes, "_UNTIL_ENDED", 60.0)
    command = [sys.executable, "-c", COMMAND.format(waits="time.sleep(100)")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        # A second Ctrl-C, while the first one is thought to have reached the command.
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            wait_for_end(process, KeyboardInterrupt())
        assert process.returncode == 3
