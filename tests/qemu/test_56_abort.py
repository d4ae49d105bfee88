# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrations broken off in every way: the source goes on unharmed, the destination leaves nothing. Some points of
the stream here; `scripts/bench migrate` takes some hundred."""
import json

from aborts import LIMIT, Aborts, run

POINTS = 10  # each way twice, three of them while the source stands still


def broken_off(folder, limit, count=POINTS, **more):
    with Aborts(folder, limit, **more) as aborts:
        found = run(aborts, count)
    (folder / "aborts.json").write_text(json.dumps(found, indent=1) + "\n")


def test_tiered(folder):
    broken_off(folder, LIMIT)


def test_stock_memory(folder):
    broken_off(folder, None, 5)


def test_tiered_kvm(folder):
    broken_off(folder, LIMIT, 3, accel="kvm")
