import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mnist_flow import CONF_DIR
from mnist_flow.config.evaluate import EvaluateConfig
from mnist_flow.config.section import flatten
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError

GROUPS = ["data", "model", "optimizer", "schedule", "noise", "augmentation", "training", "evaluation", "tracking"]
FILES = [path for group in GROUPS for path in sorted(Path(CONF_DIR, group).glob("*.yaml"))]
TOP_LEVEL = ("reg", "seed", "epochs", "batch_size")
LAUNCHERS = sorted(Path(CONF_DIR, "hydra/launcher").glob("*.yaml"))
AUTOENCODERS = [path.stem for path in FILES if "autoencoder" in path.stem]


def option_id(path):
    return f"{path.parent.name}={path.stem}"


def inherited_files(path):
    """The files that an option starts from: `cnn@model` in its defaults is conf/model/cnn.yaml."""
    entries = [entry for entry in OmegaConf.load(path).get("defaults", []) if isinstance(entry, str)]
    names = [entry.partition("@")[0] for entry in entries if entry != "_self_"]
    return [path.with_name(f"{name}.yaml") for name in names]


def find_keys(path, commented=False):
    """Keys that start a line; or only those below a line of comment."""
    lines = path.read_text().splitlines()
    return {
        match[1]
        for above, line in zip(["", *lines], lines, strict=False)
        if (match := re.match(r" *(\w+):", line)) and (not commented or above.lstrip().startswith("# "))
    }


def refusal(compose_config, overrides):
    with pytest.raises(ConfigError) as caught:
        validate_config(compose_config(*overrides), TrainConfig)
    return str(caught.value)


def test_there_are_options_of_every_group():
    assert {path.parent.name for path in FILES} == set(GROUPS)


@pytest.mark.parametrize("path", FILES, ids=option_id)
def test_an_option_composes_and_is_valid(compose_config, path):
    group, option = path.parent.name, path.stem
    config = validate_config(compose_config(f"{group}={option}"), TrainConfig)
    section = getattr(config, group).model_dump(by_alias=True)
    if option != "default":
        assert section["name"] == option
    if not inherited_files(path):
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        # Keys that all options of a group have may stand in config.yaml.
        shared = OmegaConf.load(Path(CONF_DIR, "config.yaml")).get(group, {})
        assert section == {**shared, **content.get(group, content)}


def test_the_defaults(compose_config):
    config = validate_config(compose_config(), TrainConfig)
    assert (config.reg, config.seed, config.epochs, config.batch_size) == (0.0, 0, 10, 128)
    names = [getattr(config, group).name for group in GROUPS[:6]]
    assert names == ["mnist", "mlp_500_300", "sgd", "constant", "none", "none"]


@pytest.mark.parametrize(("model", "reg"), [("mlp", 0.0), ("lenet5", 1e-4), ("cnn_45_60", 1e-3), ("lenet5_v2", 0.1)])
def test_a_model_may_bring_its_reg(compose_config, model, reg):
    assert validate_config(compose_config(f"model={model}"), TrainConfig).reg == reg


def test_a_reg_that_is_given_wins_over_the_models(compose_config):
    assert validate_config(compose_config("model=lenet5", "reg=0.5"), TrainConfig).reg == 0.5


@pytest.mark.parametrize("model", AUTOENCODERS)
def test_an_autoencoder_brings_its_task_and_its_optimizer(compose_config, model):
    config = validate_config(compose_config(f"model={model}"), TrainConfig)
    assert (config.task, config.objective) == ("reconstruction", "val_loss")
    assert (config.optimizer.name, config.batch_size, config.epochs) == ("adam", 64, 20)


def test_what_is_chosen_wins_over_what_an_autoencoder_brings(compose_config):
    config = validate_config(compose_config("model=autoencoder_2d", "optimizer=sgd", "epochs=3"), TrainConfig)
    assert (config.model.latent_units, config.optimizer.name, config.epochs) == (2, "sgd", 3)


def test_a_classifier_is_chosen_by_its_accuracy(compose_config):
    config = validate_config(compose_config(), TrainConfig)
    assert (config.task, config.objective) == ("classification", "val_accuracy")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reg=0.1"], "reg=0.1: belongs to classifiers, and model=autoencoder draws images; leave it out"),
        (
            ["training.label_smoothing=0.1"],
            "training.label_smoothing=0.1: belongs to classifiers, and model=autoencoder draws images; leave it out",
        ),
        (
            ["training.adversarial_radius=1"],
            "training.adversarial_radius=1.0: belongs to classifiers, and model=autoencoder draws images; leave it out",
        ),
        (
            ["training.monitor=val_accuracy"],
            "training.monitor=val_accuracy: belongs to classifiers, and model=autoencoder draws images; choose "
            "val_loss",
        ),
        (
            ["training.class_weights=balanced"],
            "training.class_weights=balanced: belongs to classifiers, and model=autoencoder draws images; leave it out",
        ),
        (
            ["evaluation.objective=test_accuracy"],
            "evaluation.objective=test_accuracy: belongs to classifiers, and model=autoencoder draws images; choose "
            "val_loss or test_loss",
        ),
        (
            ["noise=salt_and_pepper", "noise.min_level=0.5"],
            "noise.min_level=0.5: must be at most noise.level=0.4",
        ),
        (["noise=gaussian", "noise.min_stddev=1"], "noise.min_stddev=1.0: must be at most noise.stddev=0.1"),
        (["noise=salt_and_pepper", "noise.level=1.1"], "noise.level=1.1: must be less than or equal to 1"),
        (
            ["noise=salt_and_pepper", "noise.redraw=false", "augmentation=shift"],
            "noise.redraw=false: fixes the noise of images that stay the same; leave out augmentation=shift",
        ),
    ],
)
def test_what_does_not_go_with_a_denoiser(compose_config, overrides, message):
    assert refusal(compose_config, ["model=autoencoder", *overrides]) == message


@pytest.mark.parametrize("path", [*FILES, *LAUNCHERS], ids=option_id)
def test_each_key_has_a_comment(path):
    """Above it, or in the file that the option starts from; a top-level key has its in config.yaml."""
    documented = find_keys(path, commented=True)
    for source in inherited_files(path):
        documented |= find_keys(source, commented=True)
    assert find_keys(path) - documented - {"defaults", "model", *TOP_LEVEL} == set()


@pytest.mark.parametrize("key", TOP_LEVEL)
def test_each_top_level_key_has_a_comment(key):
    assert key in find_keys(Path(CONF_DIR, "config.yaml"), commented=True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reg=-1"], "reg=-1: must be greater than or equal to 0"),
        (["reg=nan"], "reg=nan: must be a finite number"),
        (["reg=null"], "reg=null: must be a valid number"),
        (["epochs=0"], "epochs=0: must be greater than or equal to 1"),
        (["epochs=2.5"], "epochs=2.5: must be a valid integer"),
        (["epochs=ten"], "epochs=ten: must be a valid integer"),
        (["epochs=true"], "epochs=True: must be a valid integer"),
        (["batch_size=0"], "batch_size=0: must be greater than or equal to 1"),
        (["seed=-1"], "seed=-1: must be greater than or equal to 0"),
        (["seed=4294967296"], "seed=4294967296: must be less than 4294967296"),
        (
            ["seed=4294967295", "replicates=2"],
            "replicates=2: seeds end at 4294967295, and seed=4294967295 is the first",
        ),
        (["noise=salt_and_pepper", "noise.level=1.5"], "noise.level=1.5: must be less than or equal to 1"),
        (["optimizer.learning_rate=nan"], "optimizer.learning_rate=nan: must be a finite number"),
        (["optimizer.learning_rate=inf"], "optimizer.learning_rate=inf: must be a finite number"),
        (["optimizer.learning_rate=0"], "optimizer.learning_rate=0: must be greater than 0"),
        (["data.validation=x"], "data.validation=x: must be 'holdout' or 'test'"),
        (["model.dropout=1"], "model.dropout=1: must be less than 1"),
        (["model.hidden_units=[10,0]"], "model.hidden_units[1]=0: must be greater than or equal to 1"),
        (
            ["model.activation=rellu"],
            "model.activation=rellu: must be 'relu', 'sigmoid', 'tanh', 'elu', 'gelu', 'silu', 'leaky_relu', 'selu'",
        ),
        (["training.threads=0"], "training.threads=0: must be greater than or equal to 1"),
        (["training.ema_momentum=1"], "training.ema_momentum=1: must be less than 1"),
        (["training.monitor=loss"], "training.monitor=loss: must be 'val_loss' or 'val_accuracy'"),
        (["schedule=step", "schedule.factor=0"], "schedule.factor=0: must be greater than 0"),
        (["tracking.experiment_name=''"], "tracking.experiment_name="),
        (
            ["model.regularized_layers=[dense_9]"],
            "model.regularized_layers: no hidden layer 'dense_9'; choose all, or from dense_1 dense_2",
        ),
        (
            ["model=cnn", "model.regularized_layers=[conv_1,conv_3]"],
            "model.regularized_layers: no hidden layer 'conv_3'; choose all, or from conv_1 conv_2 dense_1",
        ),
        (["model.regularized_layers=dense_1"], "model.regularized_layers=dense_1: must be 'all'"),
        (
            ["model=cnn", "model.hidden_dropout=[0.1,0.2]"],
            "model.hidden_dropout=[0.1, 0.2]: needs one number for each of model.hidden_units=[100]",
        ),
        (["model=cnn", "model.blocks.0.pool_size=0"], "model.blocks[0].pool_size=0: must be greater than or equal to"),
        (["+foo=1"], "foo: unknown key"),
        (
            ["+experiment.epochs=1"],
            "experiment: keys of a preset are those of the whole config; its first line must be",
        ),
        (["+model.foo=1"], "model.foo: unknown key"),
        (["+model.droput=0.1"], "model.droput: unknown key; did you mean 'model.dropout'"),
        (["+learning_rate=0.1"], "learning_rate: unknown key; did you mean 'optimizer.learning_rate'"),
        (["+data.batch_size=1"], "data.batch_size: unknown key; did you mean 'batch_size'"),
        (["~epochs"], "epochs: missing"),
        (["epochs=???"], "epochs: Missing mandatory value"),
        (["epochs=${nope}"], "epochs: Interpolation key 'nope' not found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_value_is_told_in_one_line(compose_config, overrides, message):
    text = refusal(compose_config, overrides)
    assert text.startswith(message)
    assert "\n" not in text


def test_an_unknown_name_within_a_section_is_told_with_the_choices(compose_config):
    text = refusal(compose_config, ["noise.name=gausian"])
    assert text == ("noise.name=gausian: must be one of gaussian none salt_and_pepper; did you mean 'gaussian'?")


def test_a_value_with_a_line_break_is_told_in_one_line(compose_config):
    assert "\n" not in refusal(compose_config, ["epochs='1\n2'"])


def test_two_bad_values_are_told_together(compose_config):
    assert refusal(compose_config, ["reg=-1", "epochs=0"]) == (
        "reg=-1: must be greater than or equal to 0; epochs=0: must be greater than or equal to 1"
    )


@pytest.mark.parametrize(
    "override",
    [
        "reg=1",  # an integer is a number
        "model.hidden_units=[]",
        "model.regularized_layers=[]",
        "model.dropout=0.999",
        "training.ema_momentum=0",
        "evaluation.misclassified=0",
        "seed=4294967295",
    ],
)
def test_a_value_at_the_edge_is_valid(compose_config, override):
    assert isinstance(validate_config(compose_config(override), TrainConfig), TrainConfig)


def test_flatten_gives_override_paths_and_keeps_lists_whole():
    nested = {"reg": 0.1, "model": {"name": "mlp", "hidden_units": [3, 4], "deep": {"path": None}}}
    expected = {"reg": 0.1, "model.name": "mlp", "model.hidden_units": [3, 4], "model.deep.path": None}
    assert flatten(nested) == expected
    assert flatten(OmegaConf.create(nested)) == expected


def test_flatten_resolves_references():
    assert flatten(OmegaConf.create({"a": 1, "b": {"c": "${a}"}})) == {"a": 1, "b.c": 1}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["measure=[]"],
            "measure: nothing is chosen; choose from denoising feature_maps files gaussian latent rotation",
        ),
        (["measure.shift.max_pixels=0"], "measure.shift.max_pixels=0: must be greater than or equal to 1"),
        (["measure.shift.directions=[north]"], "measure.shift.directions[0]=north: must be 'right', 'left'"),
        (["measure.shift.fills=[wrap,wrap]"], "measure.shift.fills=['wrap', 'wrap']: holds a value twice"),
        (["measure.gaussian.stddevs=[-1]"], "measure.gaussian.stddevs[0]=-1: must be greater than or equal to 0"),
        (["measure.salt_and_pepper.levels=[]"], "measure.salt_and_pepper.levels=[]: "),
        (["measure.rotation.degrees=[200]"], "measure.rotation.degrees[0]=200: must be less than or equal to 180"),
        (
            ["measure=feature_maps", "measure.feature_maps.digits=[-1]"],
            "measure.feature_maps.digits[0]=-1: must be greater",
        ),
        (
            ["measure=feature_maps", "measure.feature_maps.layers=[a,a]"],
            "measure.feature_maps.layers=['a', 'a']: holds a",
        ),
        (["measure=latent", "measure.latent.k=0"], "measure.latent.k=0: must be greater than or equal to 1"),
        (["run_ids=[a]", "filter=x"], "filter=x: chooses among the runs of an experiment; leave out run_ids"),
        (["run_ids=[a]", "choose=best"], "choose=best: chooses among the runs of an experiment; leave out run_ids"),
        (["run_ids=a"], "run_ids=a: must be a valid list"),
    ],
)
def test_bad_measures_are_told(compose_config, overrides, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        validate_config(compose_config(*overrides, config_name="evaluate"), EvaluateConfig)


def test_measures_are_chosen_one_or_several(compose_config):
    for chosen in ("shift", "[shift,rotation]"):
        config = validate_config(compose_config(f"measure={chosen}", config_name="evaluate"), EvaluateConfig)
        assert ",".join(dict(config.measure)) == chosen.strip("[]")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reg=0.1"], "reg=0.1: belongs to classifiers, and model=cvae draws images; leave it out"),
        (["training.label_smoothing=0.1"], "training.label_smoothing=0.1: belongs to classifiers"),
        (["training.monitor=val_accuracy"], "training.monitor=val_accuracy: belongs to classifiers"),
        (["noise=gaussian"], "noise=gaussian: model=cvae learns from clean images; leave it out, or choose an auto"),
    ],
)
def test_what_a_conditional_decoder_does_not_have_is_told(compose_config, overrides, message):
    assert refusal(compose_config, ["model=cvae", *overrides]).startswith(message)


def test_a_conditional_decoder_generates(compose_config):
    config = validate_config(compose_config("model=cvae"), TrainConfig)
    assert (config.task, config.objective) == ("generation", "val_loss")
    assert (config.optimizer.name, config.batch_size, config.epochs) == ("adam", 64, 20)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ways=[reverse]", "measure.synthesis.ways[0]=reverse: must be 'interpolation', 'salted_codes'"),
        (
            "ways=[noise_codes,noise_codes]",
            "measure.synthesis.ways=['noise_codes', 'noise_codes']: holds a value twice",
        ),
        ("mixture.keep=0", "measure.synthesis.mixture.keep=0: must be greater than 0"),
        ("judge.experiment_name=null", "measure.synthesis.judge.experiment_name=null: must be a valid string"),
    ],
)
def test_bad_settings_of_synthesis_are_told(compose_config, override, message):
    cfg = compose_config("measure=synthesis", f"measure.synthesis.{override}", config_name="evaluate")
    with pytest.raises(ConfigError, match=re.escape(message)):
        validate_config(cfg, EvaluateConfig)
