import mlflow
import pandas as pd
import pytest

from mnist_flow.analysis.query import _describe_unfinished, build_published, select_published


@pytest.fixture
def published() -> pd.DataFrame:
    table = pd.DataFrame({"experiment": ["learning_rate", "learning_rate", "mlp_64_64", "mine"], "data.name": "mnist"})
    return build_published(table)


def test_printed_values_are_those_of_the_presets_a_row_each(published):
    assert published["experiment"].unique().tolist() == ["learning_rate", "mlp_64_64"]
    (row,) = published[published["experiment"] == "learning_rate"].to_dict("records")
    assert (row["row"], row["metric"], row["value"], row["mean_of"]) == ("000-2B", "test_accuracy", 0.978, 3)
    assert row["at"] == {"optimizer.learning_rate": 0.5}


def test_on_other_data_nothing_was_printed():
    nothing = build_published(pd.DataFrame({"experiment": ["learning_rate"], "data.name": "digits"}))
    assert nothing.empty
    # A study may choose from it as from any other.
    assert select_published(nothing, "test_accuracy", "reg").empty


@pytest.mark.parametrize("metric", ["test_accuracy", "val_accuracy"])
def test_what_was_printed_of_the_test_set_is_also_of_the_validation_set(published, metric):
    assert sorted(select_published(published, metric)["value"]) == [0.972, 0.9731, 0.978]


def test_only_values_of_settings_on_the_axis_are_chosen(published):
    chosen = select_published(published, "test_accuracy", "optimizer.learning_rate")
    assert chosen[["x", "value"]].to_numpy().tolist() == [[0.5, 0.978]]
    assert select_published(published, "test_accuracy", "reg").empty
    assert set(select_published(published, "test_loss")["experiment"]) == {"mlp_64_64"}


@pytest.mark.parametrize("damaged", ['{"columns": ["job"', "[]", '{"columns": ["job"], "data": [[0]]}'])
def test_a_sweep_whose_list_of_jobs_is_damaged_is_told_with_its_command(store: mlflow.MlflowClient, damaged):
    run_id = store.create_run("0", tags={"mnist_flow.kind": "sweep", "mnist_flow.overrides": "seed=0,1"}).info.run_id
    store.log_text(run_id, damaged, "sweep/grid.json")
    store.log_text(run_id, "'seed=0", "sweep/overrides.yaml")
    (line,) = _describe_unfinished(["0"], set())
    assert line == (
        f"sweep {run_id}: its artifact sweep/grid.json, the list of its jobs, is damaged; what may be missing: "
        "python -m mnist_flow.train -m seed=0,1"
    )
