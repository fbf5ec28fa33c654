"""MLflow's page of a sweep, wide and narrow, and of a search in a real browser."""

from __future__ import annotations

import re

import pytest

from support import CHROMIUM, QUICK

pytestmark = [pytest.mark.slow, pytest.mark.launchers, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]
EXPERIMENT = "tracking.experiment_name=seen"


@pytest.fixture(scope="module")
def link(tmp_path_factory, shared_server, run_command):
    """What a sweep prints at its end, after its study is drawn."""
    folder, variables = tmp_path_factory.mktemp("seen"), {"MLFLOW_TRACKING_URI": shared_server.uri}
    done = run_command(folder, "-m", "mnist_flow.train", "-m", *QUICK, "reg=0,0.1", EXPERIMENT, **variables)
    assert done.returncode == 0, done.stderr
    drawn = run_command(folder, "-m", "mnist_flow.analyze", "study=regularization", EXPERIMENT, **variables)
    assert drawn.returncode == 0, drawn.stderr
    (found,) = re.findall(r"look: (\S+)", done.stdout)
    assert found.startswith(shared_server.uri)
    return found


@pytest.mark.parametrize("width", [1440, 480])
def test_the_printed_link_opens_the_result_of_the_sweep(link, width):
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.set_default_timeout(60_000)
        faults: list[str] = []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(link)
        # The first line is seen without a click, the table and the figure after one.
        best = tab.get_by_text(re.compile(r"^reg=0.*: val_accuracy 0\.\d{4}.* \(n = 1\)$"))
        expect(best).to_be_visible(timeout=60_000)
        tab.get_by_text("Show more").first.click()
        expect(tab.get_by_role("cell", name="val_accuracy")).to_be_visible()
        tab.wait_for_function("[...document.images].some(one => one.src.includes('.svg') && one.naturalWidth > 100)")
        # What MLflow shows of training runs, not of language models.
        expect(tab.get_by_role("link", name="Runs", exact=True).first).to_be_attached()
        assert tab.get_by_text("Evaluation runs").count() == 0
        tab.goto(re.sub(r"/runs/\w+", "/runs", link))
        expect(tab.get_by_text("has the runs of a sweep below it").first).to_be_visible()
        expect(tab.get_by_text("sweep reg=0,0.1").first).to_be_attached()
        browser.close()
    assert faults == []


def test_the_printed_link_opens_the_result_of_a_search(shared_server, tmp_path, run_command):
    from playwright.sync_api import expect, sync_playwright

    space = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "optimizer.learning_rate=interval(0.01,0.1)")
    variables = {"MLFLOW_TRACKING_URI": shared_server.uri}
    done = run_command(tmp_path, "-m", "mnist_flow.train", "-m", *QUICK, *space, EXPERIMENT, **variables)
    assert done.returncode == 0, done.stderr
    (link,) = re.findall(r"look: (\S+)", done.stdout)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.set_default_timeout(60_000)
        tab.goto(link)
        # What was chosen, the best trials as a table, and what to type next.
        chosen = tab.get_by_text(re.compile(r"^optimizer.learning_rate=0\.\d+ .trial [01]; .*val_accuracy 0\.\d{4}"))
        expect(chosen).to_be_visible(timeout=60_000)
        tab.get_by_text("Show more").first.click()
        expect(tab.get_by_text("2 trials: 2 complete, 0 pruned, 0 failed.")).to_be_visible()
        expect(tab.get_by_role("columnheader", name="optimizer.learning_rate")).to_be_visible()
        expect(tab.get_by_text("python -m mnist_flow.analyze study=search")).to_be_visible()
        browser.close()
