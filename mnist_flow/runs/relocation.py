"""The story of `python -m mnist_flow.relocate`: say what moved, and write it into the store."""

from __future__ import annotations

import pandas as pd
from omegaconf import DictConfig

from mnist_flow import tracking
from mnist_flow.config.relocate import RelocateConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.runtime.terminal import print_line, print_table


def relocate_artifacts(cfg: DictConfig) -> list[tracking.Move]:
    """Show, and with `apply` change, where a store says that artifacts are.

    Args:
        cfg: the config that Hydra composed from conf/relocate.yaml.

    Raises:
        UserError: bad config, a store that is not there or does not answer, a server, or runs that are being written.
    """
    config = validate_config(cfg, RelocateConfig)
    tracking.configure(config.tracking.uri)
    tracking.check_store_is_there()
    moves = tracking.relocate(config.moved_from, config.moved_to, apply=config.apply)
    if not moves:
        print_line(f"{tracking.get_uri()}: nothing to relocate")
        return moves
    columns = {"what": "artifacts of", "count": "number", "moved_from": "from", "moved_to": "to"}
    print_table(pd.DataFrame(moves).rename(columns=columns)[list(columns.values())], tracking.get_uri())
    print_line("the store says so now" if config.apply else "nothing is changed yet; apply=true changes it")
    return moves
