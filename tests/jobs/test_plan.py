import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.identity import Identity
from mnist_flow.jobs.plan import estimate_seconds, plan_jobs
from mnist_flow.tracking import PastRun

NOW, BEFORE = "code of today", "code of before"


@pytest.fixture
def make_job(compose_config):
    """Overrides → a job whose names are fingerprint F and recipe R."""

    def make(*overrides):
        config = validate_config(compose_config(*overrides), TrainConfig)
        return Job(tuple(overrides), config, Identity("F", "G", "R"), "the digits", config.list_params())

    return make


def make_run(
    run_id, state, code=NOW, fingerprint="F", recipe="R", seconds=0.0, params=None, metrics=None, data="the digits"
):
    return PastRun(
        run_id=run_id,
        state=state,
        fingerprint=fingerprint,
        recipe=recipe,
        parent_run_id="",
        code=code,
        process="/-/0/0",
        data_digest=data,
        end_time=0,
        seconds=seconds,
        metrics=metrics or {},
        params=params or {},
    )


def plan_one(job, *past, checkpoints=()):
    (planned,) = plan_jobs([job], past, code=NOW, has_checkpoint=lambda run_id: run_id in checkpoints)
    return planned


def describe(planned):
    return planned.state, planned.run.run_id if planned.run is not None else None


FINISHED, ALIVE, INTERRUPTED = (make_run(state, state) for state in ("finished", "alive", "interrupted"))


@pytest.mark.parametrize(
    ("past", "checkpoints", "expected"),
    [
        ([], [], ("new", None)),
        ([FINISHED], [], ("finished", "finished")),
        ([ALIVE], [], ("alive", "alive")),
        ([INTERRUPTED], ["interrupted"], ("interrupted", "interrupted")),
        ([INTERRUPTED], [], ("new", None)),
        ([INTERRUPTED], ["another"], ("new", None)),
        # finished before alive, alive before interrupted, whatever came first
        ([FINISHED, ALIVE, INTERRUPTED], ["interrupted"], ("finished", "finished")),
        ([INTERRUPTED, ALIVE, FINISHED], ["interrupted"], ("finished", "finished")),
        ([INTERRUPTED, ALIVE], ["interrupted"], ("alive", "alive")),
        ([ALIVE, INTERRUPTED], ["interrupted"], ("alive", "alive")),
        # of the same kind the last finished, the first alive, the last that has a checkpoint here
        ([FINISHED, make_run("later", "finished")], [], ("finished", "later")),
        ([ALIVE, make_run("later", "alive")], [], ("alive", "alive")),
        ([INTERRUPTED, make_run("later", "interrupted")], ["interrupted", "later"], ("interrupted", "later")),
        ([INTERRUPTED, make_run("later", "interrupted")], ["interrupted"], ("interrupted", "interrupted")),
        # runs of another config
        ([make_run("other", "finished", fingerprint="O", recipe="O")], [], ("new", None)),
        ([make_run("old", "finished", fingerprint="", recipe="")], [], ("new", None)),
    ],
)
def test_a_job_is_matched_with_its_run(make_job, past, checkpoints, expected):
    assert describe(plan_one(make_job(), *past, checkpoints=checkpoints)) == expected


def test_each_job_has_its_own_run(make_job):
    one = make_job()
    other = Job((), one.config, Identity("F2", "G", "R2"), one.data_digest, one.params)
    past = [make_run("first", "finished"), make_run("second", "alive", fingerprint="F2", recipe="R2")]
    planned = plan_jobs([other, one, one], past, code=NOW, has_checkpoint=lambda run_id: False)
    assert [describe(job) for job in planned] == [("alive", "second"), ("finished", "first"), ("finished", "first")]
    assert [job.job for job in planned] == [other, one, one]


def test_an_interrupted_run_of_other_code_does_not_go_on(make_job):
    planned = plan_one(make_job(), make_run("old", "interrupted", code=BEFORE), checkpoints=["old"])
    assert describe(planned) == ("new", None)


def test_a_finished_run_of_other_code_is_kept_and_told(make_job):
    planned = plan_one(make_job(), make_run("old", "finished", code=BEFORE))
    assert describe(planned) == ("finished", "old")
    assert planned.other_code


@pytest.mark.parametrize("state", ["finished", "alive", "interrupted"])
def test_runs_of_this_code_are_not_told_as_others(make_job, state):
    planned = plan_one(make_job(), make_run("run", state), checkpoints=["run"])
    assert (planned.other_code, planned.other_data) == (False, False)


@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_runs_of_other_code_are_trained_anew_on_demand(make_job, state):
    job = make_job("tracking.changed_code=retrain")
    planned = plan_one(job, make_run("old", state, code=BEFORE), checkpoints=["old"])
    assert describe(planned) == ("new", None)
    assert not planned.other_code


def test_a_run_of_this_code_is_found_behind_one_of_other_code(make_job):
    job = make_job("tracking.changed_code=retrain")
    past = [make_run("new", "finished"), make_run("old", "finished", code=BEFORE)]
    assert describe(plan_one(job, *past)) == ("finished", "new")


def test_a_run_of_other_code_that_goes_on_is_not_disturbed(make_job):
    job = make_job("tracking.changed_code=retrain")
    planned = plan_one(job, make_run("old", "alive", code=BEFORE))
    assert describe(planned) == ("alive", "old")
    assert not planned.other_code


def test_a_config_that_is_finished_on_other_data_is_told(make_job):
    planned = plan_one(make_job(), make_run("before", "finished", fingerprint="F of other data"))
    assert describe(planned) == ("new", None)
    assert planned.other_data


def test_a_config_that_is_finished_on_other_data_is_told_also_behind_one_that_was_interrupted(make_job):
    past = [make_run("before", "finished", fingerprint="F of other data"), INTERRUPTED]
    assert plan_one(make_job(), *past).other_data


@pytest.mark.parametrize(
    "past",
    [
        [make_run("before", "interrupted", fingerprint="F of other data")],
        [make_run("before", "finished", fingerprint="F of other data"), FINISHED],
        [make_run("other", "finished", fingerprint="O", recipe="O")],
        [],
    ],
    ids=["interrupted there", "finished here too", "another config", "nothing"],
)
def test_other_data_is_told_only_of_what_is_finished_there_and_new_here(make_job, past):
    assert not plan_one(make_job(), *past).other_data


def test_a_run_that_is_trained_anew_for_its_code_has_no_other_data(make_job):
    job = make_job("tracking.changed_code=retrain")
    assert not plan_one(job, make_run("old", "finished", code=BEFORE)).other_data


HIDDEN_UNITS = {"mlp_100": "[100]", "lenet5": "[120, 84]", "cnn": "[100]"}


def past_of(model, seconds, epochs="10", state="finished", data="the digits", units=None, **metrics):
    units = units or HIDDEN_UNITS[model]
    params = {"model.name": model, "model.hidden_units": units, "epochs": epochs}
    return make_run("run", state, seconds=seconds, params=params, metrics=metrics, data=data)


def test_the_time_is_that_of_an_epoch_of_the_finished_runs(make_job):
    jobs = [make_job("data=digits", "model=mlp_100", f"epochs={epochs}") for epochs in (10, 30)]
    # 1 s, 2 s and 9 s an epoch: the median is 2 s, for 40 epochs.
    past = [past_of("mlp_100", 10.0), past_of("mlp_100", 40.0, epochs="20"), past_of("mlp_100", 90.0)]
    assert estimate_seconds(jobs, past) == 80.0


@pytest.mark.parametrize(
    ("seconds", "fit_seconds", "an_epoch"),
    [
        # A day's pause before the run was resumed: ten seconds at most are taken for all but the training.
        (86_400.0, 90.0, 10.0),
        # In one piece: the run's own time.
        (92.0, 90.0, 9.2),
    ],
)
def test_the_pause_of_a_resumed_run_is_not_counted(make_job, seconds, fit_seconds, an_epoch):
    past = [past_of("mlp_100", seconds, fit_seconds=fit_seconds)]
    assert estimate_seconds([make_job("data=digits", "model=mlp_100", "epochs=5")], past) == 5 * an_epoch


def test_each_model_has_its_own_time(make_job):
    jobs = [make_job("data=digits", f"model={model}", "epochs=5") for model in ("mlp_100", "lenet5")]
    past = [past_of("mlp_100", 10.0), past_of("lenet5", 100.0), past_of("cnn", 1e6)]
    assert estimate_seconds(jobs, past) == 5 * 1.0 + 5 * 10.0


@pytest.mark.parametrize(
    "past",
    [
        [],
        [past_of("lenet5", 10.0)],
        [past_of("mlp_100", 10.0, units="[1000]")],
        [past_of("mlp_100", 10.0, data="other images")],
        [past_of("mlp_100", 10.0, state="interrupted")],
        [past_of("mlp_100", 10.0, state="alive")],
        [make_run("run", "finished", seconds=10.0)],
    ],
    ids=["no run", "another model", "another width", "other data", "interrupted", "alive", "no params"],
)
def test_the_time_is_unknown_without_a_finished_run_of_the_model_on_the_data(make_job, past):
    assert estimate_seconds([make_job("data=digits", "model=mlp_100")], past) is None


def test_one_model_without_a_finished_run_makes_the_time_unknown(make_job):
    jobs = [make_job("data=digits", f"model={model}") for model in ("mlp_100", "lenet5")]
    assert estimate_seconds(jobs, [past_of("mlp_100", 10.0)]) is None


def test_no_job_takes_no_time():
    assert estimate_seconds([], []) == 0.0
