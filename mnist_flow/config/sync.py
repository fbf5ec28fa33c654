"""What is delivered later, as conf/sync.yaml describes it."""

from mnist_flow.config.section import Section
from mnist_flow.config.tracking import SyncTrackingConfig


class SyncConfig(Section):
    """The records to deliver."""

    tracking: SyncTrackingConfig
