"""Launchers that break down; nothing is launched."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mnist_flow.errors import RunError
from mnist_flow.sweeps.search import search
from mnist_flow.sweeps.search.search import Search


def test_a_launcher_that_breaks_down_three_times_in_a_row_is_not_started_again(monkeypatch):
    monkeypatch.setattr(search, "_SETTLING", 0)
    launched = []

    def launch(jobs, first):
        launched.append(len(jobs))
        if len(launched) > 3:
            pytest.fail("a fourth start")
        raise OSError("no room")

    source = SimpleNamespace(count_left=lambda: 2, lost=[], forgive_bystanders=lambda: None)
    with pytest.raises(
        RunError, match=r"the launcher broke down 3 times \(OSError: no room\); the same command goes on"
    ):
        Search._launch_while(SimpleNamespace(), launch, source, [])
    assert launched == [2, 2, 2]
