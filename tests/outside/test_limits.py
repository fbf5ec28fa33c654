"""Little memory, few open files, many commands at once, many models in one process."""

from __future__ import annotations

import json
import resource
from collections import Counter
from pathlib import Path

import mlflow
import pytest

from commands import start_command
from mnist_flow.jobs.workers import choose_workers
from mnist_flow.runtime import memory
from support import QUICK

TRAIN = ("-m", "mnist_flow.train")
MEBIBYTE = 2**20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 64 GiB free; returns a function that writes a control group of it, as Linux shows it."""
    root = tmp_path / "cgroup"
    versions = [
        (root if number == 0 else root / "memory", *names) for number, (_, *names) in enumerate(memory._VERSIONS)
    ]
    own = tmp_path / "own"
    own.write_text("9:cpu:/elsewhere\n4:memory:/outer/inner\n0::/outer/inner\n")
    monkeypatch.setattr(memory, "_VERSIONS", versions)
    monkeypatch.setattr(memory, "_OWN_GROUPS", own)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory_of(65536))

    def write(version: int, group: str, limit: str | int, used: int = 0, cached: int = 0) -> None:
        folder, limit_name, used_name, cached_name = versions[version]
        folder = folder / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / limit_name).write_text(f"{limit if isinstance(limit, str) else limit * MEBIBYTE}\n")
        (folder / used_name).write_text(f"{used * MEBIBYTE}\n")
        (folder / "memory.stat").write_text(f"anon 1\n{cached_name} {cached * MEBIBYTE}\n")

    return write


def memory_of(mebibytes: int):
    class Memory:
        available = mebibytes * MEBIBYTE

    return Memory


@pytest.mark.parametrize(
    ("groups", "free"),
    [
        ([], 65536),
        # A container with a group namespace sees its own group as the root.
        ([(0, "", 2048, 500)], 1548),
        ([(1, "", 2048, 500)], 1548),
        # Files that are cached are given back.
        ([(0, "", 2048, 1000, 600)], 1648),
        ([(1, "outer/inner", 2048, 1000, 600)], 1648),
        # The limit of a group around the own one holds too.
        ([(0, "outer/inner", "max", 100), (0, "outer", 4096, 96)], 4000),
        ([(1, "outer/inner", 3000, 0), (1, "outer", 2000, 0)], 2000),
        # That of another group does not.
        ([(0, "outer/other", 100), (1, "elsewhere", 100)], 65536),
        # What version 1 says where there is no limit.
        ([(1, "", "9223372036854771712", 5000)], 65536),
        ([(0, "", 1000, 1200)], 0),
    ],
)
def test_free_memory_is_what_the_limit_of_the_container_leaves(machine, groups, free):
    for group in groups:
        machine(*group)
    assert memory.count_free_bytes() == free * MEBIBYTE


def test_a_pool_in_a_container_of_two_gigabytes_has_one_process(machine, monkeypatch):
    monkeypatch.setattr("mnist_flow.jobs.workers.count_cores", lambda: 8)
    assert choose_workers(100) == 8
    machine(0, "", 2048, 200)
    assert choose_workers(100) == 1


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="no control groups")
def test_the_groups_of_this_process_are_readable():
    assert memory.count_free_bytes() > 0


def fetch(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return list(client.search_runs([client.get_experiment_by_name("mnist_flow").experiment_id]))


def limit_files(folder: Path, number: int, *arguments: str) -> int:
    """The exit status of a command that may open so many files, as after `ulimit -n`; what it says is in output.txt."""
    program = (
        f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({number}, {number})); "
        f"sys.argv = {['mnist_flow.train', *arguments]}; "
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    with (folder / "output.txt").open("w") as output:
        return start_command(folder, "-c", program, stdout=output, stderr=output).wait(timeout=180)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_NOFILE"), reason="files are not limited here")
def test_few_open_files_are_enough_for_a_run_and_a_pool(tmp_path):
    assert limit_files(tmp_path, 64, *QUICK) == 0, (tmp_path / "output.txt").read_text()
    pool = ("-m", "hydra/launcher=local_pool", "hydra.launcher.n_jobs=2", "seed=0,1,2")
    assert limit_files(tmp_path, 64, *QUICK, *pool) == 0, (tmp_path / "output.txt").read_text()
    assert Counter(run.info.status for run in fetch(tmp_path)) == {"FINISHED": 4}


def test_commands_of_the_same_second_share_a_new_store_and_train_each_config_once(tmp_path):
    """In an empty folder: two of one config, and three others."""
    logs = [(tmp_path / f"{number}.txt") for number in range(5)]
    commands = []
    for log, seed in zip(logs, (0, 0, 1, 2, 3), strict=True):
        with log.open("w") as output:
            commands.append(start_command(tmp_path, *TRAIN, *QUICK, f"seed={seed}", stdout=output, stderr=output))
    statuses = [command.wait(timeout=180) for command in commands]
    printed = [log.read_text() for log in logs]
    assert statuses[2:] == [0, 0, 0], printed
    # Who came second waits for nothing: it says which run has the same config, or finds it finished.
    assert sorted(statuses[:2]) in ([0, 0], [0, 1]), printed
    assert not any("Traceback" in text for text in printed)
    assert sorted(run.data.params["seed"] for run in fetch(tmp_path)) == ["0", "1", "2", "3"]
    assert {run.info.status for run in fetch(tmp_path)} == {"FINISHED"}


SIXTY = """
import gc, json, sys, psutil
from hydra import compose, initialize_config_dir
from mnist_flow import CONF_DIR
from mnist_flow.runs.orchestrator import run_experiment

sizes = []
for seed in range(60):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("config", [*json.loads(sys.argv[1]), f"seed={seed}"])
    run_experiment(cfg)
    gc.collect()
    sizes.append(psutil.Process().memory_info().rss / 2**20)
print(json.dumps(sizes))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sixty_models_in_one_process_take_no_more_memory_than_twenty(tmp_path, run_command):
    done = run_command(
        tmp_path, "-c", SIXTY, json.dumps([*QUICK, "epochs=1", "tracking.log_figures=true"]), timeout=850
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout.splitlines()[-1])
    # In MiB; each model alone has 0.05, and each run draws six figures. Keras keeps the graph of every network that an
    # optimizer has trained, as `fit` does, too: one to two MiB each.
    assert sizes[59] - sizes[19] < 120, sizes
