# SPDX-License-Identifier: GPL-2.0-or-later
"""The DRAM limit changes while the guest works."""
import time

from guest import GIB, MIB, Watcher, require, wait_for
from machines import baremetal, ram
from qmp import QmpError
from tier_stats import (configure, dram_sampler, query, require_healthy, require_never_above,
                        wait_dram_below)

SIZE = GIB
LOW = 96 * MIB


def cut_and_raise(folder, accel):
    """1 GiB (nothing has to leave) -> 96 MiB -> 1 GiB, the guest writing and checking all along."""
    job = "size=640 passes=0 words=32"
    with baremetal(folder, job, ram(SIZE, SIZE), accel, 2) as vm:
        vm.wait_passes_more(2, 60)
        require(dram_sampler(vm, [SIZE])() > 600 * MIB, "the guest's memory is not in DRAM")
        started = time.monotonic()
        configure(vm, id="ram0", dram_limit=LOW)
        wait_dram_below(vm, [SIZE], LOW, 60)
        print(f"cut reached in {time.monotonic() - started:.1f} s; ", end="")
        with Watcher(dram_sampler(vm, [SIZE])) as watcher:
            vm.wait_passes_more(1, 90)
            watcher.wait_samples(10, 60)
        require_never_above(watcher, LOW)
        require(query(vm)["dram-limit"] == LOW, "the limit is not the one that was set")
        configure(vm, id="ram0", dram_limit=SIZE)
        sample = dram_sampler(vm, [SIZE])
        wait_for(lambda: sample() > 512 * MIB, 60, "memory does not come back to DRAM")
        vm.wait_passes_more(2, 60)
        require_healthy(query(vm))


def test_cut_and_raise_tcg(folder):
    cut_and_raise(folder, "tcg")


def test_cut_and_raise_kvm(folder):
    cut_and_raise(folder, "kvm")


def test_up_and_down_again(folder):
    """Many changes in a row, also of policy and prefetch, under load."""
    job = "size=256 passes=0 words=16 order=rand"
    with baremetal(folder, job, ram(512 * MIB, 512 * MIB), "tcg", 2) as vm:
        vm.wait_passes_more(1, 30)
        for number, limit in enumerate((128, 256, 64, 512, 192)):
            configure(vm, id="ram0", dram_limit=limit * MIB, prefetch=bool(number % 2),
                      eviction_policy=("lru", "lfu", "fifo")[number % 3], cold_age=number + 1)
            wait_dram_below(vm, [512 * MIB], limit * MIB, 60)
            vm.wait_passes_more(1, 60)
        require_healthy(query(vm))


def test_bad_settings_change_nothing(folder):
    with baremetal(folder, "size=64 passes=0", ram(512 * MIB, 128 * MIB)) as vm:
        for settings in ({"dram_limit": MIB}, {"cold_age": 0}, {"prefetch_window": 100000}):
            before = query(vm)
            try:
                configure(vm, id="ram0", eviction_policy="fifo", **settings)
            except QmpError as refusal:
                name = next(iter(settings)).replace("_", "-")
                require(name in str(refusal), f"the refusal does not name {name}: {refusal}")
            else:
                require(False, f"{settings} was accepted")
            after = query(vm)
            require(after["eviction-policy"] == before["eviction-policy"]
                    and after["dram-limit"] == before["dram-limit"], "something was changed")
