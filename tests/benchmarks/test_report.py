import copy
import json

import pytest

from benchmarks.report import read_pieces, render, write_page, write_piece
from benchmarks.statistics import compare, compute_median
from benchmarks.targets import compute_tracking, compute_trial_costs, judge_all
from benchmarks.work import list_works

KEYS = [work.key for work in list_works()]


def measured(number, contender, seconds, **values):
    return {"round": number, "contender": contender, "seconds": seconds, **values}


MEASUREMENTS = [
    measured(1, "keras", 90.0, peak_bytes=900_000_000, test_accuracy=0.975),
    measured(1, "ours", 45.0, processor_seconds=75.0, peak_bytes=1_400_000_000, test_accuracy=0.975),
    measured(2, "ours", 50.0, processor_seconds=80.0, peak_bytes=1_500_000_000, test_accuracy=0.975),
    measured(2, "keras", 125.0, peak_bytes=900_000_000, test_accuracy=0.975),
    measured(3, "keras", 100.0, peak_bytes=900_000_000, test_accuracy=0.975),
    measured(3, "ours", 70.0, processor_seconds=81.0, peak_bytes=1_300_000_000, test_accuracy=0.975),
]
THREADS = {"one_thread": False, "precision": "float32"}
PIECE = {
    "date": "2026-11-21 10:00 UTC",
    "sitting": "2026-11-21T09:50:00+0000",
    "commit": "0123456789",
    "changed": False,
    "processor": "Some Processor",
    "cores": 2,
    "logical_cores": 2,
    "memory_gib": 8.0,
    "platform": "Linux",
    "thread_variables": {},
    "bfloat16": False,
    "load_before": 0.1,
    "versions": {"python": "3.11.9", "keras": "3.15.1"},
    "title": "500-300, three λ",
    "about": "",
    "epochs": 10,
    "rounds": 3,
    "reduced": False,
    "reference": "keras",
    "measure": "seconds",
    "contenders": {
        "keras": {**THREADS, "title": "plain Keras loop", "command": "python -m loop"},
        "ours": {**THREADS, "title": "this project", "command": "python -m ours"},
    },
    "left_out": {"plain PyTorch loop": "torch is not installed, so it was not run"},
    "gflop": 5000.0,
    "ceiling": {"1": 100.0, "2": 200.0},
    "facts": {},
    "measurements": MEASUREMENTS,
}


def test_ratios_are_paired_by_round():
    ratio = compare(MEASUREMENTS, "ours", "keras")
    assert ratio.by_round == {1: 0.5, 2: 0.4, 3: 0.7}
    assert (ratio.minimum, ratio.median) == (0.4, 0.5)
    assert compute_median(MEASUREMENTS, "keras", "seconds") == 100.0


def test_a_round_without_the_reference_has_no_ratio():
    ratio = compare([*MEASUREMENTS, measured(4, "ours", 1.0)], "ours", "keras")
    assert list(ratio.by_round) == [1, 2, 3]
    assert compare(MEASUREMENTS, "ours", "torch") is None


def test_targets_are_met_or_missed_by_the_median():
    judged = {one.what: one for one in judge_all({"a": PIECE})}
    of_loop = judged["(a) of the plain Keras loop's time"]
    assert (of_loop.measured, of_loop.verdict) == ("0.50 (minimum 0.40)", "met")
    assert judged["(a) of the autolog loop's time"].verdict == "not measured"
    assert judged["peak memory of a worker, (a)"].measured == "1.50 GB"
    slow = {**PIECE, "measurements": [{**one, "seconds": 100.0} for one in MEASUREMENTS]}
    judged = {one.what: one for one in judge_all({"a": slow})}
    assert judged["(a) of the plain Keras loop's time"].verdict == "missed"


def test_answers_of_a_large_store_have_their_limits():
    answers = [
        measured(1, "plan_10000", 6.1, peak_bytes=5e8),
        measured(1, "plan_1000", 60.0, peak_bytes=5e8),
        measured(1, "curves_10000", 39.0, peak_bytes=1_100_000_000),
    ]
    judged = {one.what: one for one in judge_all({"growth": {**PIECE, "measurements": answers}})}
    plan, curves = judged["a plan of three jobs, 10,000 runs"], judged["study=curves, 10,000 runs"]
    assert (plan.measured, plan.verdict) == ("6.1 s", "missed")
    assert (curves.measured, curves.verdict) == ("39.0 s", "met")
    assert judged["a plan of 1,000 jobs, 10,000 runs"].verdict == "not measured"
    memory = judged["peak memory of study=curves, 10,000 runs"]
    assert (memory.measured, memory.verdict) == ("1.10 GB", "missed")


@pytest.mark.parametrize(("on_6", "met"), [(44.1, True), (44.3, False)])
def test_what_tracking_costs_a_run_is_apart_from_what_it_costs_a_sweep(on_6, met):
    measurements = [
        measured(1, "off_2", 18.0),
        measured(1, "off_6", 30.0),
        measured(1, "on_2", 29.0),
        measured(1, "on_6", on_6),
    ]
    cost = compute_tracking({**PIECE, "measurements": measurements})
    # An untracked run is 3 s, and 3 % of it and 0.7 s are 0.79 s.
    assert cost.met is met
    assert cost.run_seconds == pytest.approx((on_6 - 29) / 4 - 3)
    assert cost.share == pytest.approx(cost.run_seconds / 3)
    assert cost.sweep_seconds == pytest.approx(11 - 2 * cost.run_seconds)
    assert compute_tracking({**PIECE, "measurements": measurements[1:]}) is None


def test_the_page_has_every_number():
    page = render({"a": PIECE}, KEYS)
    assert "| this project | 50.0 | 0.40 | 0.50 | 80.0 | 1.40 | 97.50% | 45.0 50.0 70.0 |" in page
    assert "| this project | 100 | 2 | 50% |" in page
    assert "Plain PyTorch loop: torch is not installed, so it was not run." in page
    assert "different sittings" not in page
    assert "## Where a run's time goes" in page
    assert "## What was tried" in page


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"one_thread": True}, "| this project | 100 | 1 | 100% |"),
        # The ceiling of another arithmetic is another.
        ({"precision": "mixed_bfloat16"}, "| this project | 100 | 2 | – |"),
    ],
)
def test_the_ceiling_is_that_of_the_contenders_threads_and_precision(changes, row):
    contenders = {**PIECE["contenders"], "ours": {**PIECE["contenders"]["ours"], **changes}}
    assert row in render({"a": {**PIECE, "contenders": contenders}}, KEYS)


def test_what_a_piece_does_not_have_is_left_out():
    quick = [measured(1, "ours", 0.3, processor_seconds=0.1, peak_bytes=10_000_000)]
    page = render({"help": {**PIECE, "reference": "ours", "gflop": None, "measurements": quick}}, KEYS)
    assert "| this project | 0.30 | 1.00 | 1.00 | – | – | 0.30 |" in page
    assert "| test accuracy |" not in page


def test_pieces_of_different_sittings_say_so():
    later = {**copy.deepcopy(PIECE), "commit": "9876543210", "date": "2026-11-22 11:00 UTC"}
    page = render({"a": PIECE, "d": later}, KEYS)
    assert "different sittings" in page
    assert "2026-11-22 11:00 UTC, commit 9876543210" in page


def test_a_quick_check_is_no_result():
    assert "no result" in render({"a": {**PIECE, "reduced": True}}, KEYS)


def test_pieces_are_added_and_replaced(tmp_path):
    write_piece(tmp_path, "a", PIECE)
    write_piece(tmp_path, "d", PIECE)
    write_piece(tmp_path, "a", {**PIECE, "rounds": 5})
    assert {key: piece["rounds"] for key, piece in read_pieces(tmp_path).items()} == {"a": 5, "d": 3}
    assert json.loads((tmp_path / "benchmarks.json").read_text()).keys() == {"pieces"}
    assert write_page(tmp_path, KEYS).read_text().startswith("# Benchmarks\n")


def test_nothing_measured_is_said():
    assert "Nothing has been measured yet." in render({}, KEYS)


def test_what_a_trial_costs_is_apart_from_what_a_search_costs():
    measurements = [
        measured(1, "grid_2", 10.0),
        measured(1, "grid_22", 30.0),
        measured(1, "search_2", 16.0),
        measured(1, "search_22", 38.0),
    ]
    piece = {**PIECE, "measurements": measurements, "gflop": None}
    costs = compute_trial_costs(piece)
    assert costs.run == {1: pytest.approx(0.1)}
    assert costs.command == {1: pytest.approx(5.8)}
    page = render({"g": piece}, KEYS)
    assert "A trial takes +0.10 s beyond a grid's job (each round: +0.10), and a search +5.8 s beyond" in page
    assert "| (g) a trial beyond a grid's job, 1,000 trials known | ≤ 0.15 s | +0.10 s | met |" in page


SEARCHES = {
    **PIECE,
    "title": "a search",
    "gflop": None,
    "reference": "loop",
    "contenders": {
        "loop": {**THREADS, "title": "plain Optuna", "command": "python -m loop"},
        "ours": {**THREADS, "title": "this project", "command": "python -m ours"},
    },
    "measurements": [
        measured(1, "loop", 100.0, best=0.97, trace=[[20.0, 0.9], [60.0, 0.97]]),
        measured(1, "ours", 50.0, best=0.98, trace=[[10.0, 0.95], [30.0, 0.975], [40.0, 0.98]]),
        measured(2, "loop", 100.0, best=0.97, trace=[[20.0, 0.97]]),
        measured(2, "ours", 70.0, best=0.97, trace=[[60.0, 0.97]]),
    ],
}


def test_a_search_is_judged_by_when_it_has_what_the_loop_has_in_the_end(tmp_path):
    page = render({"h": SEARCHES}, KEYS)
    assert "| plain Optuna | 100, 100 | 97.00%, 97.00% | 60 (0.60), 20 (0.20) |" in page
    assert "| this project | 50, 70 | 98.00%, 97.00% | 30 (0.30), 60 (0.60) |" in page
    assert "of its time | ≤ 2/3 | 0.45 (0.30, 0.60) | met |" in page
    behind = [
        {**one, "trace": [[10.0, 0.95]], "best": 0.95} if one["contender"] == "ours" else one
        for one in SEARCHES["measurements"]
    ]
    page = render({"h": {**SEARCHES, "measurements": behind}}, KEYS)
    assert "| this project | 50, 70 | 95.00%, 95.00% | never, never |" in page
    assert "≤ 2/3 | never (never, never) | missed |" in page
    write_piece(tmp_path, "h", SEARCHES)
    write_page(tmp_path, KEYS)
    assert (tmp_path / "images" / "benchmark_search.png").stat().st_size > 10_000
