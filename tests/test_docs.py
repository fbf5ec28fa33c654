"""The pages that people read: their length, their links, and the commands that they name."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from mnist_flow import CONF_DIR
from support import PROJECT_DIR

EXAMPLE = PROJECT_DIR / "examples" / "own_project"
PAGES = [
    *(PROJECT_DIR / "README.md", PROJECT_DIR / "CONTRIBUTING.md", EXAMPLE / "README.md"),
    *sorted((PROJECT_DIR / "docs").glob("*.md")),
]
# Stands for an option that only the reader has, or for a part of a command that may be left out.
PLACEHOLDER = re.compile(r"=NAME\b|\bFOLDER\b|…|\[overrides\]|\[tracking\.")
# What stands for a value that only the reader knows, and such a value.
VALUES = {
    "ID": "0" * 32,
    "RUN_ID": "0" * 32,
    "N": "3",
    "OTHER": "other",
    "NAME": "name",
    "FILE": "file",
    "URI": "http://host",
}
# Entry points of MLproject that call a command by another name, and configs that are not called as their command is.
ENTRY_POINTS = {"main": "train", "sweep": "train"}
CONFIGS = {"train": "config", "rerun": "config"}
RESULT_PAGES = (
    *("RESULTS", "RESULTS_CNN", "RESULTS_AUGMENTED"),
    *("HOLDOUT", "HOLDOUT_REGULARIZATION", "HOLDOUT_WIDTH", "HOLDOUT_LENET5_V2"),
    *("DENOISING", "BEYOND", "YARDSTICK", "SMALL_BATCHES", "FACTORS", "HOW_FAR", "AUGMENTED"),
    *("CONVOLUTIONAL", "CONVOLUTIONAL_PLAIN", "SHIFTS", "FAST_99"),
)


def strip_code(text: str) -> str:
    """The page without its fenced blocks and code spans, in which no link is a link."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def list_anchors(page: Path) -> set[str]:
    """The fragments that GitHub makes of the page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def list_commands(page: Path) -> list[tuple[str, list[str]]]:
    """Each `python -m mnist_flow.MODULE …` and `mlflow run . …` on the page, once, as its module and arguments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [*(line.strip() for block in blocks for line in block.splitlines()), *spans]:
        line = line.partition(" #")[0]
        if PLACEHOLDER.search(re.sub("experiment_name=NAME", "", line)):
            continue
        line = re.sub(r"\b(ID|RUN_ID|N|OTHER|NAME|FILE|URI)\b", lambda found: VALUES[found[0]], line)
        if match := re.match(r"python -m mnist_flow\.(\w+)", line):
            found.append((match[1], shlex.split(line, comments=True)[3:]))
        elif match := re.match(r"mlflow run \. .*-P overrides=", line):
            words = shlex.split(line, comments=True)
            entry = words[words.index("-e") + 1] if "-e" in words else "main"
            overrides = next(word for word in words if word.startswith("overrides=")).removeprefix("overrides=")
            found.append((ENTRY_POINTS.get(entry, entry), shlex.split(overrides)))
    return [command for number, command in enumerate(found) if command not in found[:number]]


def list_jobs(overrides: list[str]) -> list[list[str]]:
    """Few jobs of the sweep that have each choice of each key at least once, and of numbers the first and the last."""
    choices = []
    for override in OverridesParser.create().parse_overrides(overrides):
        values = list(override.sweep_string_iterator()) if override.is_discrete_sweep() else None
        if override.is_sweep_override() and values is None:
            # An interval, of a search.
            values = [str(override.value().start)]
        if values and all(re.fullmatch(r"[\d.e+-]+", value) for value in values):
            values = values[:: max(1, len(values) - 1)]
        choices.append([f"{override.key_or_group}={value}" for value in values] if values else [override.input_line])
    count = max(map(len, choices), default=1)
    return [[values[number % len(values)] for values in choices] for number in range(count)]


@pytest.mark.parametrize(("name", "most"), [("README.md", 180), ("CONTRIBUTING.md", 70)])
def test_the_first_pages_are_short(name, most):
    assert len((PROJECT_DIR / name).read_text().splitlines()) <= most


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_DIR)))
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", strip_code(page.read_text())):
        if re.match(r"https?://", target):
            continue
        path, _, fragment = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert not fragment or fragment in list_anchors(file), f"{page.name}: {target}"


def test_the_index_lists_every_page():
    index = (PROJECT_DIR / "docs" / "README.md").read_text()
    for page in sorted((PROJECT_DIR / "docs").glob("*.md")):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_DIR)))
def test_commands_name_modules_and_compose(page):
    for module, arguments in list_commands(page):
        assert importlib.util.find_spec(f"mnist_flow.{module}"), module
        words = [word for word in arguments if "=" in word and not word.startswith("run_id=")]
        if "--config-dir" in arguments and page.parent == EXAMPLE:
            words.append(f"hydra.searchpath=[file://{EXAMPLE / 'conf'}]")
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            for overrides in list_jobs(words):
                compose(CONFIGS.get(module, module), overrides)


def test_the_readme_has_commands_to_compose():
    """Otherwise the test above would pass on a page that it does not understand."""
    commands = list_commands(PROJECT_DIR / "README.md")
    assert ("train", ["-m", "reg=1e-6,1e-5,1e-4"]) in commands
    assert ("train", ["model=lenet5", "epochs=2", "reg=1e-5"]) in commands
    assert list_jobs(["a=1,5,1e-6", "b=range(3)", "c=[x,y]", "d=x,y,z"]) == [
        ["a=1", "b=0", "c=[x,y]", "d=x"],
        ["a=1e-06", "b=2", "c=[x,y]", "d=y"],
        ["a=1", "b=0", "c=[x,y]", "d=z"],
    ]


def test_results_in_the_readme_are_those_of_the_pages_made_from_runs():
    written = "".join((PROJECT_DIR / "docs" / f"{name}.md").read_text() for name in RESULT_PAGES)
    # A mean with its spread, with or without the number of runs, or a single run.
    pattern = r"[\d.]+ ± [\d.]+ %(?: \(\d+\))?|[\d.]+ % \(\d+\)"
    results = re.findall(pattern, (PROJECT_DIR / "README.md").read_text())
    assert len(results) >= 10
    assert [result for result in results if result not in written] == []


def test_contributing_names_every_package_and_files_that_exist():
    text = (PROJECT_DIR / "CONTRIBUTING.md").read_text()
    packages = {file.parent.name for file in (PROJECT_DIR / "mnist_flow").glob("*/*.py")}
    assert {name for name in packages if f"| `{name}/` |" not in text} == set()
    paths = re.findall(r"`((?:mnist_flow|conf|docs|benchmarks)/[\w/.]+)`", text)
    assert len(paths) > 5
    # NAME and FAMILY stand for what is added.
    folders = [re.sub(r"/(?:NAME|FAMILY)\.\w+$", "", path) for path in paths]
    assert [path for path in folders if not (PROJECT_DIR / path).exists()] == []


def test_contributing_names_functions_where_they_are():
    rows = re.findall(r"`(mnist_flow/[\w/]+\.py)`: `(\w+)`", (PROJECT_DIR / "CONTRIBUTING.md").read_text())
    named = [(path, name) for path, name in rows if not re.search(r"NAME|FAMILY", path)]
    assert len(named) == 5
    for path, name in named:
        assert re.search(rf"^(?:def|class) {name}\b", (PROJECT_DIR / path).read_text(), re.MULTILINE), f"{path}: {name}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".github/workflows/ci.yml"])
def test_make_has_the_targets_that_are_named(name):
    targets = re.findall(r"^([a-z-]+):", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|^|run: )make ([a-z-]+)", (PROJECT_DIR / name).read_text(), re.MULTILINE)
    assert named
    assert set(named) - set(targets) == set()
