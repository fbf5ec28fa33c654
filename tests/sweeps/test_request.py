"""What a sweep asks for, and what is refused before anything is started."""

from __future__ import annotations

import re

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from mnist_flow import CONF_DIR
from mnist_flow.errors import ConfigError
from mnist_flow.sweeps.request import read_requests

POOL = ["hydra/launcher=local_pool", "hydra.launcher.n_jobs=2"]


@pytest.fixture
def read(read_all):
    """Overrides → what the sweep with them on the digits asks for."""

    def read_one(*overrides):
        (request,) = read_all(*overrides)
        return request

    return read_one


@pytest.fixture
def read_all():
    """Overrides → what each sweep with them on the digits asks for."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()

        def read_overrides(*overrides):
            config = loader.load_configuration("config", ["data=digits", *overrides], run_mode=RunMode.MULTIRUN)
            return read_requests(config)

        yield read_overrides


@pytest.mark.parametrize("sweeper", ["resuming", "basic", "plain"])
def test_a_grid_asks_for_its_jobs(read, sweeper):
    request = read("reg=0,1e-5", "epochs=3", f"hydra/sweeper={sweeper}")
    assert [job.config.reg for job in request.jobs] == [0.0, 1e-5]
    assert request.base == request.jobs[0].config
    assert (request.n_workers, request.n_pool_processes) == (1, 0)


def test_several_presets_ask_for_a_sweep_each(read_all):
    requests = read_all("experiment=mlp_100,mlp_64_64", "seed=0,1,2", "plan=true")
    assert [request.preset for request in requests] == ["experiment=mlp_100", "experiment=mlp_64_64"]
    assert [[job.config.seed for job in request.jobs] for request in requests] == [[0, 1, 2]] * 2
    assert [request.base.model.name for request in requests] == ["mlp_100", "mlp_64_64"]


@pytest.mark.parametrize(
    ("launcher", "n_workers", "n_pool_processes"),
    [
        (POOL, 2, 2),
        (["hydra/launcher=local_pool", "hydra.launcher.n_jobs=1"], 1, 0),
        ([*POOL, "+hydra.job.env_set.TF_CPP_MIN_LOG_LEVEL='0'"], 2, 0),
        (["hydra/launcher=basic"], 1, 0),
    ],
    ids=["pool", "pool of one", "variables of the user", "one process"],
)
def test_a_pool_forks_as_many_processes_as_it_has(read, launcher, n_workers, n_pool_processes):
    request = read("reg=0,1e-5", *launcher)
    assert (request.n_workers, request.n_pool_processes) == (n_workers, n_pool_processes)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tracking.experiment_name=a,b"], "tracking: a sweep has one tracking server and one experiment"),
        (["resume=true,false"], "resume: holds for the whole sweep"),
        (["plan=true,false"], "plan: holds for the whole sweep"),
        (["training.threads=1,2"], "training.threads: TensorFlow keeps the threads of a process's first job"),
        (["training.threads=1,2", *POOL], "training.threads: TensorFlow keeps the threads of a process's first job"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_holds_for_the_whole_sweep_is_not_swept_over(read, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read(*overrides)


def test_folders_of_jobs_whose_names_are_too_long_are_refused(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long = f"tracking.run_name={'n' * 240}"
    for subdir in (
        "${hydra.job.override_dirname}",
        "s" * 256,
        "${hydra.job.num}/${tracking.run_name}-and-its-whole-model",
    ):
        with pytest.raises(ConfigError, match=f"^hydra.sweep.subdir={re.escape(subdir)}: makes names that are too lo"):
            read("seed=0,1", long, f"hydra.sweep.subdir={subdir}", "hydra.sweep.dir=jobs")
    for subdir in ("${hydra.job.num}", "${tracking.run_name}", "${hydra:job.override_dirname}"):
        assert len(read("seed=0,1", long, f"hydra.sweep.subdir={subdir}").jobs) == 2
    assert not list(tmp_path.iterdir())
