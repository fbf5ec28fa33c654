"""What tests of whole runs share."""

from __future__ import annotations

import pytest


@pytest.fixture
def search(store):
    """The runs of the store, the oldest first."""

    def search_runs():
        experiment = store.get_experiment_by_name("mnist_flow")
        return list(store.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))

    return search_runs
