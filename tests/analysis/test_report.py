"""RESULTS.md and report.html: what they say, and the page in a real browser."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mnist_flow.analysis.report import Report, format_difference, format_measure, write_report
from mnist_flow.analysis.results import Comparison, judge
from mnist_flow.config import PublishedResult
from mnist_flow.errors import UserError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def build_comparison(row, values, ours, metric="test_accuracy", note=""):
    published = PublishedResult(
        row=row, statement=f"printed {values}", at={}, metric=metric, values=values, mean_of=1, note=note
    )
    verdict = judge(values, 1, ours, is_accuracy=metric != "test_loss")
    return Comparison("width", published, "784-n-10", tuple(ours), tuple(f"id{i}" for i in range(len(ours))), verdict)


@pytest.fixture
def report(tmp_path):
    figure = tmp_path / "docs" / "results" / "width.svg"
    figure.parent.mkdir(parents=True)
    figure.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="9" height="9"/></svg>'
    )
    comparisons = [
        build_comparison("000-1B", [0.9746], [0.974, 0.976, 0.975]),
        build_comparison("000-2A", [0.90], [0.974, 0.976, 0.975], note="trained for <fewer> epochs"),
        build_comparison("000-2C'", [], [0.98]),
        build_comparison("003-2C", [2.2743], [2.2750, 2.2760, 2.2770], metric="test_loss"),
    ]
    selections = pd.DataFrame(
        {
            "study": ["784-n-10, chosen"],
            "setting": ["mlp, reg=0.0"],
            "n": [10],
            "val_accuracy": [0.98],
            "mean": [0.9785],
            "std": [0.0012],
            "best_on_test": ["mlp, reg=0.1"],
            "best_on_test_mean": [0.979],
        }
    )
    return Report(
        comparisons=comparisons,
        selections=selections,
        figures={"study=width tracking.experiment_name=mine": [figure]},
        unfinished={"python -m mnist_flow.train -m experiment=width": (3, 45)},
        links={f"id{i}": f"http://127.0.0.1:5000/#/experiments/1/runs/id{i}" for i in range(3)},
        n_runs=42,
        computing_seconds=3661,
        processors=["Abacus 9"],
        n_other_code=0,
        overrides=[],
    )


@pytest.fixture
def written(report, tmp_path):
    results, page = write_report(report, tmp_path / "docs")
    return results.read_text(), page


def test_numbers_are_given_with_spread_and_n():
    assert format_measure(build_comparison("000-1B", [0.9746], [0.974, 0.976, 0.975])) == "97.50 ± 0.10 % (3)"
    assert format_measure(build_comparison("000-1B", [0.9746], [0.974])) == "97.40 % (1)"
    assert format_measure(build_comparison("000-1B", [0.9746], [])) == "–"
    loss = build_comparison("003-2C", [2.2743], [2.2750, 2.2760, 2.2770], metric="test_loss")
    assert format_measure(loss) == "2.2760 ± 0.0010 (3)"
    assert format_difference(loss) == "+0.0017 (±0.0050)"
    assert format_difference(build_comparison("000-2C'", [], [0.98])) == "–"
    assert format_difference(build_comparison("003-2C", [0.1135], [0.1135, 0.3])) == "+9.32"
    total = build_comparison("003-2D'", [0.9796], [0.979, 0.980, 0.981], metric="accuracy_mean_plus_std")
    assert format_measure(total) == "98.10 % = mean + sd (3)"
    assert format_difference(total) == "+0.14 (±0.50)"
    assert math.isnan(build_comparison("000-2C'", [], [0.98]).difference)


def test_results_have_a_row_a_published_number_a_table_a_report(written):
    text, _ = written
    assert [line for line in text.splitlines() if line.startswith("## Report")] == [
        "## Report 000: widths, learning rates, noise, penalties, a first CNN",
        "## Report 003: a failed run, swapped lists, a large CNN",
    ]
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| 00\d-", line)]
    assert [row[0] for row in rows] == ["| 000-1B", "| 000-2A", "| 000-2C'", "| 003-2C"]
    assert rows[0][3:5] == ["97.50 ± 0.10 % (3)", "+0.04 (±0.50)"]
    assert rows[1][5] == "differs (prediction from 3 seeds): trained for <fewer> epochs |"
    assert rows[2][5] == "nothing published to compare |"
    assert "2 agree, 1 differ" in text
    assert "42 runs,\n1:01:01 of training, a thread a run, float32 (Abacus 9)." in text
    assert "another version of the numerical code" not in text
    assert "- 3 of 45 runs of `python -m mnist_flow.train -m experiment=width`" in text
    assert "| 784-n-10, chosen | mlp, reg=0.0 | 98.00% | 97.85 ± 0.12 % (10) | 97.90%: mlp, reg=0.1 |" in text
    assert "### Width: mine\n\n![width](results/width.svg)" in text
    assert "5. **The failed run 003-2C.** `experiment=double_scaling` divides" in text


def test_every_table_row_of_the_results_has_as_many_cells_as_its_heading(written):
    text, _ = written
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_other_settings_than_the_reports_are_said_first(report, tmp_path):
    for file in write_report(replace(report, overrides=["data=digits"], n_other_code=3), tmp_path / "docs"):
        head = file.read_text().partition("How to read")[0]
        assert "data=digits" in head
        assert "3 of the runs were made by another version of the numerical code" in head


def test_a_folder_that_cant_be_written_is_said(report):
    with pytest.raises(UserError, match="output_dir=/proc/docs: can't be written"):
        write_report(report, Path("/proc/docs"))


def test_the_page_needs_no_network_and_escapes_text(written):
    _, page = written
    html = page.read_text()
    assert "<code>experiment=double_scaling</code> divides" in html
    assert "trained for &lt;fewer&gt; epochs" in html
    assert 'src="data:image/svg+xml;base64,' in html
    assert not re.search(r'(src|href)="(?!data:|#|http://127\.0\.0\.1:5000/)', html)
    assert not re.search(r"@import|<link|url\(", html)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_in_a_browser(written):
    from playwright.sync_api import sync_playwright

    _, page = written
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        faults, requests = [], []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page.as_uri())
        # On a phone the tables scroll, and the page does not.
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        column = "table >> nth=0 >> tbody tr td:nth-child(1)"
        heading = tab.locator("table >> nth=0").get_by_role("button", name="difference")
        heading.click()
        # Those without a number last.
        assert tab.locator(column).all_inner_texts() == ["000-1B", "000-2A", "000-2C'"]
        heading.click()
        assert tab.locator("table >> nth=0 >> th[aria-sort]").get_attribute("aria-sort") == "descending"
        assert tab.locator(column).all_inner_texts() == ["000-2A", "000-1B", "000-2C'"]
        for link in tab.locator("nav a").all():
            assert tab.locator(str(link.get_attribute("href"))).count() == 1
        tab.emulate_media(media="print")
        assert not tab.locator("nav").is_visible()
        assert len(tab.pdf()) > 10_000
        browser.close()
    assert faults == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
