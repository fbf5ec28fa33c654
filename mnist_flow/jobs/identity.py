"""What makes two runs the same run: fingerprints of a config and its data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnist_flow.config.section import OptionSection
from mnist_flow.config.train import INCIDENTAL, REPLICATED, TrainConfig
from mnist_flow.runtime.environment import count_cores
from mnist_flow.runtime.own_code import digest_own_code


@dataclass(frozen=True)
class Identity:
    """Three names of a run, each of 16 hexadecimal digits."""

    # Stands for everything that can change the result: on one machine, with one version of the code and of all
    # packages, equal fingerprints mean equal results.
    fingerprint: str
    # Like the fingerprint, without the seed and the fold: replicates share it.
    group: str
    # Like the fingerprint, without the digest of the data: tells changed data from a new config.
    recipe: str


def identify(config: TrainConfig, data_digest: str) -> Identity:
    """Name the run that a config describes, on the data with this digest."""
    described = describe_identity(config, data_digest)
    replicated = {key: value for key, value in described.items() if key not in REPLICATED}
    return Identity(
        fingerprint=compute_fingerprint(described),
        group=compute_fingerprint(replicated),
        recipe=compute_fingerprint(describe_identity(config, "")),
    )


def describe_identity(config: TrainConfig, data_digest: str) -> dict[str, Any]:
    """Return everything that can change a run's result.

    That is the digest of the data, the config without paths, tracking, evaluation and speed, and the digest of the code
    of each option of the user's own. Different identities may give equal results, too: a model's name, for example, is
    part of it.
    """
    identity = {key: value for key, value in config.list_params().items() if not key.startswith(INCIDENTAL)}
    identity["training.threads"] = config.training.threads or count_cores()
    identity["data.digest"] = data_digest
    for name, section in config:
        if isinstance(section, OptionSection) and (code := digest_own_code(section.module)) is not None:
            identity[f"{name}.code"] = code
    return identity


def compute_fingerprint(content: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that are equal exactly when the canonical JSON of `content` is equal."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
