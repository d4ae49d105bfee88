#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic of the migrate level, on figures made up for it."""
import sys
import unittest

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import migrate_report  # noqa: E402
import report  # noqa: E402
import targets  # noqa: E402
from migrate_targets import errors, share_of_stock  # noqa: E402
from summary import Lookup, summarize  # noqa: E402
from verdicts import MET, MISSED, UNMEASURED  # noqa: E402

RAM = 128 << 20


def run(side, number, megabytes, workload="sweep-hot", seconds=5.0, **more):
    extra = {"ended": True, "bytes": megabytes * 1000000, "resent_pages": int(megabytes) * 10, "ram_bytes": RAM,
             "syncs": 4, "downtime_ms": 100.0}
    extra.update(more)
    return {"level": "migrate", "side": side, "dram_percent": 100, "workload": workload, "round": number,
            "seconds": seconds, "ops": 1, "mean_us": None, "p50_us": None, "p99_us": None, "p999_us": None,
            "read_bytes": 0, "written_bytes": 0, "cpu_seconds": 1.0, "verified": True, "extra": extra}


def look(measurements):
    return Lookup(summarize(measurements), measurements, {})


def bounds(p50, p90):
    return {"p50": p50, "p90": p90}


class Shares(unittest.TestCase):
    def test_ratio_of_medians_and_range_of_pairs(self):
        found = share_of_stock(look([run("stock", 0, 200), run("stock", 1, 100), run("on", 0, 100), run("on", 1, 80)]),
                               "sweep-hot", "bytes")
        self.assertAlmostEqual(found["median"], 90 / 150)
        self.assertEqual((found["low"], found["high"]), (0.5, 0.8))

    def test_one_that_was_given_up_is_no_figure(self):
        self.assertIsNone(share_of_stock(look([run("stock", 0, 200, ended=False), run("on", 0, 100)]),
                                         "sweep-hot", "bytes"))
        self.assertIsNone(share_of_stock(look([run("stock", 0, 200)]), "sweep-hot", "bytes"))

    def test_p90_is_one_of_the_values(self):
        self.assertEqual(migrate_report.p90([3, 1, 2, None]), 3)
        self.assertEqual(migrate_report.p90(range(1, 11)), 9)
        self.assertIsNone(migrate_report.p90([]))


class Forecasts(unittest.TestCase):
    def test_errors_before_and_during(self):
        before = {"total-time": bounds(4500, 5100), "bytes": bounds(110e6, 90e6), "downtime": bounds(80, 120)}
        during = {"seconds": 3.0, "total-time": bounds(4000, 6000), "bytes": bounds(95e6, 101e6),
                  "downtime": bounds(150, 160)}
        runs = [run("on", 0, 100, forecast_before=before, forecasts=[during])]
        off, held = errors(runs, "on", "total-time")
        self.assertEqual(([round(one, 3) for one in off], held), ([-0.1, -0.2], [True, True]))
        off, held = errors(runs, "on", "bytes")
        self.assertEqual(([round(one, 3) for one in off], held), ([0.1, -0.05], [False, True]))
        off, _ = errors(runs, "on", "downtime")
        self.assertEqual(off, [-20, 50])


class Verdicts(unittest.TestCase):
    def verdicts(self, measurements):
        return {one["target"]: one for one in targets.evaluate(look(measurements))}

    def test_met_missed_and_not_measured(self):
        found = self.verdicts([run("stock", 0, 200), run("on", 0, 150)])
        self.assertEqual(found["sweep-hot: bytes / stock"]["verdict"], MET)
        self.assertEqual(found["sweep-hot: seconds / stock"]["verdict"], MISSED)
        self.assertEqual(found["random: bytes / stock"]["verdict"], UNMEASURED)
        self.assertEqual(found["forecast of bytes: error, median"]["verdict"], UNMEASURED)

    def test_late_verdict(self):
        late = {"syncs": 5, "bytes": RAM * 2, "seconds": 9}
        found = self.verdicts([run("on", 0, 200, "hot-8m", ended=False, verdict=late)])
        self.assertEqual(found["hot-8m: syncs until the verdict"]["verdict"], MISSED)
        self.assertEqual(found["hot-8m: bytes sent until the verdict / RAM"]["value"], 2)
        none = self.verdicts([run("on", 0, 200, "hot-8m", ended=False, verdict=None)])
        self.assertEqual(none["hot-8m: syncs until the verdict"]["verdict"], UNMEASURED)

    def test_after_the_switch_over(self):
        found = self.verdicts([run("on", 0, 100, "postcopy", remote_faults=64, blocked_ms=10),
                               run("stock", 0, 100, "postcopy", remote_faults=900, blocked_ms=100)])
        self.assertEqual(found["postcopy: pages asked for / working set"]["value"], 64 * 4096 / (8 << 20))
        self.assertEqual(found["postcopy: time blocked / stock"]["value"], 0.1)


    def test_longest_downtime(self):
        what = "downtime of all that ended / its limit, most"
        runs = [run("on", 0, 100, downtime_limit=200), run("on", 1, 100, downtime_limit=80),
                run("on", 2, 100, ended=False, downtime_limit=1), run("stock", 0, 100, downtime_limit=1)]
        found = self.verdicts(runs)[what]
        self.assertEqual((found["value"], found["verdict"]), (1.25, MISSED))
        self.assertEqual(self.verdicts(runs[:1])[what]["verdict"], MET)


class Tables(unittest.TestCase):
    def test_whole_report(self):
        runs = [run("stock", 0, 200), run("on", 0, 150), run("on", 0, 1, "postcopy", remote_faults=3, blocked_ms=1)]
        rows = summarize(runs)
        text = report.text({"environment": {}, "floors": {}, "summary": rows, "measurements": runs, "failures": [],
                            "tables": migrate_report.figures(runs), "targets": targets.evaluate(Lookup(rows, runs, {}))})
        self.assertIn("200.0 (200.0)", text)
        self.assertNotIn("== migrate", text)
        self.assertIn("pages asked for / ms blocked", text)


if __name__ == "__main__":
    unittest.main()
