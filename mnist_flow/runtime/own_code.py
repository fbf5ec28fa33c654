"""Python code of the user's own that a config names: the files that it consists of, and where a mistake in it is."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from mnist_flow.errors import RunError
from mnist_flow.runtime.native_output import native_stderr_hidden

# This project's own packages, whose version is known by other means.
_OURS = ("mnist_flow", "hydra_plugins")
_NOT_OWN = sys.stdlib_module_names.union(_OURS)
# Modules that configs have named in this process.
_NAMED: set[str] = set()


def note_named(module: str) -> None:
    """Note that a config names a module, so that mistakes in its files are told with their place."""
    _NAMED.add(module)


def list_own_files(module: str) -> dict[str, Path]:
    """List the files of a module of the user's own, and of all that it imports of the user's own.

    That is the module's own top-level package and modules that no package manager installed. Nothing is imported.

    Args:
        module: its full name, `lab.residual`. A module of this project has no files of the user's own.

    Returns:
        Paths of existing files by the names that Python finds them by, such as `lab/residual.py`, sorted.
    """
    own_package = module.partition(".")[0]
    found: dict[str, Path] = {}
    waiting, seen = [module], set[str]()
    while waiting:
        name = waiting.pop()
        top, _, _ = name.partition(".")
        if name in seen or top in _NOT_OWN or not (top == own_package or _is_uninstalled(top)):
            continue
        seen.add(name)
        # Python runs the files of the packages around a module, too.
        waiting += [name.rpartition(".")[0]] if "." in name else []
        if (file := _find_file(name)) is not None:
            is_package = file.name == "__init__.py"
            found[name.replace(".", "/") + ("/__init__.py" if is_package else ".py")] = file
            waiting += _list_imports(file, name if is_package else name.rpartition(".")[0])
    return dict(sorted(found.items()))


def import_quietly(module: str) -> ModuleType:
    """Import a module of the user's own; where it imports Keras, TensorFlow's start-up notices are not shown."""
    if "keras" not in sys.modules and any(
        name.partition(".")[0] in ("keras", "tensorflow")
        for file in list_own_files(module).values()
        for name in _list_imports(file, "")
    ):
        with native_stderr_hidden():
            import_module("keras")
    return import_module(module)


def list_own_objects(module: str) -> dict[str, Any]:
    """List the classes and functions that the imported files of `list_own_files` define, by their names."""
    modules = [_name_module(name) for name in list_own_files(module)]
    return {
        name: value
        for imported in modules
        if imported in sys.modules
        for name, value in vars(sys.modules[imported]).items()
        if callable(value) and getattr(value, "__module__", None) == imported
    }


@lru_cache
def digest_own_code(module: str | None) -> str | None:
    """Return the first 16 hex digits of the SHA-256 of a module's files, as `list_own_files` lists them.

    None where there are none. The files are read once: a process goes on with the code that it has imported.
    """
    files = {} if module is None else list_own_files(module)
    if not files:
        return None
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def forget_own_code(modules: Iterable[str]) -> None:
    """Forget modules of the user's own that are imported, and all of the user's own that they import.

    They are imported anew when they are needed, and their digest is that of their files as they are then.
    """
    for name in {name for module in modules for name in list_own_files(module)}:
        sys.modules.pop(_name_module(name), None)
    digest_own_code.cache_clear()
    invalidate_caches()


def locate_mistake(error: BaseException) -> str | None:
    """Tell an error that code of the user's own raised, as in `lab/net.py:12: KeyError: 'units'`.

    TensorFlow runs some code where an error loses its traceback; there its text names the place.

    Returns:
        One line, or None where the error comes from elsewhere.
    """
    files = {str(file) for module in _NAMED for file in list_own_files(module).values()}
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, SyntaxError) and current.filename in files:
            return f"{shorten_path(current.filename)}:{current.lineno}: {type(current).__name__}: {current.msg}"
        for frame in reversed(traceback.extract_tb(current.__traceback__)):
            if frame.filename in files:
                kind, said = type(current).__name__, _find_message(str(current))
                # Where TensorFlow traces a function, the message names the kind itself.
                told = said if said.startswith(kind) else f"{kind}: {said}".removesuffix(": ")
                return f"{shorten_path(frame.filename)}:{frame.lineno}: {told}"
        for file, line in reversed(re.findall(r'File "([^"]+)", line (\d+)', str(current))):
            if file in files:
                return f"{shorten_path(file)}:{line}: {_find_message(str(current))}"
        current = current.__cause__ or current.__context__
    return None


def refuse_result(function: Callable[..., Any], result: object, wanted: str, described: str | None = None) -> RunError:
    """The error that a function of an option returned what it must not.

    Args:
        function: of the user's own, or of this project.
        result: that it returned.
        wanted: what it must return, in words.
        described: the result in words; None: by its type and shape.
    """
    name, code = getattr(function, "__name__", repr(function)), getattr(inspect.unwrap(function), "__code__", None)
    shape = getattr(result, "shape", None)
    kind = type(result).__name__ if shape is None else f"{type(result).__name__} of the shape {tuple(shape)}"
    place = "" if code is None else f"{shorten_path(code.co_filename)}:{code.co_firstlineno}: "
    return RunError(f"{place}{name} returned {described or kind}; it must return {wanted}")


def locate_name(module: ModuleType, name: str) -> str:
    """Tell where a module binds a name, as in `lab/net.py:12: TASKS`; without a line where it is not found."""
    file = str(module.__file__)
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    bound = (f":{number}" for number, line in enumerate(lines, start=1) if re.match(rf"(def )?{name}\b", line))
    return f"{shorten_path(file)}{next(bound, '')}: {name}"


def shorten_path(file: str) -> str:
    """A path as it is typed in the working directory, where it lies there."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _name_module(file: str) -> str:
    """The module of a file, by its name in `list_own_files`."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_uninstalled(top: str) -> bool:
    """Whether a top-level module stands in no folder of a package manager's."""
    folder = _find_folder(top)
    return folder is not None and not any(folder.glob("*.dist-info"))


def _find_folder(top: str) -> Path | None:
    """The folder in which Python finds a top-level module; None: nowhere, or it is no file."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.has_location and spec.origin else None


def _find_file(name: str) -> Path | None:
    folder = _find_folder(name.partition(".")[0])
    if folder is None:
        return None
    place = folder.joinpath(*name.split("."))
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _list_imports(file: Path, package: str) -> Iterator[str]:
    """Names of the modules that a file may import, wherever in it; `from lab import net` names lab and lab.net."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*around, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _find_message(text: str) -> str:
    """The line of an error's text that says what is wrong: TensorFlow's texts have a traceback around it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    of_errors = [line for line in lines if re.match(r"(\{\{.*\}\} )?[A-Za-z_.]*(Error|Exception|Warning)\b", line)]
    chosen = of_errors[-1] if len(lines) > 1 and of_errors else lines[0]
    return re.sub(r"^\{\{.*?\}\} ", "", chosen)
