import json

import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.matrices import fetch_confusions
from mnist_flow.errors import TrackingError

GOOD = json.dumps({"counts": np.diag(range(10)).tolist()})


def test_damaged_matrices_are_left_out(monkeypatch, caplog):
    texts = {
        "cut": GOOD[:50],
        "empty": "",
        "list": "[1, 2]",
        "nameless": json.dumps({"values": []}),
        "ragged": json.dumps({"counts": [[1], [1, 2]]}),
        "oblong": json.dumps({"counts": [[1, 2, 3], [4, 5, 6]]}),
        "misnamed": json.dumps({"counts": [[1, 2], [3, 4]], "class_names": ["one"]}),
        "texts": json.dumps({"counts": [["a"] * 10] * 10}),
        "good": GOOD,
    }
    monkeypatch.setattr("mnist_flow.tracking.fetch_texts", lambda *_: iter(texts.items()))
    found = fetch_confusions(pd.DataFrame({"run_id": list(texts)}))
    assert set(found["run_id"]) == {"good"}
    matrix = found.pivot_table(index="true", columns="predicted", values="count")
    np.testing.assert_array_equal(matrix, np.diag(range(10)))
    assert list(matrix.index) == list(matrix.columns) == list(range(10))
    lines = [record.getMessage() for record in caplog.records]
    assert [
        line.partition(": its artifact confusion_matrix/confusion_matrix.json is damaged (")[0] for line in lines
    ] == [f"run {run_id}" for run_id in texts if run_id != "good"]
    assert all(line.endswith("; the run is left out") and "\n" not in line for line in lines)


def test_a_matrix_has_the_classes_of_its_data_set(monkeypatch):
    texts = {
        "two": json.dumps({"counts": [[1, 2], [3, 4]]}),
        "shoes": json.dumps({"counts": [[1, 2], [3, 4]], "class_names": ["shoe", "coat"]}),
        "digits": json.dumps({"counts": [[1, 2], [3, 4]], "class_names": ["3", "8"]}),
    }
    monkeypatch.setattr("mnist_flow.tracking.fetch_texts", lambda *_: iter(texts.items()))
    found = fetch_confusions(pd.DataFrame({"run_id": list(texts)}))
    assert set(found["run_id"]) == set(texts)
    for run_id, (first, second) in {"two": (0, 1), "shoes": ("shoe", "coat"), "digits": (3, 8)}.items():
        assert found.loc[found["run_id"] == run_id, ["true", "predicted", "count"]].to_numpy().tolist() == [
            [first, first, 1],
            [first, second, 2],
            [second, first, 3],
            [second, second, 4],
        ]


def test_only_damaged_matrices_are_an_error(monkeypatch):
    monkeypatch.setattr("mnist_flow.tracking.fetch_texts", lambda *_: iter([("a", "{")]))
    with pytest.raises(TrackingError, match="none of the 1 runs has the artifact"):
        fetch_confusions(pd.DataFrame({"run_id": ["a"]}))
