# SPDX-License-Identifier: GPL-2.0-or-later
"""The bare-metal guest on tiered memory: every byte verified, DRAM never above its limit."""
from guest import MIB, Watcher, require
from machines import baremetal, ram, tiers_for
from tier_stats import (dram_sampler, query, require_evicted, require_healthy,
                        require_large_qlc_writes, require_never_above)

SIZE = 512 * MIB
LIMIT = 128 * MIB


def run(folder, accel, cpus, job, **properties):
    """Runs a bounded job to its end with hold=1, so that the numbers can be read afterwards."""
    with baremetal(folder, f"{job} hold=1", ram(SIZE, LIMIT, **properties), accel, cpus) as vm:
        with Watcher(dram_sampler(vm, [SIZE])) as watcher:
            vm.wait_debug(r"DONE bad=\d+", 90)
        vm.wait_debug("DONE bad=0", 1)
        vm.check_no_bad()
        require_never_above(watcher, LIMIT)
        require(watcher.highest() > LIMIT // 2, "the sampler does not see guest memory at all")
        require_evicted(vm, 256)
        info = query(vm)
        require_healthy(info)
        require_large_qlc_writes(info)
        require(info["dram-used"] <= LIMIT + info["dram-slack"], f"says it uses {info}")
        vm.qmp.command("quit")
        require(vm.wait_exit(20) == 0, f"quit did not end well: {vm.describe()}")


def test_tcg_one_cpu(folder):
    run(folder, "tcg", 1, "size=400 passes=3")


def test_tcg_two_cpus(folder):
    run(folder, "tcg", 2, "size=300 passes=3 order=rand words=64")


def test_kvm_one_cpu(folder):
    run(folder, "kvm", 1, "size=400 passes=3")


def test_kvm_two_cpus(folder):
    run(folder, "kvm", 2, "size=300 passes=3 order=rand words=64")


def test_kvm_two_cpus_sequential(folder):
    run(folder, "kvm", 2, "size=400 passes=3 words=64 zero=16")


def test_lfu(folder):
    run(folder, "tcg", 2, "size=400 passes=2 words=64", eviction_policy="lfu")


def test_fifo(folder):
    run(folder, "tcg", 2, "size=400 passes=2 words=64", eviction_policy="fifo")


def test_nvme_only_without_prefetch(folder):
    run(folder, "tcg", 1, "size=320 passes=2 words=64", tiers=tiers_for(SIZE, qlc=False),
        prefetch=False)


def test_clean_pages_are_not_written_again(folder):
    """Passes that only read: pages leave DRAM again without a write."""
    with baremetal(folder, "size=300 passes=4 rewrite=0 zero=16 hold=1", ram(SIZE, LIMIT)) as vm:
        vm.wait_debug("DONE bad=0", 90)
        info = query(vm)
        require(info["counters"]["clean-elided"] > 0, f"no clean page was elided: {info}")
        require(info["counters"]["zero-elided"] > 0, f"no zero page was elided: {info}")
        written = sum(tier["written-bytes"] for tier in info["tiers"])
        evicted = info["counters"]["evicted-pages"] * 4096
        require(written < evicted * 3 // 4, f"wrote {written} bytes for {evicted} evicted")


def test_keyval_form(folder):
    tiers = tiers_for(SIZE)
    words = ["memory-backend-tiered", "id=ram0", "size=512M", "dram-limit=128M"]
    for index, tier in enumerate(tiers):
        words += [f"tiers.{index}.path={tier['path']}", f"tiers.{index}.class={tier['class']}",
                  f"tiers.{index}.capacity={tier['capacity'] // MIB}M"]
    memory = ["-m", "512M", "-machine", "memory-backend=ram0", "-object",
              ",".join(words + ["eviction-policy=lfu", "cold-age=7", "prefetch=off"])]
    with baremetal(folder, "size=256 passes=2 hold=1", memory) as vm:
        vm.wait_debug("DONE bad=0", 60)
        info = query(vm)
        require(info["eviction-policy"] == "lfu" and info["cold-age"] == 7
                and info["prefetch"] is False and len(info["tiers"]) == 2,
                f"the keyval form was not understood: {info}")
        vm.check_no_bad()


def test_off_means_off(folder):
    """Patched QEMU without the object: no tiered memory, no userfaultfd on guest RAM."""
    with baremetal(folder, "size=128 passes=2 hold=1", ram(SIZE, None)) as vm:
        vm.wait_debug("DONE bad=0", 30)
        require(vm.qmp.command("query-tiered-memory") == [], "something is tiered")
        with open(f"/proc/{vm.pid}/smaps", encoding="ascii", errors="replace") as lines:
            require(not any(line.startswith("VmFlags:") and " um " in line for line in lines),
                    "a mapping is registered with a userfaultfd")
