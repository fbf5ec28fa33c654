"""The parts' pages and report.html: what they say, and the page in a real browser."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from mnist_flow import CONF_DIR
from mnist_flow.config.published import PublishedResult
from mnist_flow.config.reproduce import StudyStep
from mnist_flow.errors import UserError
from mnist_flow.reproduction.report import Page, condense, format_difference, format_measure, write_report
from mnist_flow.reproduction.results import Comparison, judge
from support import CHROMIUM


def load_parts():
    return {file.stem: OmegaConf.load(file) for file in Path(CONF_DIR, "parts").glob("*.yaml")}


def build_comparison(row, values, ours, metric="test_accuracy", note=""):
    published = PublishedResult(
        row=row, statement=f"printed {values}", at={}, metric=metric, values=values, mean_of=1, note=note
    )
    verdict = judge(values, 1, ours, is_accuracy=metric != "test_loss")
    return Comparison(published, "784-n-10", tuple(ours), tuple(f"id{i}" for i in range(len(ours))), verdict)


def make_runs(n):
    """Finished runs, as a page has them."""
    return pd.DataFrame({"seed": range(n)})


def build_page(part, title, file, template=None, **shown):
    nothing = {"comparisons": [], "selections": pd.DataFrame(), "figures": {}, "tables": {}, "unfinished": {}}
    steps = [StudyStep(**OmegaConf.to_container(step)) for step in load_parts()[part].studies]
    made = {
        "links": {f"id{i}": f"http://127.0.0.1:5000/#/experiments/1/runs/id{i}" for i in range(3)},
        "runs": make_runs(42),
        "computing_seconds": 3661,
        "processors": ["Abacus 9"],
        "precisions": ["float32"],
        "n_other_code": 0,
        "overrides": [],
        "chosen": [],
        "headings": {" ".join(step.arguments): step.tables for step in steps},
    }
    return Page(part, template or part, title, file, **{**nothing, **made, **shown})


@pytest.fixture
def figure(tmp_path):
    file = tmp_path / "docs" / "results" / "width.svg"
    file.parent.mkdir(parents=True)
    file.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="9" height="9"/></svg>')
    return file


@pytest.fixture
def reports(figure):
    comparisons = [
        build_comparison("000-1B", [0.9746], [0.974, 0.976, 0.975]),
        build_comparison("000-2A", [0.90], [0.974, 0.976, 0.975], note="trained for <fewer> epochs"),
        build_comparison("000-2C'", [], [0.98]),
        build_comparison("003-2C", [2.2743], [2.2750, 2.2760, 2.2770], metric="test_loss"),
    ]
    return build_page(
        "reports",
        "Results",
        "RESULTS.md",
        comparisons=comparisons,
        figures={"study=width tracking.experiment_name=mine": [figure]},
        unfinished={"python -m mnist_flow.train -m experiment=width": (3, 45)},
    )


@pytest.fixture
def holdout(figure):
    selections = pd.DataFrame(
        {
            "study": ["784-n-10, chosen", "LeNet"],
            "setting": ["mlp, reg=0.0", "lenet5_v2"],
            "settings": [2, 1],
            "n": [10, 10],
            "val_accuracy": [0.98, 0.995],
            "mean": [0.9785, 0.9950],
            "std": [0.0012, 0.0004],
            "best_on_test": ["mlp, reg=0.1", "lenet5_v2"],
            "best_on_test_mean": [0.979, 0.9950],
        }
    )
    figures = {"study=width tracking.experiment_name=width_holdout": [figure]}
    return build_page(
        "holdout", "The honest protocol", "HOLDOUT.md", selections=selections, figures=figures, runs=make_runs(20)
    )


@pytest.fixture
def written(reports, holdout, tmp_path):
    results, twins, page = write_report([reports, holdout], tmp_path / "docs")
    assert [results.name, twins.name, page.name] == ["RESULTS.md", "HOLDOUT.md", "report.html"]
    return results.read_text(), twins.read_text(), page


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
    text, _, _ = written
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
    assert "### Width: mine\n\n![width](results/width.svg)" in text
    assert "5. **The failed run 003-2C.** `experiment=double_scaling` divides" in text


def test_the_convolutional_networks_have_a_page_of_their_own(tmp_path):
    comparisons = [
        build_comparison("003-3", [0.9939], [0.992, 0.993, 0.991]),
        build_comparison("004-3.1-2'", [], [0.996]),
    ]
    page = build_page("reports_cnn", "Results: convolutional networks", "RESULTS_CNN.md", comparisons=comparisons)
    text, report = (file.read_text() for file in write_report([page], tmp_path))
    assert text.startswith("# Results: convolutional networks\n\n")
    assert "`python -m mnist_flow.reproduce 'parts=[reports_cnn]'`" in text
    assert "1 agree, 0 differ" in text
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| 00\d-", line)]
    assert [(row[0], row[3]) for row in rows] == [("| 003-3", "99.20 ± 0.10 % (3)"), ("| 004-3.1-2'", "99.60 % (1)")]
    assert '<h3 id="reports_cnn-numbers">The reports beside our runs</h3>' in report
    assert report.count('title="run id0"') == 2


def test_the_results_lead_to_the_honest_protocol(written):
    text, _, _ = written
    head, _, rest = text.partition("## How to read the tables")
    assert "[honest protocol](#the-honest-protocol)" in head
    pages = {part.page for part in load_parts().values() if part.get("template") == "holdout"} | {"HOLDOUT.md"}
    _, _, protocol = rest.partition("\n## The honest protocol\n")
    assert set(re.findall(r"^\| \[(\w+\.md)\]\([./\w-]*\1\) \|", protocol, re.MULTILINE)) == pages
    assert "reg=0.1" not in text


def test_the_honest_protocol_has_a_row_a_study(written):
    _, text, _ = written
    assert text.startswith("# The honest protocol\n\n")
    assert "20 runs,\n1:01:01 of training, a thread a run, float32 (Abacus 9)." in text
    assert "| 784-n-10, chosen | mlp, reg=0.0 | 98.00% | 97.85 ± 0.12 % (10) | 97.90%: mlp, reg=0.1 |" in text
    assert "| LeNet | the only one: lenet5_v2 | 99.50% | 99.50 ± 0.04 % (10) | – |" in text
    assert "### Width: width_holdout\n\n![width](results/width.svg)" in text
    assert "Report 00" not in text


def test_what_is_chosen_by_losses_has_a_table_of_losses(holdout, tmp_path):
    """In nats, and beside it the accuracies in percent."""
    losses = pd.DataFrame(
        {
            "study": ["784-96-784"],
            "setting": ["autoencoder, noise.redraw=true"],
            "settings": [2],
            "n": [10],
            "val_loss": [0.11871],
            "mean": [0.11923],
            "std": [0.00014],
            "best_on_test": ["autoencoder, noise.redraw=false"],
            "best_on_test_mean": [0.1190],
        }
    )
    page = replace(holdout, selections=pd.concat([holdout.selections, losses]), figures={})
    text, html = (file.read_text() for file in write_report([page], tmp_path / "docs"))
    accuracies, _, rest = text.partition("| study | chosen | validation loss | test loss: mean ± sd (n) |")
    assert "| study | chosen | validation accuracy | test accuracy: mean ± sd (n) |" in accuracies
    assert "| LeNet | the only one: lenet5_v2 | 99.50% | 99.50 ± 0.04 % (10) | – |" in accuracies
    assert "784-96-784" not in accuracies
    row = "| 784-96-784 | autoencoder, noise.redraw=true | 0.1187 | 0.1192 ± 0.0001 (10) "
    assert row + "| 0.1190: autoencoder, noise.redraw=false |" in rest
    assert "%" not in rest
    assert '<td class="number" data-value="0.11871">0.1187</td>' in html


def test_a_part_may_take_the_templates_of_another(holdout, tmp_path):
    page = build_page(
        "holdout_width", "Width", "HOLDOUT_WIDTH.md", template="holdout", selections=holdout.selections.head(1)
    )
    names = [file.name for file in write_report([holdout, page], tmp_path / "docs")]
    assert names == ["HOLDOUT.md", "HOLDOUT_WIDTH.md", "report.html"]
    text = (tmp_path / "docs" / "HOLDOUT_WIDTH.md").read_text()
    assert text.startswith("# Width\n")
    assert "'parts=[holdout_width]'" in text
    # Nothing is drawn.
    assert "## Figures" not in text
    html = (tmp_path / "docs" / "report.html").read_text()
    assert re.findall(r'<h2 id="(\w+)"', html) == ["holdout", "holdout_width"]


def test_a_page_without_a_selection_says_so(holdout, tmp_path):
    page = replace(holdout, selections=pd.DataFrame(), figures={})
    for file in write_report([page], tmp_path / "docs"):
        assert "No study is finished yet." in file.read_text()


def test_only_the_pages_that_are_given_are_written(reports, holdout, tmp_path):
    folder = tmp_path / "docs"
    assert write_report([], folder) == []
    assert [file.name for file in write_report([holdout], folder)] == ["HOLDOUT.md", "report.html"]
    assert not (folder / "RESULTS.md").exists()
    assert "Report 000" not in (folder / "report.html").read_text()


def test_every_table_row_of_the_pages_has_as_many_cells_as_its_heading(written):
    results, twins, _ = written
    for table in re.findall(r"(?:^\|.*\n)+", results + twins, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


@pytest.mark.parametrize("part", ["reports", "holdout"])
def test_other_settings_than_the_presets_are_said_first(request, part, tmp_path):
    page = replace(request.getfixturevalue(part), overrides=["data=digits"], n_other_code=3)
    for file in write_report([page], tmp_path / "docs"):
        head = re.split(r'<h3 id="reading">|## How to read|<table', file.read_text())[0]
        assert "data=digits" in head
        assert "3 of the runs were made by another version of the numerical code" in head
    markdown = (tmp_path / "docs" / page.file).read_text()
    command = f"python -m mnist_flow.reproduce 'parts=[{part}]' \"overrides=['data=digits']\" output_dir=FOLDER"
    assert f"`{command}`, which trains only what is missing" in markdown


def test_the_command_of_other_settings_names_the_presets_that_were_chosen(holdout):
    command = replace(holdout, overrides=["epochs=1"], chosen=["width_holdout", "mlp_100"]).command
    assert "'parts=[holdout]' 'presets=[width_holdout,mlp_100]' \"overrides=['epochs=1']\" output_dir=" in command
    # With the presets' settings the page is whole, whichever of them were trained last.
    assert replace(holdout, chosen=["width_holdout"]).command == "python -m mnist_flow.reproduce 'parts=[holdout]'"


def test_a_folder_that_cant_be_written_is_said(holdout):
    with pytest.raises(UserError, match="output_dir=/proc/docs: can't be written"):
        write_report([replace(holdout, figures={})], Path("/proc/docs"))


def test_links_lead_to_pages_of_the_folder_or_of_the_project(written, reports, tmp_path, monkeypatch):
    def list_links(text):
        return re.findall(r"\]\((?!http)([^)#]+\.md)", text)

    text, twins, page = written
    assert "HOLDOUT.md" in list_links(text)
    assert "[RESULTS.md](RESULTS.md)" in twins
    for link in list_links(text + twins):
        assert (page.parent / link).is_file()
    (tmp_path / "docs" / "RESULTS_CNN.md").touch()
    monkeypatch.setattr("mnist_flow.reproduction.report._DOCS", tmp_path / "nowhere")
    alone = write_report([reports], tmp_path / "docs")[0].read_text()
    assert set(list_links(alone)) == {"RESULTS.md", "RESULTS_CNN.md", "HOLDOUT.md"}
    assert "| HOLDOUT_WIDTH.md | hidden units" in alone


def test_the_page_needs_no_network_and_escapes_text(written):
    _, _, page = written
    html = page.read_text()
    assert "<code>experiment=double_scaling</code> divides" in html
    assert "trained for &lt;fewer&gt; epochs" in html
    assert 'src="data:image/svg+xml;base64,' in html
    assert not re.search(r'(src|href)="(?!data:|#|http://127\.0\.0\.1:5000/)', html)
    assert not re.search(r"@import|<link|url\(", html)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_in_a_browser(written):
    from playwright.sync_api import sync_playwright

    _, _, page = written
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


def test_a_summary_is_condensed_to_means_and_spreads():
    table = pd.DataFrame(
        {
            "model": ["a", "a", "b"],
            "measure": ["agreement", "diversity", "agreement"],
            "n": [3, 3, 1],
            "mean": [0.98271, 0.5, 0.9],
            "std": [0.00231, 0.01, float("nan")],
            **dict.fromkeys(("sem", "ci_low", "ci_high", "min", "max"), 0.0),
        }
    )
    assert condense(table).to_dict("records") == [
        {"model": "a", "n": 3, "agreement": "0.9827 ± 0.0023", "diversity": "0.5 ± 0.01"},
        {"model": "b", "n": 1, "agreement": "0.9", "diversity": "–"},
    ]
    (row,) = condense(table.drop(columns="measure").head(1)).to_dict("records")
    assert row == {"model": "a", "n": 3, "mean ± sd": "0.9827 ± 0.0023"}
    other = pd.DataFrame({"level 0": ["99 %"]})
    assert condense(other) is other


def test_a_page_shows_the_tables_that_have_a_heading_and_no_others():
    tables = {"": pd.DataFrame({"n_of": [1]}), "more": pd.DataFrame({"n": [2]}), "silent": pd.DataFrame({"n": [3]})}
    headings = {"study=a": {"more": "More", "absent": "Absent"}, "study=b": {"": "B"}, "study=c": {}}
    tables = {"study=a": tables, "study=b": tables}
    page = build_page("reports", "Results", "RESULTS.md", tables=tables, headings=headings)
    assert {title: table.to_dict("list") for title, table in page.named_tables.items()} == {
        "More": {"n": [2]},
        "B": {"n of": [1]},
    }


def test_the_page_of_denoising_has_its_tables(tmp_path):
    comparison = build_comparison("002-4A", [0.1175], [0.1166, 0.1167, 0.1168], metric="loss")
    tables = {"study=denoising": {"levels": pd.DataFrame({"curve": ["cnn: noisy"], "n": [3], "level 0.5": ["37.3 %"]})}}
    page = build_page("denoising", "Denoising", "DENOISING.md", comparisons=[comparison], tables=tables)
    write_report([page], tmp_path)
    text = (tmp_path / "DENOISING.md").read_text()
    assert "| 002-4A | 784-n-10 | printed [0.1175] | 0.1167 ± 0.0001 (3) | -0.0008" in text
    heading, _, row = text.partition("## Macro recall of noisy and denoised test images\n\n")[2].splitlines()[:3]
    assert (heading, row) == ("| curve | n | level 0.5 |", "| cnn: noisy | 3 | 37.3 % |")
    assert "37.3 %</td>" in (tmp_path / "report.html").read_text()


def build_chains(recalls, lost, n=3, denoiser="unet_wide, level 0 to 0.6"):
    """The tables of the study: mean recalls by level, and the recall that is lost at level 0."""
    curve = f"denoising_deformed: denoised by {denoiser}"
    summary = pd.DataFrame(
        [
            {"curve": name, "strength": level, "n": n, "mean": mean, "std": 0.0006}
            for level, recall in recalls.items()
            for name, mean in (("denoising_deformed: noisy images", 0.5), (curve, recall))
        ]
    ).assign(**dict.fromkeys(("sem", "ci_low", "ci_high", "min", "max"), 0.0))
    crossings = pd.DataFrame(
        {
            "classifier": ["denoising_deformed"],
            "denoiser": [denoiser],
            "n": [n],
            "change_at_0": [-lost],
            "change_std": [0.0002],
        }
    )
    levels = pd.DataFrame({"curve": [curve], "n": [n], "level 0.4": ["from the study"]})
    return {"": summary, "crossings": crossings, "levels": levels}


def write_beyond(tables, folder, **shown):
    tables = {"study=denoising tracking.experiment_name=denoising_deformed": tables} if tables else {}
    page = build_page("beyond", "Beyond the reports", "BEYOND.md", tables=tables, **shown)
    return [file.read_text() for file in write_report([page], folder)]


def test_the_page_beyond_the_reports_says_which_targets_are_met(tmp_path):
    text, html = write_beyond(build_chains({0.4: 0.98, 0.5: 0.9799}, 0.0004), tmp_path)
    chain = "denoising_deformed: denoised by unet_wide, level 0 to 0.6"
    rows = [
        f"| macro recall at level 0.4: at least 98 % | {chain} | 98.00 ± 0.06 % (3) | met |",
        f"| macro recall at level 0.5: at least 98 % | {chain} | 97.99 ± 0.06 % (3) | missed |",
        f"| macro recall lost at level 0: at most 0.1 points | {chain} | 0.04 ± 0.02 points (3) | met |",
    ]
    assert "| target | chain | ours: mean ± sd (n) | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n" in text
    assert (
        f"## Macro recall of noisy and denoised test images\n\n| curve | n | level 0.4 |\n|---|---|---|\n| {chain}"
        in text
    )
    assert "## From which noise on denoising helps" in text
    assert re.findall(r"<td>(met|missed)</td>", html) == ["met", "missed", "met"]
    for link in re.findall(r'<a href="#([\w-]+)">', html):
        assert html.count(f'id="{link}"') == 1


def test_other_chains_of_the_store_are_not_judged(tmp_path):
    ours, other = (
        build_chains({0.4: 0.99}, lost, denoiser=denoiser)
        for lost, denoiser in ((0.0011, "unet_wide"), (0.0, "unet_wider, level 0.4"))
    )
    both = {what: pd.concat([other[what], ours[what]]) for what in ours}
    text, _ = write_beyond(both, tmp_path)
    found = [line.split(" | ") for line in text.splitlines() if line.startswith("| macro recall ")]
    assert [(row[1], row[2], row[3]) for row in found] == [
        ("denoising_deformed: denoised by unet_wide", "99.00 ± 0.06 % (3)", "met |"),
        ("denoising_deformed: denoised by unet_wide", "–", "not measured |"),
        ("denoising_deformed: denoised by unet_wide", "0.11 ± 0.02 points (3)", "missed |"),
    ]


def test_targets_of_other_settings_are_not_judged(tmp_path):
    text, html = write_beyond(build_chains({0.4: 0.99, 0.5: 0.98}, 0.0), tmp_path, overrides=["data=digits"])
    assert text.count("| other settings |") == 3
    assert "| met |" not in text + html


def test_targets_without_a_measurement_are_said_to_be_open(tmp_path):
    for text in write_beyond({}, tmp_path):
        assert "Nothing is measured yet." in text


def test_the_page_of_shifts_judges_each_network_by_what_it_has_against_them(tmp_path):
    plain, shifted = "shifts: augmentation.name=none", "shifts: augmentation.max_pixels=3, augmentation.name=shift"
    labels = [plain, shifted, f"{plain}, model.centering=mass"]
    worst = pd.DataFrame(
        [
            {"model": label, "pixels": pixels, "n": 10, "mean": mean - pixels / 1000, "std": 0.0005}
            for label, mean in zip(labels, [0.6, 0.9931, 0.9829], strict=True)
            for pixels in (0, 3)
        ]
    ).assign(sem=0.0, ci_low=0.0, ci_high=0.0, min=0.0, max=0.0)
    tables = {"study=shift tracking.experiment_name=shifts": {"worst": worst}}
    write_report([build_page("shifts", "Moved digits", "SHIFTS.md", tables=tables)], tmp_path)
    text = (tmp_path / "SHIFTS.md").read_text()
    statement = "accuracy at 3 pixels in the worst direction: at least"
    rows = [
        f"| {statement} 99 % | {shifted} | 99.01 ± 0.05 % (10) | met |",
        f"| {statement} 98 % | {plain}, model.centering=mass | 97.99 ± 0.05 % (10) | missed |",
    ]
    assert "| target | network | ours: mean ± sd (n) | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n" in text
    assert f"| {plain} | 3 | 10 | 0.597 ± 0.0005 |" in text
    assert re.findall(r"<td>(met|missed)</td>", (tmp_path / "report.html").read_text()) == ["met", "missed"]


def test_the_page_of_seconds_has_every_seed_and_what_they_take(tmp_path):
    runs = pd.DataFrame(
        {
            "seed": [101, 100],
            "test_accuracy": [0.991, 0.9903],
            "fit_seconds": [7.25, 8.25],
            "n_parameters": [215_370.0, 215_370.0],
        }
    )
    write_report([build_page("fast_99", "Seconds", "FAST_99.md", runs=runs)], tmp_path)
    text, html = (tmp_path / "FAST_99.md").read_text(), (tmp_path / "report.html").read_text()
    assert "| 99.06 ± 0.05 % (2) | 7.8 ± 0.7 |\n| target | two cores | at least 99 %: met | at most 10: met |" in text
    assert "215,370 parameters" in text
    assert "|\n| 100 | 99.03% | 97 | 8.2 |\n| 101 | 99.10% | 90 | 7.2 |\n" in text
    assert "after 7.8 ± 0.7 s" in " ".join(html.split())
    assert re.findall(r'data-value="[\d.]+">([\d.]+%?)</td>', html) == ["100", "99.03%", "8.2", "101", "99.10%", "7.2"]


def test_the_page_of_a_search_says_how_it_went_and_what_its_choice_reaches(tmp_path):
    states = ["complete"] * 3 + ["pruned"] * 2 + ["failed"]
    trials = pd.DataFrame({"state": states, "seconds": [1000.0, 2000.0, 3000.0, 100.0, 200.5, float("nan")]})
    chosen = pd.DataFrame([{"mean": 0.98642, "std": 0.0007, "n": 10}])
    tables = {"study=compare yardstick": {"": chosen}, "study=search yardstick_search": {"trials": trials}}
    runs = pd.DataFrame({"seed": [100, 101], "test_accuracy": [0.9859, 0.9869]})
    write_report([build_page("yardstick", "Searched", "SEARCHED.md", tables=tables, runs=runs)], tmp_path)
    said = "0.01 points are missing, and the mean has a standard error of 0.05. The batches"
    assert said in " ".join((tmp_path / "SEARCHED.md").read_text().split())
    for name, (cell, end) in {"SEARCHED.md": (r"\|", "|"), "report.html": ("</td><td.*?>", "</td>")}.items():
        text = " ".join((tmp_path / name).read_text().split())
        assert "6 trials: 3 complete, 2 pruned, 1 failed, 1:45:00 of computing" in text
        assert re.search(rf"ours *{cell} *98.64 ± 0.07 % \(10\)", text)
        assert re.search(rf"1\.36 % ?{re.escape(end)}", text)


def test_the_page_of_factors_has_each_change_beside_the_reference(tmp_path):
    summary = pd.DataFrame(
        {"changed": ["reference", "epochs=40"], "n": [10, 10], "mean": [0.9864, 0.98651], "std": [0.0007, 0.0006]}
    )
    differences = pd.DataFrame(
        {"changed": ["epochs=40"], "difference": [0.00011], "ci_low": [-0.0004], "ci_high": [0.00062]}
    )
    tables = {"study=ablation tracking.experiment_name=factors": {"": summary, "differences": differences}}
    write_report([build_page("factors", "Factors", "FACTORS.md", tables=tables)], tmp_path)
    text = (tmp_path / "FACTORS.md").read_text()
    assert "| reference | 98.64 ± 0.07 % (10) | – | – |" in text
    assert "| epochs=40 | 98.65 ± 0.06 % (10) | +0.01 | -0.04 to +0.06 |" in text
    html = re.sub(r"\s+", " ", (tmp_path / "report.html").read_text())
    assert re.search(r'<td>epochs=40</td> <td class="number" data-value="0.98651">98.65 ± 0.06 % \(10\)</td>', html)
    assert "<td>-0.04 to +0.06</td>" in html


def test_the_page_of_small_batches_has_what_held_out_images_choose_beside_what_came_next(tmp_path):
    rows = [
        ("yardstick_batches", 32, 0.125, 0, 0.9853, 0.985),
        ("yardstick_batches", 64, 0.25, 0, 0.9852, 0.985),
        *(("small_batches", 32, 0.125, seed, 0.5, accuracy) for seed, accuracy in ((100, 0.986), (101, 0.9866))),
        *(("small_batches", 64, 0.25, seed, 0.5, accuracy) for seed, accuracy in ((100, 0.987), (101, 0.9872))),
    ]
    names = ["experiment", "batch_size", "optimizer.learning_rate", "seed", "val_accuracy", "test_accuracy"]
    runs = pd.DataFrame(rows, columns=names).assign(fit_seconds=100.0)
    write_report([build_page("small_batches", "Small", "SMALL.md", runs=runs)], tmp_path)
    text = (tmp_path / "SMALL.md").read_text()
    assert "| 32 | 0.125 | 98.53 % (1) |\n| 64 | 0.25 | 98.52 % (1) |\n" in text
    assert "| ours, batches of 32 images: chosen | 98.63 ± 0.04 % (2) | 1.37 % |" in text
    assert "| ours, batches of 64 images | 98.71 ± 0.01 % (2) | 1.29 % |" in text
    # What held-out images did not choose does not count.
    for name in ("SMALL.md", "report.html"):
        assert "at least 98.65%: missed" in (tmp_path / name).read_text()
    assert "| 101 | 98.66% | 134 | 100.0 |" in text


@pytest.mark.parametrize(
    ("part", "mean", "verdict"),
    [
        ("yardstick", 0.9864, "98.65%: missed"),
        ("yardstick", 0.9866, "98.65%: met"),
        ("how_far", 0.9877, "99.00%: missed"),
        ("how_far", 0.9901, "99.00%: met"),
        ("augmented", 0.9939, "99.40%: missed"),
        ("augmented", 0.9941, "99.40%: met"),
        ("convolutional", 0.9969, "99.70%: missed"),
        ("convolutional", 0.9971, "99.70%: met"),
        ("convolutional_plain", 0.9959, "99.60%: missed"),
        ("convolutional_plain", 0.9961, "99.60%: met"),
    ],
)
def test_a_page_of_a_search_says_whether_its_target_is_met(tmp_path, part, mean, verdict):
    chosen = pd.DataFrame([{"mean": mean, "std": 0.0004, "n": 10}])
    measured = {"val_accuracy": [mean], "test_accuracy": [mean], "fit_seconds": [300.0], "n_parameters": [198_730]}
    runs = pd.DataFrame({"experiment": [part], "seed": [100], **measured})
    tables = {f"study=compare tracking.experiment_name={part}": {"": chosen}}
    write_report([build_page(part, "How far", "PAGE.md", tables=tables, runs=runs)], tmp_path)
    for name in ("PAGE.md", "report.html"):
        assert f"at least {verdict}" in (tmp_path / name).read_text()
    assert ("What limits it" in (tmp_path / "PAGE.md").read_text()) is verdict.endswith("missed")
    # Other settings have not missed it, nor met it, and may have other test images to count errors among.
    write_report([build_page(part, "How far", "PAGE.md", tables=tables, runs=runs, overrides=["epochs=1"])], tmp_path)
    text = (tmp_path / "PAGE.md").read_text()
    assert f"at least {verdict.partition(':')[0]}: other settings" in text
    assert "What limits it" not in text
    assert ("| 100 |" in text) == (f"| 100 | {mean:.2%} | – | 300.0 |" in text)
