"""The reproduction of some presets on digits, from nothing to the report."""

from __future__ import annotations

import re

import mlflow
import pytest

from support import list_imports

REPRODUCE = (
    *("-m", "mnist_flow.reproduce", "presets=[learning_rate,learning_rate_holdout]", "launcher=basic"),
    "overrides=['data=digits','epochs=1','batch_size=32','seed=0,1','optimizer.learning_rate=0.1,0.5','tracking.log_figures=false']",
    *(
        "parts.reports.evaluations=[{measure:shift,experiment:learning_rate}]",
        "parts.reports.studies=[{study:learning_rate},{study:cnn}]",
        "output_dir=out",
    ),
)
# Any preset can be planned on them, without MNIST.
DIGITS = ("overrides=['data=digits']", "output_dir=out")

pytestmark = pytest.mark.timeout(400)


def count_runs(folder, kind) -> int:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    return len(client.search_runs(experiments, f"tags.`mnist_flow.kind` = '{kind}'"))


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory, run_command):
    folder = tmp_path_factory.mktemp("reproduced")
    done = run_command(folder, *REPRODUCE)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_plan_says_what_is_missing_and_starts_nothing(tmp_path, run_command):
    done = run_command(tmp_path, "-X", "importtime", *REPRODUCE, "plan=true")
    assert done.returncode == 0, done.stderr
    assert run_command(tmp_path, *REPRODUCE, "--plan").stdout == done.stdout
    assert re.search(r"learning_rate_holdout *│ *4 *│ *0 *│ *0 *│ *4 *│ *unknown", done.stdout)
    assert "8 runs to train" in done.stdout
    assert not list_imports(done.stderr) & {"tensorflow", "keras"}
    assert list(tmp_path.iterdir()) == []


def test_replicates_are_as_many_seeds_of_each_preset(tmp_path, run_command):
    options = ("presets=[fast_99]", "overrides=['data=digits','replicates=3']", "output_dir=out", "--plan")
    done = run_command(tmp_path, "-m", "mnist_flow.reproduce", "parts=[fast_99]", "parts.fast_99.searches=[]", *options)
    assert done.returncode == 0, done.stderr
    assert re.search(r"│ *fast_99 *│ *3 *│", done.stdout)


def test_what_a_part_needs_is_trained_with_it_and_chooses_no_other_part(tmp_path, run_command):
    def plan(choice):
        needs = "+parts.beyond.needs=[denoising]"
        done = run_command(tmp_path, "-m", "mnist_flow.reproduce", choice, needs, *DIGITS, "--plan")
        assert done.returncode == 0, done.stderr
        return re.findall(r"^│ *(\w+) *│ *(\d+) *│", done.stdout, re.MULTILINE)

    assert plan("presets=[unet_wide]") == [("unet_wide", "10"), ("denoising", "3")]
    assert plan("parts=[beyond]") == [("unet_wide", "10"), ("denoising_deformed", "10"), ("denoising", "3")]
    assert plan("presets=[denoising]") == [("denoising", "3")]


# Where times are a result, one run comes after another.
@pytest.mark.parametrize(("part", "launcher", "n"), [("yardstick", "local_pool", 60), ("fast_99", "basic", 40)])
def test_a_plan_says_how_far_a_search_is(tmp_path, run_command, part, launcher, n):
    done = run_command(tmp_path, "-m", "mnist_flow.reproduce", f"parts=[{part}]", *DIGITS, "--plan")
    assert done.returncode == 0, done.stderr
    command = f"python -m mnist_flow.train -m hydra/sweeper=optuna experiment={part}_search hydra/launcher={launcher}"
    assert (
        done.stdout.index("10 runs to train")
        < done.stdout.index(command)
        < done.stdout.index(f"{n} trials: 0 complete")
    )
    assert list(tmp_path.iterdir()) == []


def test_everything_missing_is_trained_measured_and_drawn(reproduced):
    folder, done = reproduced
    assert "8 runs to train" in done.stdout
    assert count_runs(folder, "train") == 8
    assert count_runs(folder, "sweep") == 2
    assert count_runs(folder, "evaluation") == 4
    drawn = {file.name for file in (folder / "out" / "results").glob("*.svg")}
    assert drawn == {"learning_rate.svg", "learning_rate-learning_rate_holdout.svg"}
    told, *written = done.stdout.splitlines()[-1].split()
    assert (told, sorted(written)) == ("written:", ["out/HOLDOUT.md", "out/RESULTS.md", "out/report.html"])


def test_the_results_have_every_published_number_of_the_presets(reproduced):
    folder, _ = reproduced
    text = (folder / "out" / "RESULTS.md").read_text()
    settings = "data=digits epochs=1 batch_size=32 seed=0,1 optimizer.learning_rate=0.1,0.5 tracking.log_figures=false"
    assert f"trained with `{settings}`" in text
    assert "`python -m mnist_flow.reproduce 'parts=[reports]' 'presets=[learning_rate]' \"overrides=[" in text
    ((row, setting, statement, ours, _, verdict),) = [
        re.split(r" \| ", line) for line in text.splitlines() if re.match(r"\| 00\d-", line)
    ]
    assert (row, statement) == ("| 000-2B", "best 0.5: mean 97.8 %")
    assert setting == "784-100-10, SGD, eight learning rates, 10 epochs"
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("learning_rate").experiment_id
    runs = client.search_runs(
        [experiment], "tags.`mnist_flow.kind` = 'train' and params.`optimizer.learning_rate` = '0.5'"
    )
    assert len(runs) == 2
    mean = sum(run.data.metrics["test_accuracy"] for run in runs) / 2
    assert ours.startswith(f"{100 * mean:.2f} ± ")
    assert ours.endswith("% (2)")
    assert verdict == "other settings |"
    page = (folder / "out" / "report.html").read_text()
    for run in runs:
        assert f"http://127.0.0.1:5000/#/experiments/{experiment}/runs/{run.info.run_id}" in page


def test_the_honest_protocol_has_its_own_page(reproduced):
    folder, _ = reproduced
    text = (folder / "out" / "HOLDOUT.md").read_text()
    assert "4 runs,\n" in text
    assert "| 784-100-10, SGD, eight learning rates, 10 epochs; the learning rate chosen on held-out images |" in text
    assert "![learning_rate-learning_rate_holdout](results/learning_rate-learning_rate_holdout.svg)" in text
    results = (folder / "out" / "RESULTS.md").read_text()
    assert "4 runs,\n" in results
    assert "learning_rate_holdout" not in results
    page = (folder / "out" / "report.html").read_text()
    assert '<h2 id="reports">Results</h2>' in page
    assert '<h2 id="holdout">The honest protocol</h2>' in page


def test_the_same_command_again_trains_and_measures_nothing(reproduced, run_command):
    folder, _ = reproduced
    pages = [folder / "out" / name for name in ("RESULTS.md", "HOLDOUT.md")]
    before = [page.read_text() for page in pages]
    done = run_command(folder, *REPRODUCE)
    assert done.returncode == 0, done.stderr
    assert "0 runs to train" in done.stdout
    assert "mnist_flow.train" not in done.stdout
    assert (count_runs(folder, "train"), count_runs(folder, "evaluation")) == (8, 4)
    assert [page.read_text() for page in pages] == before


def test_other_runs_of_the_experiments_are_neither_drawn_nor_counted(reproduced, run_command):
    folder, _ = reproduced
    tables = [
        folder / "out" / "results" / f"{name}.csv" for name in ("learning_rate", "learning_rate-learning_rate_holdout")
    ]
    before = [table.read_text() for table in tables]
    other = ("data=digits", "model=mlp_100", "epochs=1", "seed=9", "data.validation=test")
    done = run_command(folder, "-m", "mnist_flow.train", *other, "tracking.experiment_name=learning_rate")
    assert done.returncode == 0, done.stderr
    done = run_command(folder, *REPRODUCE)
    assert (done.returncode, "0 runs to train" in done.stdout) == (0, True), done.stderr
    assert [table.read_text() for table in tables] == before


@pytest.mark.parametrize(
    "choice",
    [
        ("parts=[holdout]", "parts.holdout.presets=[learning_rate_holdout]"),
        ("presets=[learning_rate_holdout]",),
    ],
    ids=["parts", "presets"],
)
def test_only_the_page_of_the_part_that_is_chosen_is_written(reproduced, run_command, choice):
    folder, _ = reproduced
    results, twins = (folder / "out" / name for name in ("RESULTS.md", "HOLDOUT.md"))
    chosen = "'presets=[learning_rate_holdout]' "
    text = twins.read_text().replace(chosen, "")
    results.write_text("of another store\n")
    twins.unlink()
    arguments = [one for one in REPRODUCE if not one.startswith(("presets=", "parts."))]
    done = run_command(folder, *arguments, *choice)
    assert done.returncode == 0, done.stderr
    assert "0 runs to train" in done.stdout
    assert results.read_text() == "of another store\n"
    # The command on the page is that which was typed.
    assert (chosen in twins.read_text()) == ("presets=[learning_rate_holdout]" in choice)
    assert twins.read_text().replace(chosen, "") == text
    assert "Five reports" not in (folder / "out" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.launchers
def test_a_page_without_a_finished_run_is_not_written(tmp_path, run_command):
    pages = [tmp_path / "out" / name for name in ("RESULTS.md", "HOLDOUT.md", "report.html")]
    pages[0].parent.mkdir()
    for page in pages:
        page.write_text("of another store\n")
    diverging = "overrides=['data=digits','epochs=1','seed=0','optimizer.learning_rate=1e30']"
    arguments = ("presets=[mlp_64_64]", "launcher=basic", "output_dir=out", diverging)
    done = run_command(tmp_path, "-m", "mnist_flow.reproduce", *arguments)
    assert done.returncode == 1
    assert "RESULTS.md: not written: no run of parts=[reports] is finished" in done.stderr
    # Of the commands that it starts, too.
    assert "Traceback" not in done.stderr
    assert [page.read_text() for page in pages] == ["of another store\n"] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["presets=[widht]"], "experiment=widht: no such preset; did you mean 'width'"),
        (
            ["parts=[holdut]"],
            "parts=holdut: no such option; did you mean 'holdout' or 'holdout_width'? Choices: augmented beyond ",
        ),
        (["parts=[]"], "parts: nothing is chosen; leave it out for all"),
        (["presets=[]"], "presets: nothing is chosen; leave it out for all"),
        (["parts=[holdout]"], "presets: 'mlp_64_64' is in none of parts=[holdout]; choose its part too"),
        (["parts.reports.studies=[{study:curve}]"], "study=curve: no such option; did you mean 'curves'"),
        (["launcher=moon"], "hydra/launcher=moon: no such option"),
        (["overrides=['epochs=none']", "output_dir=out"], "epochs=none: must be a valid integer"),
        (["overrides=['epochs=1']"], "output_dir=docs: holds the reports' results"),
        (["overrides=['model.blocks=[]']", "output_dir=out"], " (experiment=mlp_64_64; presets=[NAME] chooses others)"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, run_command, arguments, message):
    done = run_command(tmp_path, "-m", "mnist_flow.reproduce", "presets=[mlp_64_64]", "--plan", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_that_can_not_be_written_is_told_before_anything_is_trained(tmp_path, run_command):
    (tmp_path / "out").write_text("a file\n")
    done = run_command(tmp_path, *REPRODUCE)
    assert done.returncode == 2
    assert done.stderr == "error: output_dir=out: can't be written (File exists); choose another folder\n"
    assert count_runs(tmp_path, "train") == 0
