"""What was said, as a person reads it."""

from __future__ import annotations

import logging
import sys

from rich.console import Console as Terminal
from rich.progress import Progress

from mnist_flow.runtime import console as console_module
from mnist_flow.runtime.console import Console, hear_console


def test_lines_of_both_streams_and_of_log_handlers_are_heard_in_order(capsys):
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    before = sys.stdout, sys.stderr
    try:
        with hear_console() as outer, hear_console() as inner:
            sys.stdout.write("to be read\n")
            sys.stderr.write("a trouble\n")
            logging.getLogger("x").warning("a warning of http://ada:sesame@host/")
            sys.stdout.write("half a ")
            sys.stdout.write("line")
        assert (sys.stdout, sys.stderr, handler.stream) == (*before, before[1])
    finally:
        logging.getLogger().removeHandler(handler)
    said = "to be read\na trouble\na warning of http://***@host/\nhalf a line\n"
    assert (inner.read(), outer.read()) == (said, said)
    assert capsys.readouterr() == ("to be read\nhalf a line", "a trouble\na warning of http://***@host/\n")
    inner.forget()
    assert inner.read() == ""


def test_who_kept_a_stream_of_a_block_does_not_close_that_of_the_process(capsys):
    """As absl's log handler, which closes its stream when logging is configured anew, for the next job of a sweep."""
    with hear_console():
        kept = sys.stderr
    kept.close()
    sys.stderr.write("still there\n")
    assert capsys.readouterr().err == "still there\n"


def test_of_a_progress_bar_stays_what_stands_there_at_last():
    with hear_console() as console:
        terminal = Terminal(force_terminal=True, width=60, legacy_windows=False)
        with Progress(console=terminal, refresh_per_second=1000) as bar:
            task = bar.add_task("[red]epoch", total=3)
            for done in range(3):
                bar.update(task, completed=done + 1, refresh=True)
            sys.stdout.write("a line above the bar\n")
        terminal.print("[bold]the end[/bold]")
    lines = console.read().splitlines()
    assert "\x1b" not in console.read()
    assert [line for line in lines if "epoch" not in line] == ["a line above the bar", "the end"]
    assert [line.split()[2] for line in lines if "epoch" in line] == ["100%"]


def test_the_middle_of_a_long_text_is_left_out(monkeypatch):
    monkeypatch.setattr(console_module, "_FIRST", 2)
    monkeypatch.setattr(console_module, "_LAST", 3)
    console = Console()
    for number in range(10):
        console.hear(f"{number}\n")
    assert console.read().split("\n") == ["0", "1", "… 5 lines left out …", "7", "8", "9", ""]
