"""What a sweep's overrides multiply out to, beside what Hydra itself makes of each job."""

from __future__ import annotations

import re

import pytest
from hydra.errors import HydraException
from omegaconf import open_dict

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.loading import load_data_set
from mnist_flow.errors import ConfigError, DataError
from mnist_flow.jobs.composition import compose_base, compose_jobs, list_replicates
from mnist_flow.jobs.identity import identify


@pytest.fixture
def compose_by_hydra(hydra):
    """The config of one job as Hydra's own launchers compose it."""

    def compose(config, overrides):
        cfg = hydra.load_sweep_config(config, list(overrides))
        with open_dict(cfg):
            del cfg["hydra"]
        return validate_config(cfg, TrainConfig)

    return compose


def list_overrides(jobs):
    return [list(job.overrides) for job in jobs]


# The grid


def test_a_sweep_over_presets_has_the_grid_of_each(compose_sweep):
    jobs = compose_jobs(compose_sweep("experiment=mlp_100,mlp_64_64", "tracking.experiment_name=both", "epochs=1"))
    assert list_overrides(jobs) == [
        [f"seed={seed}", f"experiment={preset}", "data=digits", "tracking.experiment_name=both", "epochs=1"]
        for preset in ("mlp_100", "mlp_64_64")
        for seed in range(10)
    ]
    assert [(job.config.model.name, job.config.seed) for job in jobs] == [
        (model, seed) for model in ("mlp_100", "mlp_64_64") for seed in range(10)
    ]


def test_what_is_typed_replaces_the_grid_of_each_of_several_presets(compose_sweep):
    jobs = compose_jobs(compose_sweep("experiment=mlp_100,width_holdout", "seed=7", "tracking.experiment_name=both"))
    assert {job.config.seed for job in jobs} == {7}
    # One job of the first; of the second its other grid.
    assert [job.config.model.name for job in jobs].count("mlp_100") == 1
    assert len(jobs) > 2


def test_presets_beside_other_values_are_multiplied_out(compose_sweep):
    jobs = compose_jobs(compose_sweep("experiment=mlp_100,mlp_64_64", "seed=0", "reg=0,1e-4"))
    assert [(job.config.model.name, job.config.reg) for job in jobs] == [
        (model, reg) for model in ("mlp_100", "mlp_64_64") for reg in (0, 1e-4)
    ]


def test_a_grid_is_multiplied_out_in_order(compose_sweep):
    jobs = compose_jobs(compose_sweep("reg=0,0.5", "seed=0,1,2"))
    assert list_overrides(jobs) == [
        ["data=digits", f"reg={reg}", f"seed={seed}"] for reg in ("0", "0.5") for seed in (0, 1, 2)
    ]
    assert [(job.config.reg, job.config.seed) for job in jobs] == [
        *((0.0, 0), (0.0, 1), (0.0, 2)),
        *((0.5, 0), (0.5, 1), (0.5, 2)),
    ]


@pytest.mark.parametrize(
    ("override", "seeds"),
    [
        ("seed=3", [3]),
        ("seed=choice(4,2)", [4, 2]),
        ("seed=range(1,4)", [1, 2, 3]),
        ("seed=range(0,10,4)", [0, 4, 8]),
        ("seed=sort(3,1,2)", [1, 2, 3]),
    ],
)
def test_hydras_ways_to_name_several_values(compose_sweep, override, seeds):
    assert [job.config.seed for job in compose_jobs(compose_sweep(override))] == seeds


def test_an_interval_is_no_grid(compose_sweep):
    with pytest.raises(HydraException, match=r"reg=interval\(0,1\): a grid needs a list of values; intervals are for"):
        compose_jobs(compose_sweep("reg=interval(0,1)"))


def test_options_of_a_group_can_be_named_by_pattern(compose_sweep):
    jobs = compose_jobs(compose_sweep("model=glob(mlp_1*)"))
    assert [job.config.model.name for job in jobs] == ["mlp_100", "mlp_1000", "mlp_125_100_50"]


def test_a_job_knows_its_names_and_params(compose_sweep):
    (job,) = compose_jobs(compose_sweep("reg=1e-5", "model.hidden_units=[3,4]"))
    assert job.identity == identify(job.config, load_data_set("digits").digest)
    assert job.params == job.config.list_params()
    # Params have the names that are typed.
    assert {"tracking.register", "reg"} <= job.params.keys()
    assert (job.params["reg"], job.params["model.hidden_units"]) == (1e-5, [3, 4])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reg=0,-1"], "reg=-1: must be greater than or equal to 0"),
        (["optimizer=sgd,adam", "epochs=0"], "epochs=0: must be greater than or equal to 1"),
        (["model=mlp_100,autoencoder", "reg=0.1"], "reg=0.1: belongs to classifiers"),
    ],
)
def test_a_job_that_can_not_be_is_told(compose_sweep, overrides, message):
    with pytest.raises(ConfigError, match=message):
        compose_jobs(compose_sweep(*overrides))


def test_data_that_is_not_there_is_told(compose_sweep):
    with pytest.raises(DataError, match=r"data\.path=nowhere\.npz: no such file"):
        compose_jobs(compose_sweep("data=mnist", "data.path=nowhere.npz"))


# As Hydra composes them


@pytest.mark.parametrize(
    "overrides",
    [
        ["reg=0,1e-5", "optimizer.learning_rate=0.1,0.2", "epochs=3"],
        ["optimizer=sgd,adam,adamw", "optimizer.learning_rate=0.1,0.01"],
        ["optimizer.learning_rate=0.1,0.01", "optimizer=sgd,adam"],
        ["model=lenet5,mlp_100,cnn_20_40", "seed=0,1"],
        ["model=lenet5,mlp_100", "reg=0.5"],
        ["model=mlp", "model.hidden_units=[3],[4,5],[]", "model.regularized_layers=[]"],
        ["model=cnn", "model.blocks.1.pool_size=1,2"],
        ["model=cnn", "model.blocks=[{filters:[4],kernel_size:3,pool_size:2}]"],
        ["reg=1e-5", "optimizer.learning_rate=${reg}", "tracking.run_name='${model.name} ${seed}'", "seed=1,2"],
        ["model=mlp_100,lenet5", "tracking.run_name='${model.name} ${reg}'"],
        ["schedule=cosine,step,plateau", "noise=none,gaussian"],
        ["++reg=0,1e-5", "++optimizer.nesterov=false", "++optimizer.momentum=0.9"],
        ["~model.dropout", "+model.dropout=0.5,0.25"],
        ["optimizer={momentum:0.9}", "optimizer.learning_rate=0.1,0.2"],
        ["optimizer.momentum=0.5", "optimizer={momentum:0.9}", "seed=0,1"],
        ["training.early_stopping_patience=null,3", "training.keep_best_epoch=true,false"],
        ["tracking.run_name='a,b','c d'", "tracking.uri=null"],
        ["seed=0,1", "seed=2,3"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_a_job_has_the_config_that_hydra_composes(compose_sweep, compose_by_hydra, overrides):
    try:
        config = compose_sweep(*overrides)
        expected = [compose_by_hydra(config, job.overrides) for job in compose_jobs(config)]
    except HydraException as error:
        pytest.fail(f"Hydra refuses: {error}")
    assert [job.config for job in compose_jobs(config)] == expected


def test_values_that_only_a_job_has_are_left_to_it(compose_sweep):
    typed = ["seed=0,1", "hydra.sweep.dir=jobs", "hydra.sweep.subdir=${hydra.job.num}", "tracking.run_name=a-${seed}"]
    jobs = compose_jobs(compose_sweep(*typed))
    assert [job.config.tracking.run_name for job in jobs] == ["a-0", "a-1"]


def test_a_preset_brings_its_grid_and_values(compose_sweep, compose_by_hydra, preset):
    search = preset(
        "defaults:\n  - override /model: mlp_100\n  - override /optimizer: adam\n"
        "epochs: 3\noptimizer:\n  learning_rate: 0.5\n"
        "hydra:\n  sweeper:\n    params:\n      reg: 0,0.5\n      optimizer.beta_1: 0.8,0.9\n"
    )
    config = compose_sweep(search, "experiment=mine", "seed=7")
    jobs = compose_jobs(config)
    assert list_overrides(jobs) == [
        [f"reg={reg}", f"optimizer.beta_1={beta}", "data=digits", "experiment=mine", "seed=7"]
        for reg in ("0", "0.5")
        for beta in ("0.8", "0.9")
    ]
    assert [job.config for job in jobs] == [compose_by_hydra(config, job.overrides) for job in jobs]
    one = jobs[0].config
    assert (one.model.name, one.optimizer.name, one.optimizer.learning_rate) == ("mlp_100", "adam", 0.5)
    assert (one.epochs, one.seed) == (3, 7)


def test_what_is_typed_wins_over_the_grid_of_a_preset(compose_sweep, preset):
    search = preset("hydra:\n  sweeper:\n    params:\n      reg: 0,1e-5\n")
    jobs = compose_jobs(compose_sweep(search, "experiment=mine", "reg=0.5"))
    assert {job.config.reg for job in jobs} == {0.5}


def test_a_preset_may_choose_groups_as_it_sweeps(compose_sweep, compose_by_hydra, preset):
    search = preset("hydra:\n  sweeper:\n    params:\n      model: mlp_100,lenet5\n      optimizer.momentum: 0.5\n")
    config = compose_sweep(search, "experiment=mine")
    jobs = compose_jobs(config)
    assert [job.config.model.name for job in jobs] == ["mlp_100", "lenet5"]
    assert [job.config for job in jobs] == [compose_by_hydra(config, job.overrides) for job in jobs]


def test_hundreds_of_jobs_are_composed_once_for_each_choice_of_groups(hydra, compose_sweep, monkeypatch):
    config = compose_sweep("optimizer=sgd,adam", "++seed=range(0,25)", "reg=" + ",".join(map(str, range(10))))
    composed, asked = [], []
    load_sweep_config, get_group_options = hydra.load_sweep_config, hydra.get_group_options

    def count_composed(master_config, sweep_overrides):
        composed.append(sweep_overrides)
        return load_sweep_config(master_config, sweep_overrides)

    def count_asked(*arguments, **options):
        asked.append(arguments)
        return get_group_options(*arguments, **options)

    monkeypatch.setattr(hydra, "load_sweep_config", count_composed)
    # Each call copies Hydra's whole schema, which takes 20 ms.
    monkeypatch.setattr(hydra, "get_group_options", count_asked)
    jobs = compose_jobs(config)
    assert len(jobs) == 500
    assert len({job.identity.fingerprint for job in jobs}) == 500
    assert composed == [["data=digits", "optimizer=sgd"], ["data=digits", "optimizer=adam"]]
    assert len(asked) == 1


@pytest.mark.parametrize("override", ["nope=1,2", "model.nope=1", "nope@model=mlp_100", "+reg=1", "~nope"])
def test_what_hydra_refuses_is_refused_in_its_words(hydra, compose_sweep, override):
    config = compose_sweep("seed=0,1")
    config.hydra.overrides.task.append(override)
    (first, *_) = override.split(",")
    with pytest.raises(HydraException) as expected:
        hydra.load_sweep_config(config, ["data=digits", "seed=0", first])
    with pytest.raises(HydraException) as raised:
        compose_jobs(config)
    assert str(raised.value) == str(expected.value)


def test_one_job_does_not_change_the_next(compose_sweep):
    jobs = compose_jobs(compose_sweep("model.hidden_units=[3],[4]", "epochs=1,2"))
    assert [(job.config.model.hidden_units, job.config.epochs) for job in jobs] == [
        ([3], 1),
        ([3], 2),
        ([4], 1),
        ([4], 2),
    ]


# Replicates


def test_replicates_are_jobs_with_the_seeds_from_the_first_on(compose_sweep):
    jobs = compose_jobs(compose_sweep("reg=0,0.5", "seed=5", "replicates=3"))
    assert list_overrides(jobs) == [
        ["data=digits", f"reg={reg}", f"seed={seed}"] for reg in ("0", "0.5") for seed in (5, 6, 7)
    ]
    assert [job.config.seed for job in jobs] == [5, 6, 7, 5, 6, 7]
    assert {job.config.replicates for job in jobs} == {1}
    assert len({job.identity.group for job in jobs}) == 2
    assert len({job.identity.fingerprint for job in jobs}) == 6


def test_a_replicate_is_the_job_with_its_seed(compose_sweep):
    replicates = compose_jobs(compose_sweep("seed=5", "replicates=2"))
    alone = compose_jobs(compose_sweep("seed=5,6"))
    assert [job.identity for job in replicates] == [job.identity for job in alone]
    assert [job.config for job in replicates] == [job.config for job in alone]


def test_one_replicate_leaves_the_overrides_as_they_are(compose_sweep):
    (job,) = compose_jobs(compose_sweep("reg=0.5", "replicates=1"))
    assert list(job.overrides) == ["data=digits", "reg=0.5"]


def test_replicates_of_a_preset_are_multiplied_out_too(compose_sweep, preset):
    jobs = compose_jobs(compose_sweep(preset("replicates: 2\nseed: 3\n"), "experiment=mine"))
    assert list_overrides(jobs) == [["data=digits", "experiment=mine", f"seed={seed}"] for seed in (3, 4)]


def test_replicates_that_are_typed_replace_the_seeds_of_a_preset_from_its_first_on(compose_sweep, preset):
    mine = preset("hydra: {sweeper: {params: {reg: '0,0.5', seed: 'range(100,110)'}}}\n")
    jobs = compose_jobs(compose_sweep(mine, "experiment=mine", "replicates=2"))
    assert [(job.config.reg, job.config.seed) for job in jobs] == [(0, 100), (0, 101), (0.5, 100), (0.5, 101)]
    # Seeds that are typed, too, are the first ones.
    jobs = compose_jobs(compose_sweep(mine, "experiment=mine", "replicates=2", "seed=7", "reg=0"))
    assert [job.config.seed for job in jobs] == [7, 8]


@pytest.mark.parametrize("forced", ["++replicates=2", "++seed=3"])
def test_forced_overrides_are_multiplied_out_as_plain_ones(compose_sweep, compose_by_hydra, forced):
    config = compose_sweep("replicates=2", forced)
    jobs = compose_jobs(config)
    first = 3 if "seed" in forced else 0
    assert [job.config.seed for job in jobs] == [first, first + 1]
    config.hydra.overrides.hydra.append("replicates=1")  # as the sweep does
    assert [compose_by_hydra(config, job.overrides) for job in jobs] == [job.config for job in jobs]


def test_the_replicates_of_a_config_that_no_sweep_composed(compose_config):
    config = validate_config(compose_config("data=digits", "replicates=2", "seed=1"), TrainConfig)
    jobs = list_replicates(["data=digits", "replicates=2", "seed=1"], config)
    assert list_overrides(jobs) == [["data=digits", "seed=1"], ["data=digits", "seed=2"]]


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("zip=[reg,seed]", "type it beside -m; a preset has it below hydra.sweeper.params"),
        ("jobs=mine.yaml", "type it beside -m"),
    ],
)
def test_what_makes_a_grid_is_refused_where_there_is_none(compose_config, override, remedy):
    config = validate_config(compose_config("data=digits", override), TrainConfig)
    with pytest.raises(ConfigError, match=rf"^{re.escape(override)}: is for grids; {re.escape(remedy)}$"):
        list_replicates(["data=digits", override], config)


def test_the_base_of_a_sweep_is_what_all_jobs_share(compose_sweep):
    base = compose_base(compose_sweep("reg=0,1e-5", "tracking.experiment_name=x", "hydra.sweep.subdir=y"))
    assert isinstance(base, TrainConfig)
    assert base.reg == 0.0
