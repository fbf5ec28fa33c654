import math
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from mnist_flow.errors import BusyError, RunError, UserError
from mnist_flow.training.checkpoint import CheckpointFolder, check_writable, has_checkpoint
from mnist_flow.training.state import TrainingState, pack_state
from support import command_environment

# Numbers that no short decimal names.
METRICS = {"loss": 0.1 + 0.2, "accuracy": 1 / 3, "val_loss": math.pi, "val_accuracy": 5e-324, "learning_rate": 0.1}


def make_state(epoch=1, **changed):
    fields = {
        "epoch": epoch,
        "arrays": {
            "model_0": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
            "optimizer_0": np.array(12),
            "best_0": np.array([math.nan, math.inf, -0.0], np.float32),
        },
        "history": [METRICS] * epoch,
        "fit_seconds": 2 / 3,
        "stopped": False,
        "counters": {
            "EarlyStopping": {"wait": 1, "best": 0.1 + 0.2},
            "SwapEMAWeights": {"_ema_weights_in_model": True},
        },
    }
    return TrainingState(**{**fields, **changed})


def assert_same(one, other):
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        assert array.shape == other.arrays[name].shape
        assert array.tobytes() == other.arrays[name].tobytes()
    for field in ("epoch", "history", "fit_seconds", "stopped", "counters"):
        assert getattr(one, field) == getattr(other, field)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints" / "a1b2"


def test_a_state_comes_back_bit_for_bit(folder):
    with CheckpointFolder(folder) as checkpoints:
        checkpoints.save(make_state(3, stopped=True))
    with CheckpointFolder(folder) as checkpoints:
        assert_same(checkpoints.load(), make_state(3, stopped=True))


def test_a_new_folder_has_no_state(folder):
    with CheckpointFolder(folder) as checkpoints:
        assert checkpoints.load() is None


def test_only_the_last_epoch_stays(folder):
    with CheckpointFolder(folder) as checkpoints:
        for epoch in (9, 10, 11):
            checkpoints.save(make_state(epoch))
            assert [file.name for file in folder.iterdir()] == [f"epoch-{epoch}.npz"]
        assert checkpoints.load().epoch == 11


def cut_in_half(content):
    return content[: len(content) // 2]


def flip_a_byte(content):
    # Of the first array's numbers, which the record comes before.
    position = content.index(make_state().arrays["model_0"].tobytes())
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "half": cut_in_half,
    "one byte": lambda content: content[:1],
    "without end": lambda content: content[:-1],
    "flipped": flip_a_byte,
    "text": lambda content: b"epoch 3",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_none(folder, damage):
    with CheckpointFolder(folder) as checkpoints:
        checkpoints.save(make_state(3))
        file = folder / "epoch-3.npz"
        file.write_bytes(damage(file.read_bytes()))
        assert checkpoints.load() is None


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_behind_a_damaged_state_is_the_one_before(folder, damage):
    with CheckpointFolder(folder) as checkpoints:
        checkpoints.save(make_state(9))
        content = (folder / "epoch-9.npz").read_bytes()
        (folder / "epoch-10.npz").write_bytes(damage(content))
        assert_same(checkpoints.load(), make_state(9))


def test_of_two_states_the_later_one_goes_on(folder):
    # A process that died between the two steps of `save` leaves both.
    with CheckpointFolder(folder) as checkpoints:
        checkpoints.save(make_state(9))
        content = (folder / "epoch-9.npz").read_bytes()
        checkpoints.save(make_state(10))
        (folder / "epoch-9.npz").write_bytes(content)
        assert_same(checkpoints.load(), make_state(10))


def test_a_file_that_was_not_finished_is_no_state_and_goes_with_the_next(folder):
    with CheckpointFolder(folder) as checkpoints:
        (folder / "epoch-4.part").write_bytes(b"PK")
        assert checkpoints.load() is None
        checkpoints.save(make_state(5))
        assert [file.name for file in folder.iterdir()] == ["epoch-5.npz"]


def test_a_run_has_a_checkpoint_after_its_first_epoch(folder):
    runs = str(folder.parent)
    assert not has_checkpoint(runs, "a1b2")
    with CheckpointFolder(folder) as checkpoints:
        assert not has_checkpoint(runs, "a1b2")
        checkpoints.save(make_state())
    assert has_checkpoint(runs, "a1b2")
    assert not has_checkpoint(runs, "c3d4")
    assert not has_checkpoint(None, "a1b2")


HOLD = """
import sys; from pathlib import Path; from mnist_flow.training.checkpoint import CheckpointFolder
with CheckpointFolder(Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def holder(folder):
    """Another process that holds the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        env=command_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_waits_until_the_state_is_kept(folder, monkeypatch):
    def interrupt_and_pack(state):
        os.kill(os.getpid(), signal.SIGINT)
        return pack_state(state)

    monkeypatch.setattr("mnist_flow.training.checkpoint.pack_state", interrupt_and_pack)
    with CheckpointFolder(folder) as checkpoints:
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(make_state(3))
        assert_same(checkpoints.load(), make_state(3))
        assert [file.name for file in folder.iterdir()] == ["epoch-3.npz"]


def test_one_process_at_a_time_holds_a_folder(folder, holder):
    with pytest.raises(BusyError, match=r"run a1b2: another process holds its checkpoint, .*checkpoints/a1b2"):
        CheckpointFolder(folder).__enter__()
    with CheckpointFolder(folder.with_name("c3d4")):
        pass


def test_a_process_that_is_killed_frees_its_folder(folder, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with CheckpointFolder(folder) as checkpoints:
        checkpoints.save(make_state())


def test_a_folder_that_was_left_can_be_held_again(folder):
    with CheckpointFolder(folder):
        pass
    with CheckpointFolder(folder), pytest.raises(BusyError):
        CheckpointFolder(folder).__enter__()


def test_a_run_that_ends_well_leaves_nothing(folder):
    with CheckpointFolder(folder) as checkpoints:
        checkpoints.save(make_state())
        checkpoints.remove()
    assert not folder.parent.exists()


def test_the_checkpoints_of_other_runs_stay(folder):
    with CheckpointFolder(folder.with_name("c3d4")) as others:
        others.save(make_state())
    with CheckpointFolder(folder) as checkpoints:
        checkpoints.save(make_state())
        checkpoints.remove()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["c3d4", "c3d4.lock"]
    assert has_checkpoint(str(folder.parent), "c3d4")


@pytest.mark.parametrize("blocked", ["checkpoints", "checkpoints/a1b2"])
def test_a_file_in_the_way_is_told_with_the_key(tmp_path, blocked):
    file = tmp_path / blocked
    file.parent.mkdir(exist_ok=True)
    file.touch()
    with pytest.raises(UserError) as caught:
        CheckpointFolder(tmp_path / "checkpoints" / "a1b2").__enter__()
    assert str(caught.value).startswith(f"training.checkpoint_dir={tmp_path}/checkpoints: can't be written (")
    assert str(caught.value).endswith("); choose another folder, or training.checkpoint_dir=null for none")


def test_a_full_disk_is_told_with_the_key_and_the_last_state_stays(small_disk):
    with CheckpointFolder(small_disk / "checkpoints" / "a1b2") as checkpoints:
        checkpoints.save(make_state(1))
        large = {"model_0": np.ones(100_000, np.float32)}
        with pytest.raises(RunError, match=rf"training\.checkpoint_dir={small_disk}/checkpoints: .*No space left"):
            checkpoints.save(make_state(2, arrays=large))
        assert_same(checkpoints.load(), make_state(1))


def test_what_did_not_fit_on_the_disk_does_not_stay_there(small_disk):
    folder = small_disk / "checkpoints" / "a1b2"
    with CheckpointFolder(folder) as checkpoints, pytest.raises(RunError):
        checkpoints.save(make_state(2, arrays={"model_0": np.ones(100_000, np.float32)}))
    assert list(folder.iterdir()) == []


def test_a_state_is_kept_though_someone_clears_the_folder_up_meanwhile(folder, monkeypatch):
    written = []

    def clear_up(stream, **arrays):
        written.append(stream.name)
        if len(written) == 1:
            shutil.rmtree(folder)
        savez(stream, **arrays)

    savez = np.savez
    monkeypatch.setattr(np, "savez", clear_up)
    with CheckpointFolder(folder) as checkpoints:
        checkpoints.save(make_state(1))
        assert checkpoints.load().epoch == 1


def test_looking_whether_a_folder_can_be_written_leaves_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b" / "c")
    assert list(tmp_path.iterdir()) == []


def test_other_users_of_a_shared_folder_can_take_a_lock_that_was_left(folder):
    before = os.umask(0o022)
    try:
        with CheckpointFolder(folder):
            assert folder.with_suffix(".lock").stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(before)


def test_a_folder_below_a_file_can_not_be_written(tmp_path):
    (tmp_path / "a").touch()
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(UserError, match=rf"training\.checkpoint_dir={folder}: can't be written \(not a folder\)"):
            check_writable(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_can_not_be_written(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match="read-only"):
        check_writable(tmp_path / "a")
