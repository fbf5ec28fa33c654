"""The story of `python -m mnist_flow.sync`: send each record that is kept, say what became of it."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from mnist_flow import tracking
from mnist_flow.config.sync import SyncConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import RunError
from mnist_flow.runtime.terminal import print_line


def deliver_records(cfg: DictConfig) -> int:
    """Deliver every record of `tracking.undelivered_dir`, each exactly once, also when this breaks off and is repeated.

    Args:
        cfg: the config that Hydra composed from conf/sync.yaml.

    Returns:
        How many were delivered.

    Raises:
        UserError: bad config.
        RunError: some records could not be delivered; they stay.
    """
    config = validate_config(cfg, SyncConfig).tracking
    chosen = tracking.configure(config.uri)
    folder, n_delivered, troubles = Path(config.undelivered_dir), 0, []
    for one in tracking.deliver_undelivered(folder, chosen):
        if one.run_id:
            n_delivered += 1
            print_line(f"delivered run {one.run_id}")
        else:
            troubles.append(f"{one.folder}: {one.reason}")
    if troubles:
        raise RunError(f"not delivered, and still kept: {'; '.join(troubles)}")
    tracking.close_dead_runs()
    if not n_delivered:
        print_line(f"tracking.undelivered_dir={folder}: nothing to deliver")
    return n_delivered
