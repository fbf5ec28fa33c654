"""What runs take on disk."""

from types import SimpleNamespace

from mnist_flow.tracking import stock


def make_run(place, **models):
    return stock.StoredRun("r", "1", "train", "", "", "finished", "", "", 0, 0, False, "", {}, place, models)


def test_files_of_a_run_and_of_its_models_are_measured(tmp_path):
    for name, size in (("run/a", 1), ("run/below/b", 20), ("model/c", 300), ("other/d", 4000)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"0" * size)
    run = make_run(str(tmp_path / "run"), m=str(tmp_path / "model"), n=(tmp_path / "other").as_uri())
    assert run.measure_bytes(ask_server=False) == run.measure_bytes(ask_server=True) == (21, 4300)
    assert make_run(str(tmp_path / "gone")).measure_bytes(ask_server=False) == (0, 0)


def test_what_a_server_keeps_is_measured_where_it_may_be_asked(monkeypatch):
    folders = {
        None: [("a", 5), ("below", None)],
        "below": [("below/b", 70), ("below/deep", None), ("below/unknown", 0)],
        "below/deep": [("below/deep/c", 900)],
    }

    def list_artifacts(path):
        return [SimpleNamespace(path=name, is_dir=size is None, file_size=size or None) for name, size in folders[path]]

    asked = []
    repository = SimpleNamespace(list_artifacts=list_artifacts)
    monkeypatch.setattr(stock, "get_artifact_repository", lambda place: (asked.append(place), repository)[1])
    run = make_run("mlflow-artifacts:/1/r", m="mlflow-artifacts:/1/m")
    assert run.measure_bytes(ask_server=False) is None
    assert asked == []
    assert run.measure_bytes(ask_server=True) == (975, 975)
    assert asked == ["mlflow-artifacts:/1/r", "mlflow-artifacts:/1/m"]
