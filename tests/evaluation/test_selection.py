"""Which runs are measured, and which take part, where their results rank them differently."""

import pytest

from mnist_flow import tracking
from mnist_flow.config.evaluate import OptionalPartnerConfig, PartnerConfig
from mnist_flow.config.section import OptionSection
from mnist_flow.errors import RunError, TrackingError
from mnist_flow.evaluation.selection import find_partners, rank_run
from mnist_flow.tracking import LoggedRun

PARTNER_TASKS = {"denoiser": "reconstruction", "sharpener": "reconstruction"}


class Config(OptionSection):
    level: float = 0.5
    denoiser: PartnerConfig | None = None
    sharpener: OptionalPartnerConfig | None = None


def make_run(name: str, seed: int = 0, **metrics: float) -> LoggedRun:
    return LoggedRun(name, name, "1", "m", "", {"seed": str(seed)}, metrics)


def partner(kind, **keys):
    return kind(**{"run_id": None, "experiment_name": "them", "filter": None, "choose": "best"} | keys)


# The best by each of four metrics is another run, and the first and the last are none of them.
CLASSIFIERS = [
    make_run("first", val_accuracy=0.90, val_loss=0.4, test_accuracy=0.91, accuracy=0.90),
    make_run("by_accuracy", val_accuracy=0.95, val_loss=0.5, test_accuracy=0.92, accuracy=0.91),
    make_run("by_loss", val_accuracy=0.91, val_loss=0.1, test_accuracy=0.93, accuracy=0.92),
    make_run("by_test", val_accuracy=0.92, val_loss=0.6, test_accuracy=0.99, accuracy=0.93),
    make_run("by_training", val_accuracy=0.93, val_loss=0.7, test_accuracy=0.94, accuracy=0.99),
    make_run("last", val_accuracy=0.94, val_loss=0.3, test_accuracy=0.95, accuracy=0.94),
]
AUTOENCODERS = [
    make_run("first", seed=10, val_loss=0.3, test_loss=0.2, loss=0.2),
    make_run("by_loss", seed=9, val_loss=0.1, test_loss=0.3, loss=0.3),
    make_run("worse", seed=2, val_loss=0.4, test_loss=0.05, loss=0.1),
    make_run("by_test", seed=2, val_loss=0.2, test_loss=0.1, loss=0.1),
    make_run("worst", seed=2, val_loss=0.5, test_loss=0.02, loss=0.05),
]


def test_classifiers_are_ranked_by_validation_accuracy():
    ranked = [run.name for run in sorted(CLASSIFIERS, key=rank_run)]
    assert ranked == ["by_accuracy", "last", "by_training", "by_test", "by_loss", "first"]


def test_the_epoch_that_the_model_has_counts():
    chosen = make_run("chosen", val_accuracy=0.1, selected_val_accuracy=0.9)
    assert min([make_run("other", val_accuracy=0.5, selected_val_accuracy=0.6), chosen], key=rank_run) is chosen


def test_autoencoders_are_ranked_by_validation_loss_and_a_run_without_comes_last():
    ranked = sorted([make_run("nothing"), *AUTOENCODERS], key=rank_run)
    assert [run.name for run in ranked] == ["by_loss", "by_test", "first", "worse", "worst", "nothing"]


@pytest.fixture
def experiments(monkeypatch):
    monkeypatch.setattr(tracking, "find_experiment", {"them": "1", "empty": "2"}.get)
    runs = {"1": AUTOENCODERS, "2": []}
    monkeypatch.setattr(
        tracking, "fetch_logged_runs", lambda experiment, chosen: ([r for r in runs[experiment] if chosen is None], [])
    )
    monkeypatch.setattr(tracking, "get_uri", lambda: "store")


def choose(config, key, seed=0, **params):
    measured = make_run("measured", seed)
    measured.params.update(params)
    return find_partners("own", config)[key](measured).name


def test_the_best_partner_and_the_best_of_the_same_seed(experiments):
    config = Config(denoiser=partner(PartnerConfig))
    assert choose(config, "denoiser", seed=2) == "by_loss"
    same_seed = Config(denoiser=partner(PartnerConfig, choose="same_seed"))
    assert choose(same_seed, "denoiser", seed=2) == "by_test"
    assert choose(same_seed, "denoiser", seed=10) == "first"
    with pytest.raises(
        RunError, match=r"experiment 'them' has no run of seed 3, but of 2 9 10; measure\.own\.denoiser\.choose=best"
    ):
        choose(same_seed, "denoiser", seed=3)


def test_of_several_partners_of_the_same_seed_the_one_of_the_same_fold_is_taken(experiments, monkeypatch):
    runs = [make_run(f"fold {fold}", val_loss=0.1 * fold) for fold in range(3)]
    for fold, run in enumerate(runs):
        run.params.update({"data.folds": "3", "data.fold": str(fold)})
    monkeypatch.setattr(tracking, "fetch_logged_runs", lambda experiment, chosen: (runs, []))
    config = Config(denoiser=partner(PartnerConfig, choose="same_seed"))
    assert choose(config, "denoiser", **{"data.folds": "3", "data.fold": "1"}) == "fold 1"
    # Fold 1 of 5 holds other images.
    assert choose(config, "denoiser", **{"data.folds": "5", "data.fold": "1"}) == "fold 0"
    assert choose(config, "denoiser") == "fold 0"


def test_an_optional_partner_takes_part_only_if_it_is_named(experiments):
    assert find_partners("own", Config(sharpener=partner(OptionalPartnerConfig, experiment_name=None))) == {}
    config = Config(sharpener=partner(OptionalPartnerConfig))
    assert list(find_partners("own", config)) == ["sharpener"]
    assert choose(config, "sharpener") == "by_loss"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"experiment_name": "empty"},
            r"^measure.own.denoiser.experiment_name=empty: no finished runs with a model at store; make",
        ),
        (
            {"experiment_name": "none"},
            r"model=autoencoder noise=salt_and_pepper 'seed=range\(3\)' tracking.experiment_name=none$",
        ),
        (
            {"filter": "metrics.loss < 0"},
            r"denoiser.experiment_name=them: no finished runs .* that match filter=metrics.loss < 0; make some",
        ),
        ({"filter": "x"}, r"^measure.own.denoiser.filter=x: is no filter of MLflow \("),
    ],
)
def test_an_experiment_without_runs_is_told_with_the_remedy(experiments, keys, message):
    with pytest.raises(TrackingError, match=message):
        find_partners("own", Config(denoiser=partner(PartnerConfig, **keys)))
