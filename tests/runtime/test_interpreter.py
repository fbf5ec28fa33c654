"""What other programs have set for Python and its libraries."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from mnist_flow.errors import ConfigError
from mnist_flow.runtime import interpreter
from mnist_flow.runtime.interpreter import check_interpreter, describe_broken_library, settle_libraries


@pytest.mark.parametrize(
    ("optimize", "warnings", "line"),
    [
        (0, [], None),
        (1, ["default", "error:::my_package", "ignore"], None),
        (2, [], "PYTHONOPTIMIZE=2, or python -OO: "),
        (0, ["ignore", "error"], "PYTHONWARNINGS=error, or python -W error: "),
        (0, ["error"], "PYTHONWARNINGS=error, or python -W error: "),
    ],
)
def test_options_with_which_no_library_can_be_imported_are_refused(monkeypatch, optimize, warnings, line):
    python = SimpleNamespace(flags=SimpleNamespace(optimize=optimize), warnoptions=warnings)
    monkeypatch.setattr(interpreter, "sys", python)
    if line is None:
        check_interpreter()
    else:
        with pytest.raises(ConfigError, match=f"^{line}"):
            check_interpreter()


@pytest.mark.parametrize(("given", "kept"), [("cpp", None), ("python", "python"), ("upb", "upb"), (None, None)])
def test_variables_of_other_programs_are_overruled(monkeypatch, given, kept):
    name = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.delenv(name, raising=False)
    if given is not None:
        monkeypatch.setenv(name, given)
    settle_libraries()
    assert os.environ["MPLBACKEND"] == "agg"
    assert os.environ.get(name) == kept


@pytest.fixture
def import_library(tmp_path, monkeypatch):
    """Import a package with this source; returns the error."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(source):
        (tmp_path / "broken_library").mkdir()
        (tmp_path / "broken_library" / "__init__.py").write_text("from broken_library.part import x\n")
        (tmp_path / "broken_library" / "part.py").write_text(source)
        try:
            import broken_library  # noqa: F401
        except Exception as error:
            return error
        finally:
            for name in [name for name in sys.modules if name.startswith("broken_library")]:
                del sys.modules[name]

    return call


def test_a_library_that_can_not_be_imported_is_named_with_the_last_line(import_library):
    error = import_library("raise ValueError('''a page\\n  of text\\n\\n  NAME=x is wrong\\n''')")
    # The part is of the package that was imported.
    assert describe_broken_library(error) == (
        "broken_library can't be imported: ValueError: NAME=x is wrong; unset the variable that it names, if any, or "
        "install the project's packages again"
    )


def test_the_library_that_was_imported_is_named_and_not_one_that_it_needs(import_library, tmp_path):
    (tmp_path / "needed_library.py").write_text("raise ValueError('too old')\n")
    told = describe_broken_library(import_library("import needed_library\n"))
    assert told.startswith("broken_library can't be imported: ValueError: too old; ")


def test_an_error_without_a_reason_says_so(import_library):
    assert "ImportError: for no reason given; unset " in describe_broken_library(import_library("raise ImportError"))


def test_errors_that_are_raised_elsewhere_are_no_librarys():
    def fail():
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as raised:
        fail()
    assert describe_broken_library(raised.value) is None
    assert describe_broken_library(None) is None


def test_an_error_of_this_project_is_not_the_librarys_that_called_it(import_library):
    error = import_library("from mnist_flow.config.section import flatten\nx = flatten(3)\n")
    assert isinstance(error, AttributeError | TypeError)
    assert describe_broken_library(error) is None
