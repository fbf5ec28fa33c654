"""A run again: its logged config composed anew, and what is different now."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from mnist_flow import CONF_DIR, tracking
from mnist_flow.config.overrides import join_searchpath, take_config_options
from mnist_flow.errors import ConfigError, TrackingError
from mnist_flow.jobs.identity import Identity
from mnist_flow.runtime.environment import digest_code, list_packages
from mnist_flow.runtime.terminal import print_line

log = logging.getLogger(__name__)

# Keys of the machine and the moment, not of the experiment.
_LOCAL = {"data": ("path",), "training": ("checkpoint_dir",)}
_MAX_PACKAGES_SHOWN = 8


def write_config(arguments: Sequence[str], folder: str) -> list[str]:
    """Write `rerun.yaml`, a config that extends the project's own by what a run logged, and what it needs.

    Options of config groups that the run chose, and that are not there any more or were a user's own, are written as
    they were logged. Groups that the arguments choose are the project's own, not the run's.

    Args:
        arguments: run_id=ID, overrides, and options of Hydra's.
        folder: for the files; Hydra's config directory.

    Returns:
        The arguments without run_id; config directories become overrides.

    Raises:
        ConfigError: no run_id.
        TrackingError: the server does not answer, or has no such run or not its config.
    """
    arguments, own_folders, _ = take_config_options(arguments)
    values = dict(argument.partition("=")[::2] for argument in arguments if "=" in argument)
    run_id = values.get("run_id")
    if not run_id:
        raise ConfigError("run_id: missing; python -m mnist_flow.rerun run_id=ID, with an id that mlflow ui shows")
    tracking.configure(values.get("tracking.uri", "").strip("'\"") or None)
    original = tracking.fetch_run(run_id)
    logged = tracking.fetch_config(run_id)
    defaults: list[Any] = ["config"]
    for group, option in _load_choices(run_id, logged).items():
        if group in values:
            logged.pop(group, None)
        elif "/" not in group and group != "experiment" and option is not None:
            defaults.append({f"override {group}": option})
            file = f"{group}/{option}.yaml"
            if isinstance(logged.get(group), dict) and not Path(CONF_DIR, file).exists():
                if ".." in Path(file).parts:  # It would be written anywhere.
                    raise TrackingError(f"run_id={run_id}: its artifact config/hydra.yaml is no config")
                _dump(Path(folder, file), logged[group])
    # Where the run is, which a variable of the environment may have decided.
    names = {experiment_id: name for name, experiment_id in tracking.list_experiments().items()}
    if (where := original.experiment_id) not in names:
        command = tracking.describe_mlflow_command(f"mlflow experiments restore --experiment-id {where}")
        raise TrackingError(f"run_id={run_id}: its experiment {where} is deleted; restore it: {command}")
    logged["tracking"] = {"rerun_of": run_id, "experiment_name": names[where]}
    logged["resume"] = False
    for section, keys in _LOCAL.items():
        for key in keys:
            logged.get(section, {}).pop(key, None)
    # On another machine the command says where the images are.
    if Path(place := original.params.get("data.path", "None")).exists():
        logged.setdefault("data", {})["path"] = place
    _dump(Path(folder, "rerun.yaml"), {"defaults": [*defaults, "_self_"], **logged}, "# @package _global_\n")
    rest = [argument for argument in arguments if not argument.startswith("run_id=")]
    return join_searchpath(rest, own_folders)


def _dump(file: Path, content: dict[str, Any], header: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(header + yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def fetch_original(run_id: str | None, data_digest: str) -> tracking.PastRun | None:
    """Fetch the run that is to be repeated, if any, and warn of what is different now: code, data, packages.

    Raises:
        TrackingError: the server does not answer, or has no such run.
    """
    if run_id is None:
        return None
    original = tracking.fetch_run(run_id)
    if original.code != digest_code():
        log.warning("the code differs from that of run %s", original.run_id)
    if original.data_digest != data_digest:
        log.warning(
            "the data differs from that of run %s: digest %s then, %s now",
            original.run_id,
            original.data_digest or "unknown",
            data_digest,
        )
    then = set(tracking.fetch_text(original.run_id, "environment/packages.txt").split())
    now = set(list_packages())
    names = sorted({package.partition("==")[0] for package in then ^ now})
    if names:
        shown = ", ".join(names[:_MAX_PACKAGES_SHOWN]) + (" …" if len(names) > _MAX_PACKAGES_SHOWN else "")
        log.warning("%d packages differ from those of run %s: %s", len(names), original.run_id, shown)
    return original


def compare_with_original(
    original: tracking.PastRun, identity: Identity, metrics: Mapping[str, float], run: tracking.TrackedRun
) -> None:
    """Tell and tag whether a rerun's last metrics are those of its original."""
    run_id, then = original.run_id, original.metrics
    compared = sorted((set(metrics) & set(then)) - {"fit_seconds"})
    differing = [name for name in compared if metrics[name] != then[name]]
    run.set_tags({tracking.RERUN_OF_TAG: run_id, tracking.RERUN_AGREES_TAG: "differs" if differing else "identical"})
    if not differing:
        print_line(f"repeats run {run_id}: all {len(compared)} metrics are identical")
    else:
        verb = (
            "repeats"
            if identity.fingerprint == original.fingerprint
            else "has another config, other data or other code of your own than"
        )
        print_line(f"{verb} run {run_id}: {len(differing)} of {len(compared)} metrics differ")
        for name in differing:
            print_line(f"  {name}: {then[name]:.6g} then, {metrics[name]:.6g} now")


def _load_choices(run_id: str, logged: Mapping[str, Any]) -> dict[str, str | None]:
    """The config groups of a run and what was chosen of each.

    A run that was started from Python has logged no choices: each of its groups is as it was logged. Trials of a search
    once logged the default choices; the overrides that they logged beside them are right.
    """
    if not tracking.has_artifact(run_id, "config/hydra.yaml"):
        return {group: "as_logged" for group in logged if Path(CONF_DIR, group).is_dir() and group != "tracking"}
    try:
        hydra = tracking.fetch_config(run_id, "config/hydra.yaml")["hydra"]
        choices, typed = dict(hydra["runtime"]["choices"]), list(hydra["overrides"]["task"])
    except (KeyError, TypeError, ValueError) as error:
        raise TrackingError(f"run_id={run_id}: its artifact config/hydra.yaml is no config") from error
    for override in OverridesParser.create().parse_overrides(typed):
        if override.key_or_group in choices and isinstance(option := override.value(), str):
            choices[override.key_or_group] = option
    return choices
