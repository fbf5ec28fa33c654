"""How many jobs of a sweep run at the same time."""

from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir

from mnist_flow import CONF_DIR
from mnist_flow.jobs.workers import choose_workers, count_workers, list_gpus


@pytest.mark.parametrize(
    ("n_jobs", "cores", "gigabytes", "workers"),
    [
        (1, 4, 20, 4),
        (4, 4, 20, 4),
        (5, 4, 20, 5),
        (7, 4, 20, 7),
        (8, 4, 20, 4),
        (24, 4, 20, 4),
        (3, 2, 5, 3),
        (3, 2, 4.7, 2),
        (64, 64, 32, 20),
        (9, 4, 1, 1),
        (1, 1, 1, 1),
        (1, 1, 2, 1),
        (0, 2, 20, 2),
    ],
)
def test_a_pool_has_a_process_a_core_or_a_few_more(monkeypatch, n_jobs, cores, gigabytes, workers):
    monkeypatch.setattr("mnist_flow.jobs.workers.count_cores", lambda: cores)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=gigabytes * 1e9))
    assert choose_workers(n_jobs) == workers


@pytest.mark.parametrize(
    ("variable", "gigabytes", "gpus", "workers"),
    [
        ("0,1,2", 20, ["0", "1", "2"], 3),
        ("0,1,2", 4, ["0", "1", "2"], 2),
        ("0,1,2", 1, ["0", "1", "2"], 1),
        ("1, GPU-8932f937,-1,3", 20, ["1", "GPU-8932f937"], 2),
        ("1", 20, [], 8),
        ("", 20, [], 8),
    ],
)
def test_a_pool_has_a_process_a_gpu_where_there_are_several(monkeypatch, variable, gigabytes, gpus, workers):
    monkeypatch.setattr("mnist_flow.jobs.workers.count_cores", lambda: 8)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=gigabytes * 1e9))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert (list_gpus(), choose_workers(24)) == (gpus, workers)


@pytest.mark.parametrize(
    ("overrides", "workers"),
    [
        ([], 1),
        (["hydra/launcher=local_pool"], 4),
        (["hydra/launcher=local_pool", "hydra.launcher.n_jobs=5"], 5),
        (["hydra/launcher=local_pool", "hydra.launcher.n_jobs=-2"], 3),
        (["hydra/launcher=local_pool", "hydra.launcher.n_jobs=-9"], 1),
        (["hydra/launcher=slurm"], None),
    ],
)
def test_jobs_at_a_time(monkeypatch, overrides, workers):
    monkeypatch.setattr("mnist_flow.jobs.workers.count_cores", lambda: 4)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=20e9))
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        config = compose("config", ["data=digits", *overrides], return_hydra_config=True)
    assert count_workers(config, n_jobs=3) == workers
