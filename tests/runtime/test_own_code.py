"""Code of a user's own: which files it consists of, and how a mistake in it is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mnist_flow.errors import ConfigError
from mnist_flow.runtime.own_code import (
    digest_own_code,
    forget_own_code,
    import_quietly,
    list_own_files,
    list_own_objects,
    locate_mistake,
    note_named,
    refuse_result,
)

FILES = {
    "lab/__init__.py": "",
    "lab/net.py": "import json\nimport numpy\nfrom . import parts\ndef build():\n    from helpers.far import reach\n",
    "lab/parts.py": "import lab.net\nfrom lab.deep.inner import value\n",
    "lab/deep/__init__.py": "raise SystemExit('is not to be run')\n",
    "lab/deep/inner.py": "from mnist_flow import config\n",
    "lab/unused.py": "",
    "helpers/far.py": "",
    "bought/__init__.py": "",
}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder with a package of a user's own and another one beside it, on Python's path."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    digest_own_code.cache_clear()
    yield tmp_path
    digest_own_code.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[name]


def test_own_code_is_the_module_and_all_of_ones_own_that_it_imports(lab):
    names = ["helpers/far.py", "lab/__init__.py", "lab/deep/__init__.py", "lab/deep/inner.py", "lab/net.py"]
    assert list_own_files("lab.net") == {name: lab / name for name in [*names, "lab/parts.py"]}
    assert not {"lab", "lab.net"} & sys.modules.keys()


def test_what_a_package_manager_installed_is_not_ones_own_unless_it_is_the_option_itself(lab):
    (lab / "bought-1.0.dist-info").mkdir()
    assert "helpers/far.py" not in list_own_files("lab.net")
    assert list_own_files("bought") == {"bought/__init__.py": lab / "bought/__init__.py"}


def test_this_projects_own_modules_are_nobody_elses():
    assert list_own_files("mnist_flow.data.sets.files") == {}
    assert digest_own_code("mnist_flow.data.sets.files") is None
    assert digest_own_code(None) is None


@pytest.mark.parametrize("name", ["lab/net.py", "lab/deep/inner.py", "helpers/far.py"])
def test_the_digest_changes_with_each_of_the_files(lab, name):
    before = digest_own_code("lab.net")
    digest_own_code.cache_clear()
    assert digest_own_code("lab.net") == before
    (lab / name).write_text("# changed\n" + FILES[name])
    digest_own_code.cache_clear()
    assert digest_own_code("lab.net") != before


def test_a_file_that_python_can_not_read_is_own_code_all_the_same(lab):
    (lab / "lab/parts.py").write_text("def (")
    assert "lab/parts.py" in list_own_files("lab.net")


def test_a_mistake_is_told_with_the_innermost_line_of_ones_own(lab, monkeypatch):
    (lab / "lab/net.py").write_text("import json\ndef build(units):\n    return json.loads(units)\n")
    note_named("lab.net")
    monkeypatch.chdir(lab)
    with pytest.raises(TypeError) as raised:
        import_quietly("lab.net").build(3)
    assert locate_mistake(raised.value).startswith(f"{Path('lab/net.py')}:3: TypeError: the JSON object must be str")
    assert locate_mistake(ValueError("of nobody's")) is None
    within = ConfigError("of ours")
    within.__cause__ = raised.value
    assert locate_mistake(within) == locate_mistake(raised.value)


def test_a_mistake_that_tensorflow_tells_as_a_text_has_its_place(lab, monkeypatch):
    note_named("lab.net")
    monkeypatch.chdir(lab)
    text = f'IndexError: no such row\nTraceback (most recent call last):\n\n  File "{lab}/lab/net.py", line 7, in f\n'
    assert locate_mistake(RuntimeError("{{function_node x}} " + text)) == "lab/net.py:7: IndexError: no such row"


def test_a_wrong_result_names_the_function_that_gave_it(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    line = digest_lines.__code__.co_firstlineno
    told = f"test_own_code.py:{line}: digest_lines returned NoneType; it must return a number"
    assert str(refuse_result(digest_lines, None, "a number")) == told


def digest_lines() -> None:
    """A function that returns nothing."""


def test_what_the_imported_files_define_is_listed_and_forgotten(lab):
    (lab / "lab" / "deep" / "__init__.py").write_text("def dig():\n    pass\n")
    (lab / "lab" / "net.py").write_text("from json import dumps\nfrom lab.deep import dig\nclass Net:\n    size = 3\n")
    assert list_own_objects("lab.net") == {}
    net = import_quietly("lab.net")
    assert list_own_objects("lab.net") == {"Net": net.Net, "dig": net.dig}
    before = digest_own_code("lab.net")
    (lab / "lab" / "net.py").write_text("class Net:\n    size = 40\n")
    # A process goes on with what it has imported.
    assert (digest_own_code("lab.net"), import_quietly("lab.net").Net.size) == (before, 3)
    forget_own_code(["lab.net"])
    assert "lab.net" not in sys.modules
    assert import_quietly("lab.net").Net.size == 40
    assert digest_own_code("lab.net") != before
