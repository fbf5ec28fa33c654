"""The logged model behind MLflow's own scoring server, over HTTP."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import requests

from mnist_flow.data.loading import load_data_set
from mnist_flow.runs.orchestrator import run_experiment
from support import QUICK, command_environment


@pytest.mark.slow
@pytest.mark.launchers
def test_a_served_model_classifies_ten_images(store, compose_config, tmp_path):
    run_experiment(compose_config(*QUICK))
    (run,) = store.search_runs([store.get_experiment_by_name("mnist_flow").experiment_id])
    probabilities = np.load(store.download_artifacts(run.info.run_id, "predictions/test.npz"))["probabilities"][:10]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ["-m", "mlflow", "models", "serve", "--env-manager", "local", "--port", str(port)]
    with (
        (tmp_path / "serve.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, *serve, "--model-uri", f"runs:/{run.info.run_id}/model"],
            cwd=tmp_path,
            env=command_environment(),
            stdout=log,
            stderr=log,
        ) as server,
    ):
        try:
            images = load_data_set("digits").test.images[:10]
            answer = post(f"http://127.0.0.1:{port}/invocations", {"inputs": images.tolist()}, server)
        finally:
            server.terminate()
    np.testing.assert_allclose(answer.json()["predictions"], probabilities, atol=1e-6)


def post(url: str, body: dict, server: subprocess.Popen) -> requests.Response:
    """Ask until the server is up; it imports TensorFlow first."""
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = requests.post(url, json=body, timeout=60)
            answer.raise_for_status()
            return answer
        except requests.ConnectionError:
            if time.monotonic() > deadline or server.poll() is not None:
                raise
            time.sleep(0.5)
