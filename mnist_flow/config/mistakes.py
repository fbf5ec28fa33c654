"""What Hydra and OmegaConf say of a wrong config, told in one line with the choices and the remedy."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from mnist_flow import CONF_DIR
from mnist_flow.config.overrides import join_searchpath, take_config_options, type_override, write_override
from mnist_flow.config.section import flatten
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import UserError
from mnist_flow.runtime.suggestions import did_you_mean

# Library that launches jobs → option of hydra/launcher, and extra of this project that installs it.
_LAUNCHERS = {"joblib": ("local_pool", "parallel"), "ray": ("ray", "ray"), "submitit": ("slurm", "slurm")}

# Start of the message of the ValueError that Hydra raises for model=null.
NO_OPTION = "Config group override must be a string or a list"


def describe_mistake(
    error: BaseException | None, config_name: str, arguments: Sequence[str], remedy: str = "add -m"
) -> str:
    """Describe an error that Hydra or OmegaConf raised.

    Args:
        config_name: name of the command's config, in which a key that was misspelt is looked for.
        arguments: what was typed.
        remedy: of several values of a key that takes one.
    """
    text = str(error)
    if NO_OPTION in text:
        typed = [one for one in arguments if one.endswith("=null") and "." not in one]
        return f"{' '.join(typed)}: a config group is filled by one of its options; leave it out for the default"
    # Hydra names the file, such as experiment/mine, whose defaults list is wrong.
    if (listing := re.match(r"In '(.+/.+)': Could not (override|find) '([^']+)'", text)) and "Available" not in text:
        file, wanted, entry = listing.groups()
        if "@" in entry:
            return f"{file}.yaml: chooses options of other groups, so its first line must be '# @package _global_'"
        if wanted == "find":
            remedy = "another group's option is chosen by 'override /model: mlp'"
            return f"{file}.yaml: its defaults name {entry}, and there is no such file; {remedy}"
        return f"{file}.yaml: {_describe_unknown_key(entry, config_name, arguments)}"
    if unknown := re.search(r"Could not override '([^'@]+)|Key '[^']+' is not in struct\s+full_key: (\S+)", text):
        return _describe_unknown_key(unknown[1] or unknown[2], config_name, arguments)
    # Hydra lists the options for group=NAME, but not for group=[NAME].
    if isinstance(error, MissingConfigException) and (of_list := re.search(r"Could not load '(.+)/([^/']+)'", text)):
        choices = sorted(path.stem for path in Path(CONF_DIR, of_list[1]).glob("*.yaml"))
        return _describe_unknown_option(of_list[1], of_list[2], choices)
    if isinstance(error, MissingConfigException) and (listed := re.search(r"Available options in '(.+)':\s", text)):
        group, choices = listed[1], text[listed.end() :].split("Config search path")[0].split()
        option = re.search(rf"'{group}/([^']+)'", text)
        name = option[1] if option else "?"
        return _describe_unknown_option(group, name, choices)
    if absent := re.search(r"Error locating target 'hydra_plugins\.hydra_(joblib|ray|submitit)_launcher", text):
        launcher, extra = _LAUNCHERS[absent[1]]
        remedy = f"in the project's folder: pip install '.[{extra}]'"
        return f"hydra/launcher={launcher}: {absent[1]}'s launcher is not installed; {remedy}"
    line = " ".join(line.strip() for line in text.splitlines() if line.strip())
    if isinstance(error, OverrideParseException):
        key, _, value = str(error.override).partition("=")
        if re.match(r"((tag|int|float|sort|shuffle)\(.*)?(interval|range|choice)\(", value):
            examples = "'interval(0.001,1)', 'tag(log,interval(0.001,1))', 'range(1,10)' or 'choice(a,b)'"
            return f"{error.override}: is no range that Hydra can read; write {examples}"
        if re.fullmatch(r"[A-Za-z_][\w./]*", str(error.override)):
            following = next((two for one, two in pairwise(arguments) if one == error.override), "VALUE")
            return f"{error.override}: has no value; write {key}={'VALUE' if '=' in following else following}"
        if value and not value.startswith(("[", "{")):
            return f"{error.override}: Hydra can't read the value without quotes; as text: {type_override(key, value)}"
        reason = line.split(" See https://")[0]
        if value.startswith("[") and "=" in value:
            # A comma within an element has no key behind it.
            elements = [
                one.strip(" '\"") for one in re.split(r",(?=\s*['\"]?[\w./@+~]+=)", value[1:].removesuffix("]"))
            ]
            return f"{error.override}: {reason}; quote its elements: {type_override(key, elements)}"
        return f"{error.override}: {reason}; quote lists: 'model.hidden_units=[200,100]'"
    if ambiguous := re.search(r"Ambiguous value for argument '([^=]+)=(.*)'$", text, re.MULTILINE):
        return _describe_several_values(ambiguous[1], ambiguous[2], config_name, arguments, remedy)
    return line


def _describe_unknown_option(group: str, name: str, choices: Sequence[str]) -> str:
    return f"{group}={name}: no such option{did_you_mean(name, choices)} Choices: {' '.join(choices)}"


def _describe_unknown_key(key: str, config_name: str, arguments: Sequence[str]) -> str:
    known = sorted(_list_keys(config_name, arguments))
    group, _, name = key.rpartition(".")
    paths = sorted(Path(CONF_DIR, group).glob("*.yaml")) if group else []
    files: dict[str, Any] = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in paths}
    # The keys of a preset are those of the whole config.
    own = {option: file.get(group, {} if group == "experiment" else file) for option, file in files.items()}
    having = {option: files[option] for option, keys in own.items() if name in keys}
    # An option that inherits from another one of its group has the same keys.
    inherits = {
        option: {str(one).partition("@")[0] for one in file.get("defaults", ())} for option, file in having.items()
    }
    bases = [option for option in having if not inherits[option] & files.keys()]
    if options := bases or list(having):
        return f"{key}: no such key with the chosen {group}; it belongs to {group}={' or '.join(options)}"
    if key in _list_keys(config_name, ()):
        return f"{key}: no such key with the groups that are chosen; choose its group too, or leave out the choice"
    sections = {path[:end] for path in known for end, letter in enumerate(path) if letter == "."}
    others = [section for section in sorted(sections) if not f"{key}.".startswith(f"{section}.")]
    return f"{key}: unknown key{did_you_mean(key, others + known)} --help lists the keys."


def _describe_several_values(key: str, value: str, config_name: str, arguments: Sequence[str], remedy: str) -> str:
    """Tell how several values may be meant, as far as the key takes them so."""
    file: Any = OmegaConf.to_container(OmegaConf.load(Path(CONF_DIR, f"{config_name}.yaml")))
    groups = {name: option for one in file["defaults"] if isinstance(one, dict) for name, option in one.items()}
    if (name := key.lstrip("+")) in groups:
        takes_list, takes_text = isinstance(groups[name], list), False
    else:
        cfg = _compose(config_name, arguments)
        forms = f"{key}=[{value}]", write_override(key, value)
        takes_list, takes_text = (_takes(config_name, cfg, form) for form in forms)
    meant = [f"as a sweep: {remedy}"]
    if takes_list:
        meant.append(f"as a list: '{key}=[{value}]'")
    if takes_text:
        meant.append(f"as text: {type_override(key, value)}")
    return f"{key}={value}: has several values; {', '.join(meant)}"


def _takes(config_name: str, cfg: DictConfig, text: str) -> bool:
    """Whether a command's schema takes an override in this config."""
    name = {"config": "train"}.get(config_name, config_name)
    schema = getattr(import_module(f"mnist_flow.config.{name}"), f"{name.title()}Config")
    try:
        override = OverridesParser.create().parse_override(text)
        OmegaConf.update(changed := copy.deepcopy(cfg), key := override.key_or_group, override.value())
        validate_config(changed, schema)
    except (HydraException, OmegaConfBaseException):
        return False
    except UserError as error:
        # What is wrong with another key is no matter here.
        return not re.search(rf"(^|; ){re.escape(key)}[=\[]", str(error))
    return True


def _list_keys(config_name: str, arguments: Sequence[str]) -> dict[str, Any]:
    return flatten(_compose(config_name, arguments))


def _compose(config_name: str, arguments: Sequence[str]) -> DictConfig:
    """Compose a config with the options that were chosen; with the default ones where these don't compose."""
    overrides, folders, typed_name = take_config_options(arguments)
    # Hydra looks for the config that is named in the first of these alone.
    first, *others = map(str, [*folders, CONF_DIR] if typed_name else [CONF_DIR, *folders])
    parser, chosen = OverridesParser.create(), []
    try:
        for argument in join_searchpath(overrides, others):
            key = argument.partition("=")[0].lstrip("+")
            if key == "hydra.searchpath":
                chosen.append(argument)
            elif "/" not in key and Path(CONF_DIR, key).is_dir():
                override = parser.parse_override(argument)
                value = next(override.sweep_string_iterator(), None) if override.is_sweep_override() else None
                chosen.append(argument if value is None else f"{key}={value}")
        with initialize_config_dir(first, version_base="1.3"):
            return compose(typed_name or config_name, chosen)
    except (HydraException, OmegaConfBaseException):
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            return compose(config_name)


def describe_unreadable(error: BaseException) -> str | None:
    """Describe what is wrong with a YAML file that can't be read, with its line; None where the error is another.

    Hydra raises what the parser raises, or the decoder of a file that is not in UTF-8, which does not know its name.
    """
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        said = error.problem or error.context
        # What has no end begins there; the parser finds that in a later line.
        if error.problem and error.context_mark and error.context_mark.line != mark.line:
            said = f"{said} ({error.context} that begins in line {error.context_mark.line + 1})"
        return f"{mark.name}, line {mark.line + 1}: is no YAML: {said}; correct the file"
    if isinstance(error, UnicodeDecodeError) and (files := list(_list_read_files(error))):
        return f"{files[-1]}: is not in UTF-8 ({error.reason}); save the file in that encoding"
    return None


def _list_read_files(error: BaseException) -> Iterator[str]:
    """List the config files that Hydra was reading when this error was raised."""
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == "file_config_source.py":
            yield from (str(value) for name, value in trace.tb_frame.f_locals.items() if name == "full_path")
        trace = trace.tb_next
