#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic of the report, on figures made up for it: medians, ranges, ratios, verdicts."""
import sys
import unittest
from xml.dom import minidom

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import plot  # noqa: E402
import report  # noqa: E402
import targets  # noqa: E402
from summary import Lookup, floors_summary, loses, ratio, spread, summarize, time_of  # noqa: E402


def measurement(side, number, mean, workload="uniform-rmw", percent=50, **more):
    one = {"level": "process", "side": side, "dram_percent": percent, "workload": workload,
           "round": number, "seconds": 2.0, "ops": 1000, "mean_us": mean, "p50_us": mean / 2,
           "p99_us": mean * 10, "p999_us": mean * 20, "read_bytes": 4096, "written_bytes": 0,
           "cpu_seconds": 0.5, "verified": True,
           "extra": {"capped": False, "cgroup_peak": 1 << 20, "cgroup_limit": None}}
    one.update(more)
    return one


def rounds(side, means, **more):
    return [measurement(side, number, mean, **more) for number, mean in enumerate(means)]


class Medians(unittest.TestCase):
    def test_spread_is_median_and_range(self):
        self.assertEqual(spread([5, 1, None, 3]), {"median": 3, "low": 1, "high": 5, "rounds": 3})
        self.assertEqual(spread([1, 2])["median"], 1.5)
        self.assertIsNone(spread([None]))

    def test_ratio_is_of_medians_and_its_range_of_pairs(self):
        # Both got slower from round to round; side by side they never changed.
        found = ratio({0: 10, 1: 20, 2: 40}, {0: 20, 1: 40, 2: 80})
        self.assertEqual(found, {"median": 0.5, "low": 0.5, "high": 0.5, "rounds": 3})
        found = ratio({0: 10, 1: 30, 2: 20}, {0: 10, 1: 10, 2: 40})
        self.assertEqual((found["median"], found["low"], found["high"]), (2.0, 0.5, 3.0))

    def test_ratio_without_a_counterpart(self):
        self.assertIsNone(ratio({0: 1}, {}))
        self.assertIsNone(ratio({0: 1}, {0: 0}))
        self.assertEqual(ratio({0: 1}, {1: 2})["low"], None)

    def test_what_a_workload_is_judged_by(self):
        self.assertEqual(time_of(measurement("swap", 0, 7)), 7)
        self.assertEqual(time_of(measurement("swap", 0, 7, workload="seq-read")), 2000)
        self.assertEqual(time_of(measurement("swap", 0, 0, workload="idle", ops=0)), 25)
        self.assertIsNone(time_of(measurement("swap", 0, 0, ops=0)))

    def test_floors(self):
        found = floors_summary([{"disk": {"p50": one}, "direct": True} for one in (1, 9, 2)])
        self.assertEqual(found, {"disk": {"p50": 2}, "direct": True})


class Rows(unittest.TestCase):
    def setUp(self):
        self.measurements = (rounds("tidemark", [10, 12, 11]) + rounds("swap", [20, 22, 24])
                             + rounds("file", [5, 6, 4]) + rounds("ram", [1, 1, 1]))
        self.rows = summarize(self.measurements)

    def test_one_row_with_every_side(self):
        self.assertEqual(len(self.rows), 1)
        row = self.rows[0]
        self.assertEqual(row["ratios"]["swap"]["time"]["median"], 0.5)
        self.assertEqual(row["ratios"]["file"]["time"]["median"], 2.2)
        self.assertEqual(row["ratios"]["swap"]["p99_us"]["median"], 0.5)
        self.assertEqual(row["sides"]["ram"]["p999_us"]["median"], 20)

    def test_losing_is_marked_against_rivals_only(self):
        self.assertFalse(loses(self.rows[0], "swap"))
        self.assertTrue(loses(self.rows[0], "file"))
        self.assertFalse(loses(self.rows[0], "ram"))
        text = report.time_table(self.rows, ["tidemark", "swap", "file", "ram"])
        self.assertIn("SLOWER than file", text)
        self.assertIn("0.50 (0.46..0.55)", text)

    def test_idle_loses_by_a_percent_of_a_cpu_only(self):
        def idle(side, seconds):
            return measurement(side, 0, 0, workload="idle", ops=0, cpu_seconds=seconds)
        self.assertFalse(loses(summarize([idle("tidemark", 0.002), idle("swap", 0.001)])[0], "swap"))
        self.assertTrue(loses(summarize([idle("tidemark", 0.1), idle("swap", 0.001)])[0], "swap"))

    def test_order_of_rows(self):
        found = summarize([measurement("swap", 0, 1, workload="zipf-rmw", percent=25),
                           measurement("swap", 0, 1, workload="fill", percent=25),
                           measurement("swap", 0, 1, workload="zipf-rmw", percent=75)])
        self.assertEqual([(row["dram_percent"], row["workload"]) for row in found],
                         [(75, "zipf-rmw"), (25, "fill"), (25, "zipf-rmw")])

    def test_targets(self):
        found = {one["target"]: one
                 for one in targets.evaluate(Lookup(self.rows, self.measurements, {}))}
        self.assertEqual(found["uniform random rmw, mean / swap"]["verdict"], targets.MET)
        self.assertEqual(found["zipf rmw, mean / swap"]["verdict"], targets.UNMEASURED)
        slow = summarize(rounds("tidemark", [30]) + rounds("swap", [20]))
        found = targets.evaluate(Lookup(slow, [], {}))
        self.assertIn(targets.MISSED, [one["verdict"] for one in found])

    def test_wrong_bytes_are_said(self):
        bad = measurement("swap", 2, 1, verified=False)
        line = report.verified_line({"measurements": [*self.measurements, bad]})
        self.assertEqual(line, "WRONG BYTES in: swap uniform-rmw round 2")

    def test_whole_report_and_plot(self):
        results = {"environment": {"kernel": "Linux <&>"}, "floors": {}, "summary": self.rows,
                   "measurements": self.measurements, "failures": ["zram: no module"], "tables": {"forecasts": "network 0.5"},
                   "targets": targets.evaluate(Lookup(self.rows, self.measurements, {}))}
        text = report.text(results)
        self.assertIn("== forecasts ==\nnetwork 0.5\n", text)
        self.assertIn("FAILED: zram: no module", text)
        self.assertIn("Every byte was verified in all 12 measurements.", text)
        picture = minidom.parseString(plot.svg(results))
        self.assertEqual(len(picture.getElementsByTagName("circle")), 4 + 3)  # legend, dots


if __name__ == "__main__":
    unittest.main()
