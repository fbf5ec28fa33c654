"""The state of a training on disk, from which it goes on bit for bit."""

from __future__ import annotations

import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from mnist_flow.errors import BusyError, RunError, UserError
from mnist_flow.runtime.folders import find_obstacle
from mnist_flow.runtime.signals import signals_held
from mnist_flow.training.state import TrainingState, pack_state, unpack_state


class CheckpointFolder:
    """The checkpoint of one run: its last finished epoch's, in a folder that one process at a time holds.

    Args:
        folder: of this run alone.

    Raises:
        BusyError: on entering, when another process holds it.
        UserError: on entering, when it can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder.with_suffix(".lock"), mode=0o666)

    def __enter__(self) -> CheckpointFolder:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise BusyError(f"run {self.folder.name}: another process holds its checkpoint, {self.folder}") from error
        except OSError as error:
            raise _refuse(self.folder.parent, error.strerror) from error
        return self

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    def remove(self) -> None:
        """The run has ended well and needs no checkpoint."""
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(self._lock.lock_file).unlink(missing_ok=True)
        # The folder of all runs goes with the last.
        with suppress(OSError):
            self.folder.parent.rmdir()

    def save(self, state: TrainingState) -> None:
        """Keep this state instead of the one before; a process that dies meanwhile leaves one or the other.

        Raises:
            RunError: the disk is full, or the folder can't be written any more.
        """
        file = self.folder / f"epoch-{state.epoch}.npz"
        unfinished = file.with_suffix(".part")
        try:
            try:
                self._write(state, unfinished, file)
            except FileNotFoundError:  # Someone is just clearing up.
                self._write(state, unfinished, file)
            for other in self.folder.glob("epoch-*"):
                if other != file:
                    other.unlink(missing_ok=True)
        except OSError as error:
            # Half a file would keep the disk full.
            unfinished.unlink(missing_ok=True)
            raise RunError(str(_refuse(self.folder.parent, error.strerror))) from error

    def _write(self, state: TrainingState, unfinished: Path, file: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # An epoch that has ended is not lost to Ctrl-C; and a ZIP archive that is broken off prints a traceback.
        with signals_held():
            with unfinished.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **pack_state(state))
            unfinished.replace(file)

    def load(self) -> TrainingState | None:
        """The last state, or None where there is none that can be read."""
        files = self.folder.glob("epoch-*.npz")
        for file in sorted(files, key=lambda file: int(file.stem.removeprefix("epoch-")), reverse=True):
            try:
                with file.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
                    return unpack_state(dict(saved))
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
                # The machine died before the file reached the disk.
                continue
        return None


def has_checkpoint(checkpoint_dir: str | None, run_id: str) -> bool:
    """Whether this machine holds a checkpoint of a run."""
    return checkpoint_dir is not None and any(Path(checkpoint_dir, run_id).glob("epoch-*.npz"))


def remove_leftover(checkpoint_dir: str | None, run_id: str) -> None:
    """Remove the checkpoint of a run that has ended well, whose process was killed before it could do so itself."""
    if has_checkpoint(checkpoint_dir, run_id):
        CheckpointFolder(Path(str(checkpoint_dir), run_id)).remove()


def check_writable(folder: Path) -> None:
    """Look whether checkpoints could be kept, without making the folder.

    Raises:
        UserError: they could not.
    """
    if obstacle := find_obstacle(folder):
        raise _refuse(folder, "read-only" if obstacle.is_dir() else "not a folder")


def _refuse(folder: Path, reason: str | None) -> UserError:
    return UserError(
        f"training.checkpoint_dir={folder}: can't be written ({reason}); choose another folder, or "
        "training.checkpoint_dir=null for none"
    )
