"""How the values of a sweep are combined: multiplied out, paired, or listed in a file."""

from __future__ import annotations

import re

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from mnist_flow.errors import ConfigError
from mnist_flow.jobs.composition import compose_jobs
from mnist_flow.jobs.grids import multiply_grid


def multiply(*overrides):
    return [" ".join(job) for job in multiply_grid(OverridesParser.create().parse_overrides(overrides))]


@pytest.mark.parametrize(
    "overrides",
    [
        ["reg=0,1e-5", "model=mlp_100,lenet5", "epochs=3"],
        ["seed=0,1", "reg=1,2", "seed=5,6", "+seed=7"],
        ["seed=range(1,4)", "model=glob(mlp_1*)", "reg=choice(0.1,0.2)"],
        ["model.hidden_units=[3],[4,5]", "tracking.run_name='a,b',c", "~noise", "++optimizer={momentum:0.9}"],
        [],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_a_grid_is_the_one_of_hydras_own_sweeper(hydra, overrides):
    parsed = OverridesParser.create(config_loader=hydra).parse_overrides(overrides)
    assert multiply_grid(parsed) == BasicSweeper.split_arguments(parsed, None)[0]


@pytest.mark.parametrize("empty", ["seed=range(3,1)", "seed=range(0)", "model=glob(xyz*)"])
def test_values_of_which_there_are_none_are_refused(hydra, empty):
    parsed = OverridesParser.create(config_loader=hydra).parse_overrides(["reg=0,1", empty])
    with pytest.raises(ConfigError, match=f"^{re.escape(empty)}: has no values, and nothing would be done; "):
        multiply_grid(parsed)


# Paired values


def test_values_of_keys_in_zip_vary_together_at_the_place_of_the_first():
    assert multiply("seed=0,1", "reg=1,2", "epochs=5,6", "zip=[epochs,reg]") == [
        *("seed=0 reg=1 epochs=5", "seed=0 reg=2 epochs=6"),
        *("seed=1 reg=1 epochs=5", "seed=1 reg=2 epochs=6"),
    ]


def test_several_lists_are_multiplied_with_each_other():
    jobs = multiply(
        "zip=[[reg,epochs],[model,+model.dropout]]", "reg=1,2", "epochs=5,6", "model=a,b", "+model.dropout=0,1"
    )
    assert jobs == [
        *("reg=1 epochs=5 model=a +model.dropout=0", "reg=1 epochs=5 model=b +model.dropout=1"),
        *("reg=2 epochs=6 model=a +model.dropout=0", "reg=2 epochs=6 model=b +model.dropout=1"),
    ]


def test_the_grid_of_a_preset_may_be_paired(compose_sweep, preset):
    search = preset("hydra:\n  sweeper:\n    params:\n      reg: 0,0.5\n      epochs: 1,2\n      zip: [reg, epochs]\n")
    jobs = compose_jobs(compose_sweep(search, "experiment=mine"))
    assert [(job.config.reg, job.config.epochs) for job in jobs] == [(0, 1), (0.5, 2)]
    assert "zip" not in jobs[0].params
    assert len(compose_jobs(compose_sweep(search, "experiment=mine", "zip=null"))) == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["zip=[reg,epochs]", "epochs=1,2,3"],
            r"zip: reg has 2 values, epochs has 3 values; keys that are",
        ),
        (
            ["zip=[reg,epoch]", "epochs=1,2"],
            r"zip: epoch has not several values here; did you mean 'epochs'\? Keys with",
        ),
        (["zip=[reg,epochs]", "epochs=1"], r"zip: epochs has not several values here\. Keys with several values: reg"),
        (
            ["zip=[[reg,epochs],[reg,seed]]", "epochs=1,2", "seed=1,2"],
            r"zip: reg is listed twice; a key belongs",
        ),
        (["zip=[reg]"], r"zip=\[reg\]: must be a list of two keys or more, or several such lists; zip='\[opt"),
        (["zip=reg,epochs"], r"zip=reg,epochs: must be a list of two keys or more"),
        (["zip=[reg,[epochs,seed]]"], r"must be a list of two keys or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_can_not_be_paired_is_told(overrides, message):
    with pytest.raises(ConfigError, match=message):
        multiply("reg=1,2", *overrides)


@pytest.mark.parametrize("override", ["zip=[reg,seed]", "jobs=mine.yaml"])
def test_a_single_run_has_no_grid(run_command, tmp_path, override):
    done = run_command(tmp_path, "-m", "mnist_flow.train", "data=digits", override)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {override}: is for grids; type it beside -m")


# A file of jobs


@pytest.fixture
def write_jobs(tmp_path, monkeypatch):
    """Write the file jobs.yaml into the working directory."""
    monkeypatch.chdir(tmp_path)
    return lambda text: (tmp_path / "jobs.yaml").write_text(text)


def test_the_jobs_of_a_file_are_multiplied_with_the_grid_and_what_is_typed_wins(compose_sweep, write_jobs):
    write_jobs("- [model=mlp_100, reg=0.5, epochs=20]\n- - model=mlp\n  - model.hidden_units=[8,8]\n- []\n")
    jobs = compose_jobs(compose_sweep("jobs=jobs.yaml", "seed=0,1", "epochs=3"))
    assert [list(job.overrides) for job in jobs] == [
        [*entry, "data=digits", f"seed={seed}", "epochs=3"]
        for entry in (["model=mlp_100", "reg=0.5"], ["model=mlp", "model.hidden_units=[8,8]"], [])
        for seed in (0, 1)
    ]
    assert {job.config.epochs for job in jobs} == {3}
    assert "jobs" not in jobs[0].params


def test_an_entry_may_be_a_grid_and_choose_a_preset_with_its_own(compose_sweep, write_jobs):
    write_jobs("- ['reg=0,1', 'epochs=1,2', 'zip=[reg,epochs]']\n- [experiment=mlp_100, tracking.experiment_name=x]\n")
    jobs = compose_jobs(compose_sweep("jobs=jobs.yaml"))
    assert [(job.config.reg, job.config.epochs) for job in jobs[:2]] == [(0, 1), (1, 2)]
    assert [job.config.seed for job in jobs[2:]] == list(range(10))
    assert {job.config.model.name for job in jobs[2:]} == {"mlp_100"}


def test_a_preset_may_list_its_jobs_and_what_is_typed_wins(compose_sweep, preset, write_jobs):
    search = preset("hydra:\n  sweeper:\n    params:\n      jobs: [[], [reg=0.5, epochs=20]]\n      seed: 0,1\n")
    jobs = compose_jobs(compose_sweep(search, "experiment=mine", "epochs=3"))
    found = [(job.config.reg, job.config.seed, job.config.epochs) for job in jobs]
    assert found == [(0, 0, 3), (0, 1, 3), (0.5, 0, 3), (0.5, 1, 3)]
    assert "jobs" not in jobs[0].params
    without = compose_jobs(compose_sweep(search, "experiment=mine", "jobs=null"))
    assert [(job.config.reg, job.config.seed) for job in without] == [(0, 0), (0, 1)]
    write_jobs("- [reg=0.25]\n")
    assert [job.config.reg for job in compose_jobs(compose_sweep(search, "experiment=mine", "jobs=jobs.yaml"))] == [
        0.25,
        0.25,
    ]


def test_an_entry_of_a_preset_that_is_wrong_is_told_with_its_number(compose_sweep, preset):
    search = preset("hydra:\n  sweeper:\n    params:\n      jobs: [[], [reg=-1]]\n")
    with pytest.raises(ConfigError) as raised:
        compose_jobs(compose_sweep(search, "experiment=mine"))
    assert "reg=-1" in str(raised.value)
    assert raised.value.__notes__ == ["jobs, entry 2"]
    search = preset("hydra:\n  sweeper:\n    params:\n      jobs: [reg=1]\n")
    with pytest.raises(ConfigError, match="jobs, entry 1: reg=1: must be a list of overrides"):
        compose_jobs(compose_sweep(search, "experiment=mine"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reg: 1", "must hold a list of jobs, each a list of overrides: - [reg=1e-5, epochs=20]"),
        ("[]", "must hold a list of jobs, each a list of overrides"),
        ("- [reg=1", "can't be read (no YAML: "),
        ("- [reg=1]\n- reg=1", "entry 2: reg=1: must be a list of overrides"),
        ("- [reg=1e-5,1e-4]", "entry 1: 1e-4: is no override, KEY=VALUE"),
        ("- [hydra/launcher=ray]", "entry 1: hydra/launcher=ray: holds for the whole sweep; type it beside"),
    ],
)
def test_a_file_that_is_no_list_of_jobs_is_told(compose_sweep, write_jobs, text, message):
    write_jobs(text)
    with pytest.raises(ConfigError) as raised:
        compose_jobs(compose_sweep("jobs=jobs.yaml"))
    assert str(raised.value).startswith("jobs=jobs.yaml")
    assert message in str(raised.value)


@pytest.mark.parametrize("jobs", ["jobs=nowhere.yaml", "jobs=a.yaml,b.yaml"])
def test_a_file_that_is_not_there_is_told(compose_sweep, jobs):
    with pytest.raises(ConfigError, match=r"jobs=nowhere\.yaml: can't be read \(No such file|must be one file"):
        compose_jobs(compose_sweep(jobs))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("epochs=0", "epochs=0: must be greater than or equal to 1 (jobs=jobs.yaml, entry 2)"),
        ("epoch=1", "epoch: unknown key; did you mean 'epochs'? --help lists the keys. (jobs=jobs.yaml, entry 2)"),
    ],
)
def test_a_job_that_can_not_be_is_told_with_its_entry(tmp_path, write_jobs, run_command, entry, message):
    write_jobs(f"- [reg=0]\n- [{entry}]\n")
    done = run_command(tmp_path, "-m", "mnist_flow.train", "-m", "data=digits", "jobs=jobs.yaml")
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")
    assert not (tmp_path / "mlflow.db").exists()
