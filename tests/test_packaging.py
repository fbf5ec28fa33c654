"""What installs the project agrees with itself."""

from __future__ import annotations

import re
import sys
import tomllib
import zipfile

import pytest
import yaml
from packaging.requirements import Requirement

from support import PROJECT_DIR

PYPROJECT = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())["project"]
REQUIREMENTS = sorted(path.name for path in PROJECT_DIR.glob("requirements*.txt"))
CONDA = yaml.safe_load((PROJECT_DIR / "conda.yaml").read_text())["dependencies"]


def read_pins(name: str) -> dict[str, set[str]]:
    """Versions of each package; the lock may hold one for each Python."""
    pins: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([\w.+]+)", (PROJECT_DIR / name).read_text(), re.MULTILINE):
        pins.setdefault(package.lower(), set()).add(version)
    return pins


def assert_pinned(requirements: list[str], pins: dict[str, set[str]]) -> None:
    for text in requirements:
        requirement = Requirement(text)
        versions = pins[requirement.name.lower()]
        assert all(requirement.specifier.contains(version) for version in versions), f"{text} is pinned to {versions}"


def test_every_dependency_is_pinned_as_pyproject_allows():
    assert_pinned(PYPROJECT["dependencies"], read_pins("requirements.txt"))
    assert_pinned(PYPROJECT["optional-dependencies"]["parallel"], read_pins("requirements.txt"))
    for extra in ("parallel", "ray", "slurm", "server"):
        assert_pinned(PYPROJECT["optional-dependencies"][extra], read_pins("requirements-cluster.txt"))
    assert_pinned(PYPROJECT["optional-dependencies"]["dev"], read_pins("requirements-dev.txt"))
    for extra in ("parallel", "bench"):
        assert_pinned(PYPROJECT["optional-dependencies"][extra], read_pins("requirements-bench.txt"))


def test_the_pins_for_a_cluster_and_for_development_are_the_same_and_more():
    run, cluster, dev = map(read_pins, ("requirements.txt", "requirements-cluster.txt", "requirements-dev.txt"))
    assert run.items() < cluster.items() < dev.items()


def test_the_benchmarks_run_the_pinned_project():
    run, bench = map(read_pins, ("requirements.txt", "requirements-bench.txt"))
    assert run.items() < bench.items()


def test_the_pins_with_tensorflow_mlflow_ray_and_submitit_fit_together(run_command):
    """Of what is installed here, which make test installed from requirements-dev.txt."""
    done = run_command(PROJECT_DIR, "-m", "pip", "check")
    assert done.stdout == "No broken requirements found.\n"


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_pin_has_a_hash_and_neither_index_nor_path_is_named(name):
    text = (PROJECT_DIR / name).read_text()
    pinned = re.findall(r"^\S+==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(pinned) > 50
    assert all("--hash=sha256:" in block for block in pinned)
    rest = re.sub(r"^(\S+==.*|    --hash=sha256:[0-9a-f]{64}.*|#.*)\n", "", text, flags=re.MULTILINE)
    assert rest == ""
    # Neither addresses nor paths, and of pip's options only the hashes.
    assert "/" not in text
    assert set(re.findall(r"--[a-z-]+", text)) == {"--hash"}


def test_conda_installs_the_same_pins_on_a_python_that_is_allowed():
    python = next(text for text in CONDA if isinstance(text, str) and text.startswith("python="))
    pip = next(entry["pip"] for entry in CONDA if isinstance(entry, dict))
    assert pip == ["-r requirements.txt"]
    assert Requirement(f"python{PYPROJECT['requires-python']}").specifier.contains(python.removeprefix("python="))


def test_extras_are_there():
    assert set(PYPROJECT["optional-dependencies"]) == {"parallel", "ray", "slurm", "server", "gpu", "bench", "dev"}


def test_a_wheel_carries_the_config(tmp_path, run_command):
    done = run_command(
        PROJECT_DIR,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "--wheel-dir",
        str(tmp_path),
        ".",
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    shown = run_command(tmp_path, "-m", "mnist_flow.train", "--cfg", "job", "model=lenet5", PYTHONPATH=str(installed))
    assert "name: lenet5" in shown.stdout
    where = run_command(tmp_path, "-c", "import mnist_flow; print(mnist_flow.CONF_DIR)", PYTHONPATH=str(installed))
    assert where.stdout.startswith(str(installed)), sys.path
