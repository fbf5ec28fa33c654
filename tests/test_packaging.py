"""What installs the project agrees with itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
import yaml
from packaging.requirements import Requirement

from support import PROJECT_DIR, command_environment

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


@pytest.fixture
def pretend_python(tmp_path):
    """A Python that says it runs elsewhere: `pretend_python(system=…, machine=…, libc=…, version=…)` is its path."""

    def write(system="Linux", machine="x86_64", libc="glibc", version=(3, 11)):
        program = tmp_path / "python"
        program.write_text(
            f"""#!{sys.executable}
import platform, sys
platform.system, platform.machine = lambda: {system!r}, lambda: {machine!r}
platform.libc_ver, sys.version_info = lambda: ({libc!r}, ""), {version}
if sys.argv[1] == "-c":
    exec(sys.argv[2])
""",
            encoding="utf-8",
        )
        program.chmod(0o755)
        return program

    return write


def make_environment(folder, python):
    """`make` up to the check of the Python that the environment would be made with."""
    command = [
        "make",
        "--no-print-directory",
        f"VENV={folder / 'venv'}",
        f"PYTHON={python}",
        f"{folder}/venv/bin/python",
    ]
    return subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("elsewhere", "message"),
    [
        (
            {"system": "Darwin", "machine": "x86_64"},
            "error: TensorFlow has no package for Darwin on x86_64; see README, Platforms",
        ),
        (
            {"system": "Windows", "machine": "ARM64"},
            "error: TensorFlow has no package for Windows on ARM64; see README, Platforms",
        ),
        ({"machine": "riscv64"}, "error: TensorFlow has no package for Linux on riscv64; see README, Platforms"),
        (
            {"libc": ""},
            "error: TensorFlow has no package for Linux without glibc (Alpine, for one); see README, Platforms",
        ),
        ({"version": (3, 14)}, "is Python 3.14; 3.11 to 3.13 is needed: make PYTHON=python3.11 …"),
    ],
)
def test_a_platform_without_packages_is_named_before_anything_is_installed(
    elsewhere, message, tmp_path, pretend_python
):
    done = make_environment(tmp_path, pretend_python(**elsewhere))
    assert done.returncode != 0
    assert message in done.stderr
    assert "Creating" not in done.stdout
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("here", [{"machine": "aarch64"}, {"system": "Darwin", "machine": "arm64", "libc": ""}])
def test_a_platform_with_packages_goes_on(here, tmp_path, pretend_python):
    assert "Creating" in make_environment(tmp_path, pretend_python(**here)).stdout


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.13"])
@pytest.mark.parametrize(
    "platform", ["x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"]
)
def test_all_pins_have_wheels_on_the_platforms_of_the_readme(platform, version, tmp_path):
    """But for one package of pure Python, which hydra-core needs in a version without wheels."""
    command = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "requirements.txt",
        "--no-deps",
        "--output-file",
        tmp_path / "pins.txt",
    ]
    wheels = ["--only-binary", ":all:", "--no-binary", "antlr4-python3-runtime"]
    where = ["--python-platform", platform, "--python-version", version]
    environment = command_environment()
    done = subprocess.run([*command, *wheels, *where], cwd=PROJECT_DIR, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tensorflow==2.21.0" in (tmp_path / "pins.txt").read_text(encoding="utf-8")
