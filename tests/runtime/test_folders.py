"""What keeps files from being written to a folder is found before anything is started."""

from __future__ import annotations

import os

from mnist_flow.runtime.folders import find_obstacle


def test_a_folder_that_can_be_written_or_made_has_no_obstacle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "new", tmp_path / "new" / "below"):
        assert find_obstacle(folder) is None
        assert find_obstacle(folder.relative_to(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_the_obstacle(tmp_path):
    file = tmp_path / "taken"
    file.touch()
    for folder in (file, file / "below", file / "far" / "below"):
        assert find_obstacle(folder) == file


def test_a_read_only_folder_is_the_obstacle_of_all_below_it(tmp_path, monkeypatch):
    # Root may write to any folder.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    for folder in (tmp_path, tmp_path / "new" / "below"):
        assert find_obstacle(folder) == tmp_path
