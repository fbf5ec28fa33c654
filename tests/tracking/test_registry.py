import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, FEATURE_DISABLED, PERMISSION_DENIED
from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

from mnist_flow.errors import TrackingError
from mnist_flow.tracking.registry import Registration

HAS_NONE = "has no registry .*; leave it out, or choose another server$"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnsupportedModelRegistryStoreURIException("foo://bar", ["https"]), HAS_NONE),
        (MlflowException("not here", FEATURE_DISABLED), HAS_NONE),
        (MlflowException("not here", ENDPOINT_NOT_FOUND), HAS_NONE),
        (MlflowException("not for you", PERMISSION_DENIED), "refuses: not for you$"),
    ],
)
def test_a_store_without_a_registry_is_told_from_one_that_refuses(store, error, said):
    asked = Registration("digits", "best", move_alias=False)
    with pytest.raises(TrackingError, match=f"^tracking.register=digits: sqlite.*{said}"), asked._clear_errors():
        raise error
