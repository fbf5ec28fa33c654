"""What a measure of the user's own must say of its tasks and of those of its partners."""

from types import SimpleNamespace

import pytest

from mnist_flow.config import evaluate
from mnist_flow.config.evaluate import PartnerConfig

PARTNER = PartnerConfig(run_id=None, experiment_name="x", filter=None, choose="best")
ALL = ("classification", "reconstruction", "generation")


@pytest.fixture
def check(monkeypatch):
    """The constants of a measure's module → whether its section, with the partner `rival`, is taken."""

    def call(partners=(("rival", PARTNER),), **constants):
        module = SimpleNamespace(__name__="mine", __file__=__file__, **constants)
        monkeypatch.setattr(evaluate, "find_module", lambda section: module)
        evaluate._check_tasks([("factors", [1.0]), *partners])

    return call


@pytest.mark.parametrize(
    "constants",
    [
        {"TASKS": ALL, "PARTNER_TASKS": {"rival": "classification"}},
        {"TASKS": ["generation"], "PARTNER_TASKS": dict(zip(("rival", "b", "c"), ALL, strict=True))},
    ],
)
def test_any_of_the_tasks_is_right(check, constants):
    check(**constants)


def test_a_measure_without_partners_says_nothing_of_them(check):
    check(partners=(), TASKS=("classification",))


@pytest.mark.parametrize("tasks", [(), "classification", ("segmentation",), ("classification", "segmentation")])
def test_other_tasks_are_told(check, tasks):
    with pytest.raises(ValueError, match=r"TASKS=.*: must be a tuple of some of classification"):
        check(TASKS=tasks, PARTNER_TASKS={"rival": "classification"})


@pytest.mark.parametrize("of_partners", [{}, {"other": "classification"}, {"rival": "segmentation"}, ["rival"]])
def test_a_partner_without_a_task_is_told(check, of_partners):
    with pytest.raises(ValueError, match=r"PARTNER_TASKS=.*: must give each of rival one of classification"):
        check(TASKS=ALL, PARTNER_TASKS=of_partners)
