"""What the benchmarks compute beside times: recall, interpolation, data, groupings, reports."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest

from bench import results
from bench.curves import around_targets, at_recall, best_points, recall_by_distance
from bench.datasets import mixture, squared_distances, unit_rows
from bench.disk_reports import report_beyond
from bench.grouping_kernels import NONE, group_greedily, merge_by_page
from bench.peer_env import SCRIPTS, Side
from bench.suites import SUITES


def test_recall_counts_ties_and_no_id_twice():
    reach = np.array([4.0, 4.0, 4.0, 4.0])
    ids = np.array([[1, 2], [1, 9], [1, 1], [1, -1]])
    distances = np.array([[3.0, 4.0], [3.0, 4.1], [3.0, 3.0], [3.0, np.inf]])
    assert recall_by_distance(ids, distances, reach).tolist() == [1.0, 0.5, 0.5, 0.5]


def test_recall_forgives_the_rounding_of_float32():
    reach = np.array([4.0])
    near, far = np.array([[4.0 * (1 + 1e-7)]]), np.array([[4.0 * (1 + 1e-5)]])
    ids = np.array([[7]])
    assert recall_by_distance(ids, near, reach) == 1.0
    assert recall_by_distance(ids, far, reach) == 0.0


def test_figure_at_a_recall_lies_between_the_points_beside_it():
    points = [(0.8, 10.0), (0.9, 100.0), (1.0, 400.0)]
    assert at_recall(points, 0.9, least=True) == pytest.approx(100.0)
    assert at_recall(points, 0.95, least=True) == pytest.approx(200.0)
    assert at_recall(points[::-1], 0.85, least=True) == pytest.approx(math.sqrt(1000.0))


def test_figure_at_a_recall_is_not_guessed_beyond_the_points():
    points = [(0.92, 10.0), (0.97, 20.0)]
    assert at_recall(points, 0.99, least=True) is None
    assert at_recall(points, 0.90, least=True) == 10.0
    assert at_recall([], 0.90, least=True) is None


def test_points_that_others_beat_do_not_count():
    points = [(0.90, 12.0), (0.91, 10.0), (0.95, 30.0), (0.95, 25.0), (0.99, 40.0)]
    assert best_points(points, least=True) == [(0.91, 10.0), (0.95, 25.0), (0.99, 40.0)]
    assert best_points(points, least=False) == [(0.99, 40.0)]


def test_settings_around_the_targets_are_kept():
    points = [(0.80, 5.0), (0.89, 6.0), (0.93, 7.0), (0.94, 6.5), (0.97, 8.0), (0.992, 9.0)]
    points += [(0.995, 10.0), (0.998, 11.0)]
    assert around_targets(points, least=True) == {1, 3, 4, 5, 6}  # 2 is beaten by 3
    assert around_targets(points[:5], least=True) == {1, 3, 4}
    assert around_targets(points[-1:], least=True) == {0}
    assert around_targets([], least=True) == set()


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


def stored(path) -> list[tuple[int, bool]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(line["turn"], line.get(results.LAST, False)) for line in lines]


def test_rows_are_stored_as_they_come_and_the_last_is_marked(folder):
    seen, told = [], []

    def rows():
        for turn in range(3):
            yield {"turn": turn}
            (part,) = folder.iterdir()
            seen.append(stored(part))

    path = results.write_results("made", "command", rows(), "quiet", tell=told.append)
    assert seen == [[(turn, False) for turn in range(count)] for count in (1, 2, 3)]
    assert stored(path) == [(0, False), (1, False), (2, True)]
    assert (path.name.endswith("-made.jsonl"), list(folder.iterdir())) == (True, [path])
    assert [line.split()[-2:] for line in told] == [[f"{n + 1}", f"turn={n}"] for n in range(3)]
    assert results.read_results("made")[0]["note"] == "quiet"


def test_run_that_is_stopped_keeps_its_rows_and_the_whole_run_before(folder):
    def rows():
        yield {"turn": 7}
        raise KeyboardInterrupt

    whole = results.write_results("made", "command", [{"turn": 1}])
    with pytest.raises(KeyboardInterrupt):
        results.write_results("made", "command", rows())
    assert [row["turn"] for row in results.read_results("made")] == [1]
    assert stored(whole.with_suffix(".part.jsonl")) == [(7, False)]


def test_nothing_to_measure_leaves_what_was_measured(folder):
    whole = results.write_results("made", "command", [{"turn": 1}])
    assert results.write_results("made", "command", []) == whole
    assert (stored(whole), list(folder.iterdir())) == ([(1, True)], [whole])


def test_datasets_may_be_added_to_a_run_of_the_day(folder):
    for turn in (1, 2):
        path = results.write_results("made", "command", [{"turn": turn}], add=True)
    assert stored(path) == [(1, True), (2, True)]


def test_mixture_is_the_same_for_the_same_seed_only():
    vectors, queries = mixture(500, 20, 30, seed=3)
    again, _ = mixture(500, 20, 30, seed=3)
    other, _ = mixture(500, 20, 30, seed=4)
    assert (vectors.shape, queries.shape) == ((500, 20), (30, 20))
    assert np.array_equal(vectors, again)
    assert not np.array_equal(vectors, other)


def test_distances_are_exact_and_infinite_where_there_is_no_id():
    base = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    found = squared_distances(base, np.zeros((1, 2), np.float32), np.array([[1, 0, -1]]))
    assert found.tolist() == [[25.0, 0.0, np.inf]]


def test_unit_rows_keep_zero():
    assert unit_rows(np.array([[3, 4], [0, 0]], np.uint8)).tolist() == [
        [np.float32(0.6), np.float32(0.8)],
        [0.0, 0.0],
    ]


def ring(count: int) -> np.ndarray:
    """Each row linked to the one before and after."""
    rows = np.arange(count)
    links = np.stack([(rows - 1) % count, (rows + 1) % count, np.full(count, NONE)], axis=1)
    return links.astype(np.uint32)


def test_greedy_grouping_fills_pages_with_near_rows():
    vectors = np.arange(10, dtype=np.float32)[:, None]
    pages = group_greedily.py_func(vectors, ring(10), 3, 2)
    assert np.bincount(pages).tolist() == [3, 3, 3, 1]
    assert pages[:3].tolist() == [0, 0, 0]  # 8 and 9 are linked too, but far


def test_merged_neighbours_take_turns_and_leave_members_out():
    page_of = np.arange(6) // 2
    members = np.arange(6).reshape(3, 2)
    merged = merge_by_page.py_func(ring(6), members, page_of, 3)
    assert merged[1].tolist() == [1, 4, NONE]
    assert merge_by_page.py_func(ring(6), members, page_of, 1)[1].tolist() == [1]


def search_row(side: str, recall: float, reads: float, **more: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(("qps_1", "qps_2", "qps_cpu_1"), 1e4 / reads)
    row |= {"kind": "search", "side": side, "recall": recall, "reads_4k": reads}
    row |= {"dataset": "made up", "n": 10, "dim": 2, "metric": "l2", "synthetic": True}
    row |= {"noise_1": 0.1, "noise_2": 0.2, "budget": 2**20}
    return row | {"share": 0.2, "p50_us": 10 * reads} | more


def test_report_holds_us_to_half_the_reads_and_twice_the_rate():
    theirs = [search_row("diskannpy", recall, 30.0) for recall in (0.9, 1.0)]
    for reads, met in ((14.0, True), (16.0, False)):
        ours = [
            search_row("vecdb", recall, reads, level="codes", code_bits=4) for recall in (0.9, 1.0)
        ]
        figures = report_beyond([*ours, *theirs])
        assert [figure.met for figure in figures[:4]] == [met, met, met, None]
        assert figures[0].measured.startswith(f"{reads / 30:.2f} / ")


def test_recall_that_only_the_peer_reaches_is_a_missed_goal():
    theirs = [search_row("diskannpy", recall, 30.0) for recall in (0.9, 1.0)]
    ours = [search_row("vecdb", 0.97, 1.0, level="codes", code_bits=4)]
    first = report_beyond([*ours, *theirs])[0]
    assert (first.met, first.measured[:18]) == (False, "0.03 / 0.03 / -: 1")


def test_collections_of_ours_are_reported_one_by_one():
    theirs = [search_row("diskannpy", 1.0, 30.0)]
    ours = [
        search_row("vecdb", 1.0, reads, level="codes", code_bits=4, page_bytes=page_bytes)
        for reads, page_bytes in ((10.0, None), (5.0, 4096))
    ]
    held = [
        {"kind": "memory", "side": one["side"], "rss_own": 2**20 * (number + 1)} | about
        for number, one in enumerate([*ours, *theirs])
        for about in ({"share": 0.2, "dataset": "made up", "budget": 2**20},)
    ]
    figures = report_beyond([*ours, *theirs, *held])
    reads = [figure for figure in figures if "reads of 4 KiB" in figure.what]
    assert [figure.measured[:4] for figure in reads] == ["0.33", "0.17"]
    assert [" 4 KiB" in figure.what.split("bits")[1][:18] for figure in reads] == [False, True]
    (memory,) = (figure for figure in figures if "MiB held" in figure.what)
    assert memory.measured == "ours 1 / 2, diskannpy 3, of a budget of 1"


def test_every_suite_reports_nothing_of_nothing():
    for name in ("grouping", "building", "graph", "beyond", "pages", "cold"):
        assert SUITES[name].report([]) == []


def test_side_answers_and_says_what_failed(monkeypatch, tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from loop import COMMON, run_search, serve\n"
        "def search(**options):\n"
        "    print('chatter of a library')\n"
        "    return run_search(lambda asked, k: asked[:, :k], one_by_one=False, **options)\n"
        "serve(COMMON | {'search': search})\n",
        encoding="utf-8",
    )
    monkeypatch.setattr("bench.peer_env.peer_python", lambda name: sys.executable)
    monkeypatch.setitem(sys.modules["bench.peer_env"]._SCRIPTS, "echo", script)
    queries, answers = tmp_path / "queries.npy", tmp_path / "answers.npy"
    np.save(queries, np.arange(12).reshape(4, 3))
    options = {"queries": queries, "answers": answers, "start": 1, "stop": 3}
    with Side("echo", tmp_path / "log") as side:
        found = side.call("search", k=2, **options)
        assert np.load(answers).tolist() == [[3, 4], [6, 7]]
        assert found["cpu_s"] >= 0.0
        with pytest.raises(RuntimeError, match="unexpected keyword"):
            side.call("search", k=2, wrong=1, **options)
        assert side.call("memory")["rss"] > 0
    assert "chatter" in (tmp_path / "log").read_text(encoding="utf-8")
