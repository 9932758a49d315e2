"""bench/report.py: the page says what the numbers of a run say, and what is missing from them."""

import copy
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import cells  # noqa: E402
import report  # noqa: E402
import scale_report  # noqa: E402


def runs(*values, **more):
    return [{"value": v, "lost": 0, "doubled": 0, "damaged": 0, "refused": 0} | more for v in values]


FACTS = {
    "quick": False, "rounds": 3, "machine": "2 cores of a CPU", "load": 0.1, "began": "2026-01-02 03:04 UTC",
    "disk": [{"fdatasyncs a second": 7000.0}, {"fdatasyncs a second": 7400.0}, {"fdatasyncs a second": 8000.0}],
    "queued": 10000, "cell_seconds": 5, "seconds": 1200.4,
    "versions": {"Postrider": "0.1", "Postfix": "3.7", "Exim": "4.96"},
    "durability": {"Postrider": "fdatasync", "Postfix": "fsync", "Exim": "fsync twice"},
    "rows": {
        cells.FIRST: {"limit": runs(20000.0), "Postrider": runs(9000.0, 12000.0, 10000.0), "Postfix": runs(1000.0, 1100.0, 900.0),
                      "Exim": runs(350.0, None, 360.0, why="no end within 30 s")},
        cells.P50: {"limit": runs(0.5), "Postrider": runs(2.0), "Postfix": runs(12.0)},
        cells.drain_row(10000): {"Postrider": runs(15000.0, complete=True),
                                 "Exim": runs(280.0, complete=False, arrived=5600)},
        "a row that the order does not know": {"Postrider": runs(1.0)},
    },
}


@pytest.mark.parametrize("line", [
    # medians; ours to the best other's, to the limit; what is aimed at
    f"| {cells.FIRST} | 20,000 | 10,000 | 1,000 | 355 (1) | – | – | 10.0 × | 0.50 | 11,400 | 0.41 |",
    # less is better
    f"| {cells.P50} [ms] | 0.5 | 2.0 | 12.0 | – | – | – | 6.0 × | 4.00 | 2.0 | 3.33 |",
    "| drain of 10,000 queued | – | 15,000 | – | 280 (2) | – | – | 53.6 × | – | 15,000 | 0.24 |",
    f"1. Exim, {cells.FIRST}: no end within 30 s",
    "2. Exim, drain of 10,000 queued: not complete when its time was over; the rate is of the 5,600 that came",
    "| Postrider | 0.1 | fdatasync | 0 | 0 | 0 | 0 |",
    "The disk, in the same run: 7,400 fdatasyncs a second.",
    f"- {cells.FIRST}: 9,000 – 12,000",
    "![rates](results.svg)",
])
def test_page__has_the_line(line):
    assert line in report.markdown(FACTS, "results.svg").splitlines()


def test_page__rows_stand_in_the_order_of_the_table():
    page = report.markdown(FACTS, "results.svg")
    places = [page.index(f"| {row}") for row in (cells.FIRST, "drain of", cells.P50, "a row that")]
    assert places == sorted(places)


def test_machine_that_was_busy__is_said():
    assert "not idle" not in report.markdown(FACTS, "x.svg")
    assert "**The machine was not idle" in report.markdown(FACTS | {"load": 3.0}, "x.svg")


@pytest.mark.parametrize("change, sound", [({}, True), ({"lost": 1}, False), ({"doubled": 1}, False), ({"refused": 2}, False),
                                           ({"value": None, "why": "no end"}, False)])
def test_sound__only_when_nothing_of_postrider_is_missing(change, sound):
    facts = copy.deepcopy(FACTS)
    facts["rows"][cells.FIRST]["Postrider"][1] |= change
    assert report.sound(facts) is sound


def test_limit_of_the_drain__is_that_of_kept_connections():
    facts = copy.deepcopy(FACTS)
    facts["rows"][cells.KEPT] = {"limit": runs(60000.0)}
    assert "| drain of 10,000 queued | – | 15,000 | – | 280 (2) | – | – | 53.6 × | 0.25 | 15,000 | 0.24 |" in report.markdown(
        facts, "x.svg").splitlines()


def test_chart__has_rates_only_and_marks_what_is_missing():
    script = report.chart_script(FACTS, "x.svg")
    rows = [line for line in script.splitlines() if line.startswith('"')]
    assert [line.split('"')[2].split() for line in rows] == [["20000.0", "10000.0", "1000.0", "355.0"],
                                                             ["?", "15000.0", "?", "280.0"], ["?", "1.0", "?", "?"]]
    assert "set output 'x.svg'" in script


SCALING = {"small": False, "machine": "2 cores", "load": 0.1, "began": "2026-01-02", "seconds": 400.2,
           "disk": {"fdatasyncs a second": 7000.0}, "tables": {
               "queued": [{"step": 1000, "accepted a second": 20000.0, "drained a second": 10000.0, "lost": 0},
                          {"step": 10000, "accepted a second": 18000.0, "drained a second": 11000.0, "octets a message": 500.0,
                           "lost": 0},
                          {"step": 1000000, "failed": "9 of 1000000 queued"}],
               "size": [{"step": 1024, "MB a second": 2.5}],
               "cores": [{"step": 1, "receivers, deliverers": 1, "µs dispatcher": 30.0},
                         {"step": 2, "receivers, deliverers": 2, "µs dispatcher": 20.0, "µs receiver": 30.0,
                          "µs deliverer": 10.0}]}}


@pytest.mark.parametrize("line", [
    "| queued | accepted a second | drained a second | lost | octets a message | failed |",
    "| 1,000 | 20,000 | 10,000 | 0 | – | – |",
    "| 1,000,000 | – | – | – | – | 9 of 1000000 queued |",
    "| 1,024 | 2.50 |",
    # from the first step to the last that has a value
    "From 1,000 to 10,000: accepted a second 0.90 ×, drained a second 1.10 ×.",
    "![scaling](scaling.svg)",
])
def test_scaling_page__has_the_line(line):
    assert line in scale_report.page(SCALING).splitlines()


def test_scaling_page__argues_from_the_row_with_the_most_cores():
    page = scale_report.page(SCALING)
    assert "20 µs a message, thus at most 50,000 messages" in page and "about 3.0 cores for the server" in page
    assert "**The directory**" not in page and "7,000 fdatasyncs a second" in page


def test_scaling_page_of_a_busy_machine__says_so():
    assert "not idle" not in scale_report.page(SCALING)
    assert "**The machine was not idle" in scale_report.page(SCALING | {"load": 3.0})


def test_scaling_chart__has_what_has_two_steps():
    script = scale_report.chart_script(SCALING, "x.svg")
    assert script.count("\nplot ") == 1 and "set output 'x.svg'" in script
    assert "1000 20000 10000 ?" in script and "10000 18000 11000 500" in script
    assert scale_report.chart_script(SCALING | {"tables": {}}, "x.svg") == ""


def test_scaling_files__are_drawn(tmp_path):
    assert scale_report.write(SCALING, tmp_path).read_text().startswith("# Results of `make bench-scale`")
    assert "<svg" in (tmp_path / "scaling.svg").read_text()
