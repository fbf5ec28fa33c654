import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from mnist_flow.runtime import environment
from support import PROJECT_DIR, command_environment


def git(folder, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The project's folder is an empty one; git heeds no variables of a hook that runs the tests."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "_PROJECT_DIR", tmp_path)
    environment.describe_code.cache_clear()
    yield tmp_path
    environment.describe_code.cache_clear()


@pytest.fixture
def repository(folder):
    """One commit with one file."""
    git(folder, "init", "--quiet")
    (folder / "code.py").write_text("x = 1\n")
    git(folder, "add", "code.py")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_packages_are_named_with_their_versions():
    packages = environment.list_packages()
    assert f"numpy=={np.__version__}" in packages
    assert all(re.fullmatch(r"[\w.-]+==\S+", package) for package in packages)
    assert packages == sorted(set(packages), key=str.lower)


def test_machine():
    machine = environment.describe_machine()
    assert machine["python"] == ".".join(map(str, sys.version_info[:3]))
    assert machine["platform"] == platform.platform()
    assert machine["processor"]
    assert machine["logical_cores"] == psutil.cpu_count() >= machine["physical_cores"] >= 1
    assert machine["memory_gib"] == pytest.approx(psutil.virtual_memory().total / 1024**3, abs=0.05)


def test_machine_knows_the_command_and_the_thread_variables(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py", "epochs=1"])
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    environment.describe_machine.cache_clear()
    machine = environment.describe_machine()
    environment.describe_machine.cache_clear()
    assert machine["command"] == ["train.py", "epochs=1"]
    assert machine["thread_variables"]["OMP_NUM_THREADS"] == "3"


def test_code_without_git(folder):
    assert environment.describe_code() == {}


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("echo 'fatal: detected dubious ownership in repository' >&2\nexit 128\n", "fatal: detected dubious ownership"),
        ("exit 1\n", "returned non-zero exit status 1"),
        (None, "No such file or directory: 'git'"),
    ],
)
def test_a_git_that_says_no_is_named(repository, tmp_path_factory, monkeypatch, caplog, program, said):
    folder = tmp_path_factory.mktemp("bin")
    if program is not None:
        (folder / "git").write_text(f"#!/bin/sh\n{program}", encoding="utf-8")
        (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    assert environment.describe_code() == {}
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("git says no, so the run does not note the commit and changes of the code: ")
    assert said in line


def test_code_as_committed(repository):
    commit = git(repository, "rev-parse", "HEAD").strip()
    assert environment.describe_code() == {"commit": commit, "dirty": False, "untracked": [], "diff": ""}


@pytest.mark.parametrize("staged", [False, True])
def test_changed_code(repository, staged):
    (repository / "code.py").write_text("x = 2\n")
    if staged:
        git(repository, "add", "code.py")
    code = environment.describe_code()
    assert code["dirty"] is True
    assert "-x = 1\n+x = 2\n" in code["diff"]
    assert code["untracked"] == []


def test_untracked_code(repository):
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "new.py").touch()
    (repository / "run.log").touch()
    code = environment.describe_code()
    assert (code["dirty"], code["untracked"], code["diff"]) == (True, [".gitignore", "new.py"], "")


def test_untracked_file_with_a_blank_in_its_name(repository):
    (repository / "my notes.txt").touch()
    assert environment.describe_code()["untracked"] == ["my notes.txt"]


def test_code_that_is_not_utf8(repository):
    (repository / "code.py").write_bytes(b"x = '\xff'\n")
    assert "+x = '\N{REPLACEMENT CHARACTER}'\n" in environment.describe_code()["diff"]


@pytest.fixture
def package(tmp_path):
    """A copy of the package, and what it says of its code."""
    shutil.copytree(PROJECT_DIR / "mnist_flow", tmp_path / "mnist_flow", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "conf").symlink_to(PROJECT_DIR / "conf")
    program = "from mnist_flow.runtime.environment import digest_code; print(digest_code())"

    def digest():
        variables = command_environment(PYTHONPATH=str(tmp_path))
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return tmp_path / "mnist_flow", digest


def test_the_code_version_changes_with_files_that_numbers_depend_on_and_nothing_else(package):
    folder, digest = package
    first = digest()
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert first == environment.digest_code()
    (folder / "notes.txt").write_text("x")
    terminal = folder / "runtime" / "terminal" / "tables.py"
    terminal.write_text(terminal.read_text() + "#\n")
    (folder / "analysis" / "new.py").touch()
    assert digest() == first
    seen, noise = {first}, folder / "data" / "noise" / "gaussian.py"
    for change in (
        lambda: noise.write_text(noise.read_text() + "#\n"),
        lambda: (folder / "models" / "new.py").touch(),
        lambda: (folder / "models" / "new.py").rename(folder / "models" / "newer.py"),
        lambda: (folder / "models" / "newer.py").unlink(),
    ):
        change()
        seen.add(digest())
    assert len(seen) == 4  # the last is the code with the first change again


def test_what_measures_logged_models_has_a_version_of_its_own():
    versions = {environment.digest_code(kind) for kind in ("train", "evaluation")}
    assert len(versions) == 2


def test_the_code_version_covers_all_that_trains():
    # What these import of other packages can change numbers, too, unless those only check, name, show or store.
    neutral = {"config", "errors", "figures", "jobs", "runtime", "tracking"}
    # Logged models are not trained, and of a task an evaluation asks for shapes alone.
    of_kind = {"train": neutral, "evaluation": {*neutral, "training", "tasks"}}
    for kind, covered in environment._NUMERICAL_PACKAGES.items():
        files = [file for name in covered for file in Path(PROJECT_DIR, "mnist_flow", name).rglob("*.py")]
        assert len(files) > 10
        imported = {name for file in files for name in re.findall(r"from mnist_flow\.([a-z_]+)", file.read_text())}
        assert imported - of_kind[kind] <= set(covered)


@pytest.mark.parametrize(
    ("cpuinfo", "processor", "told"),
    [
        ("processor : 0\nmodel name\t: Abacus 9\nmodel name\t: other\n", "arm", "Abacus 9"),
        ("processor : 0\n", "arm", "arm"),
        (None, "arm", "arm"),
        (None, "", "aarch64"),
    ],
)
def test_a_processor_has_the_name_that_the_system_gives_it(tmp_path, monkeypatch, cpuinfo, processor, told):
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo)
    monkeypatch.setattr(environment, "Path", lambda path: file)
    monkeypatch.setattr(environment.platform, "processor", lambda: processor)
    monkeypatch.setattr(environment.platform, "machine", lambda: "aarch64")
    assert environment._processor() == told
