"""A mistake in code of a user's own, of every kind that there is: one line with its file and line."""

from __future__ import annotations

import shutil

import pytest

TRAIN = ("train", "data=digits", "model=mlp_100", "epochs=1")
# kind → the class that its Config inherits, the function, further lines, and the command that uses it
KINDS = {
    "data": ("config.train.DataSection", "load(path)", "", ("train", "data=mine")),
    "model": ("config.train.ModelSection", "build(config, info)", "", (*TRAIN, "model=mine")),
    "loss": ("config.train.LossSection", "build_loss(config)", "", (*TRAIN, "loss=mine")),
    "noise": (
        "config.train.NoiseSection",
        "add_noise(images, level, rng)",
        "    level_key = 'level'\n    level: float = 0.5\n",
        (*TRAIN, "noise=mine"),
    ),
    "augmentation": (
        "config.train.AugmentationSection",
        "draw_transforms(config, n, size, rng)",
        "",
        (*TRAIN, "augmentation=mine"),
    ),
    "schedule": ("config.train.ScheduleSection", "build_schedule(*arguments)", "", (*TRAIN, "schedule=mine")),
    "measure": ("config.OptionSection", "measure(name, config, subject)", "", ("evaluate", "measure=mine")),
    "study": ("config.analyze.StudySection", "draw(runs, study)", "", ("analyze", "study=mine")),
}
FILES = {
    "data": "defaults: [digits, _self_]\n",
    "model": "family: mine\n",
    "measure": "# @package measure.mine\n",
    "study": "experiments: [mnist_flow]\nfilter: null\n",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, run_command):
    """A folder with a run that can be measured and drawn."""
    folder = tmp_path_factory.mktemp("trained")
    done = run_command(folder, "-m", "mnist_flow.train", *TRAIN[1:])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_mistake_is_told_with_its_file_and_line(kind, trained, run_command):
    parent, function, lines, (command, *overrides) = KINDS[kind]
    name = "" if kind == "measure" else "name: mine\n"
    option = trained / f"conf/{kind}/mine.yaml"
    option.parent.mkdir(parents=True, exist_ok=True)
    option.write_text(f"{FILES.get(kind, '')}module: lab.{kind}\n{name}")
    place, base = parent.rpartition(".")[::2]
    head = (
        f"from mnist_flow.{place} import {base}\nTASKS = ['classification']\nclass Config({base}):\n{lines}    pass\n"
    )
    file = trained / f"lab/{kind}.py"
    file.parent.mkdir(exist_ok=True)

    def run(body: str) -> tuple[int, str]:
        shutil.rmtree(trained / "lab/__pycache__", ignore_errors=True)
        file.write_text(f"{head}{body}\n")
        arguments = ("--config-dir", "conf", "resume=false", *overrides) if command != "analyze" else overrides
        config_dir = () if command != "analyze" else ("--config-dir", "conf")
        done = run_command(trained, "-m", f"mnist_flow.{command}", *config_dir, *arguments)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr.splitlines()[-1]

    line = head.count("\n") + 2
    module = f"{kind}.mine.module" if kind == "measure" else f"{kind}.module"
    assert run(f"def {function}:\n    return 1 +") == (
        2,
        f"error: {module}=lab.{kind}: can't be imported: lab/{kind}.py:{line}: SyntaxError: invalid syntax",
    )
    assert run("def other():\n    pass")[0] == 2
    # Data are loaded before a run begins.
    of_data = kind == "data"
    told_before, told_after = (
        ("data.module=lab.data: ", "") if of_data else ("", " (HYDRA_FULL_ERROR=1 shows the traceback)")
    )
    status, told = run(f"def {function}:\n    raise KeyError('units')")
    assert (status, told) == (
        2 if of_data else 1,
        f"error: {told_before}lab/{kind}.py:{line}: KeyError: 'units'{told_after}",
    )
    status, told = run(f"def {function}:\n    return 'text'")
    assert status == (2 if of_data else 1)
    assert f"lab/{kind}.py:{line - 1}: {function.partition('(')[0]} returned str; it must return " in told


@pytest.mark.parametrize(
    ("kind", "wrong", "told"),
    [
        ("measure", "TASKS = ('sorting',)", "lab/measure.py:2: TASKS=('sorting',): must be a tuple of some of classi"),
        (
            "model",
            "task = 'sorting'",
            "lab/model.py:3: ValueError: task='sorting': must be one of classification recon",
        ),
    ],
)
def test_a_task_that_there_is_not_is_told_before_anything_starts(kind, wrong, told, trained, run_command):
    parent, function, _, (command, *overrides) = KINDS[kind]
    option, file = trained / f"conf/{kind}/mine.yaml", trained / f"lab/{kind}.py"
    option.parent.mkdir(parents=True, exist_ok=True)
    option.write_text(f"{FILES[kind]}module: lab.{kind}\n" + ("" if kind == "measure" else "name: mine\n"))
    file.parent.mkdir(exist_ok=True)
    place, base = parent.rpartition(".")[::2]
    inside = ("", wrong) if kind == "measure" else (wrong, "")
    file.write_text(
        f"from mnist_flow.{place} import {base}\n{inside[1]}\nclass Config({base}):\n    {inside[0] or 'pass'}\n"
        f"def {function}:\n    pass\n"
    )
    done = run_command(trained, "-m", f"mnist_flow.{command}", "--config-dir", "conf", *overrides)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert told in done.stderr
