#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots the demonstration guest, shows where its pages are, and sums up; see scripts/quickstart."""
import argparse
import os
import pathlib
import re
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests/qemu"))
if not os.environ.get("TIDEMARK_TIERS"):
    os.environ.pop("TIDEMARK_TIERS", None)

# pylint: disable=wrong-import-position # they live with the tests
from guest import GIB, MIB, PAGE, TestFailure, log_folder, require_kvm  # noqa: E402
from machines import linux, ram, tier_directory  # noqa: E402
from smaps import guest_dram  # noqa: E402

LIMIT = 256 * MIB
TIMEOUT = 600


class Summary:
    """Follows one guest to the end of its jobs."""

    def __init__(self, vm):
        self.vm = vm
        self.started = time.monotonic()
        self.dram_highest = 0
        self.on_terminal = sys.stdout.isatty()

    def sample(self):
        info = self.vm.qmp.command("query-tiered-memory")[0]
        self.dram_highest = max(self.dram_highest, guest_dram(self.vm.pid, [GIB]))
        return info

    def phase(self):
        """The last thing the guest said."""
        lines = re.findall(r"^(?:GUEST|REDIS|PATTERN|JOB).*$", self.vm.console_text(), re.M)
        return lines[-1].strip() if lines else "booting"

    def live_line(self, info):
        pages = info["pages"]
        tiers = ", ".join(f"{tier['class']} {mib(tier['pages'] * PAGE)}" for tier in info["tiers"])
        text = (f"{time.monotonic() - self.started:4.0f} s  DRAM {mib(info['dram-used'])} of "
                f"{mib(info['dram-limit'])}  on {tiers}  zero {mib(pages['zero'] * PAGE)}  "
                f"untouched {mib(pages['untouched'] * PAGE)}  faults {info['counters']['faults']}  "
                f"[{self.phase()}]")
        if self.on_terminal:
            columns = os.get_terminal_size().columns
            print(f"\r{text[:columns - 1]:{columns - 1}}", end="", flush=True)
        else:
            print(text, flush=True)

    def follow(self):
        """Until the guest's jobs are done; returns the last state."""
        while True:
            info = self.sample()
            self.live_line(info)
            if "JOBS DONE" in self.vm.console_text():
                print()
                return info
            if not self.vm.alive():
                raise TestFailure(f"QEMU ended early: {self.vm.describe()}")
            if time.monotonic() - self.started > TIMEOUT:
                raise TestFailure(f"the guest was not done after {TIMEOUT} s: "
                                  f"{self.vm.describe()}")
            time.sleep(1)


def mib(size):
    return f"{size / MIB:.0f} MiB"


def microseconds(nanoseconds):
    return f"{nanoseconds / 1000:.0f} us"


def print_tiers(info):
    for tier in info["tiers"]:
        state = "degraded" if tier["degraded"] else "healthy"
        print(f"  {tier['class']:5} {mib(tier['pages'] * PAGE):>9} of pages  "
              f"read {mib(tier['read-bytes']):>9}  written {mib(tier['written-bytes']):>9}  {state}, "
              f"{'O_DIRECT' if tier['direct-io'] else 'through the page cache'}")


def print_summary(info, summary, seconds):
    counters, latency = info["counters"], info["fault-latency"]
    print("\nSummary")
    print(f"  guest RAM {mib(info['size'])}, DRAM limit {mib(info['dram-limit'])}, in use now "
          f"{mib(info['dram-used'])}, most seen by the kernel (smaps) {mib(summary.dram_highest)}")
    print("  pages: " + ", ".join(f"{count} {state}" for state, count in info["pages"].items()
                                  if count))
    print_tiers(info)
    print(f"  faults {counters['faults']}, refaults {counters['refaults']} "
          f"({counters['faults-stored']} read from a tier, {counters['faults-staged']} caught in "
          f"DRAM), evicted pages {counters['evicted-pages']}")
    print(f"  fault latency p50 {microseconds(latency['p50'])}, p99 {microseconds(latency['p99'])}")
    print(f"  metadata {info['metadata-bytes'] * PAGE / info['size']:.1f} bytes per page, "
          f"run time {seconds:.0f} s")


def problems_of(info, console, summary):
    """Everything that keeps this run from counting as verified."""
    found = []
    for name in ("REDIS", "PATTERN"):
        result = re.search(rf"^{name} (OK|FAILED).*$", console, re.M)
        print(f"  {result.group(0).strip() if result else name + ': no result'}")
        if not result or result.group(1) != "OK" or " bad=0" not in result.group(0):
            found.append(f"{name.lower()} did not verify its data")
    if "JOBS DONE failed=0" not in console:
        found.append("a job failed in the guest")
    for tier in info["tiers"]:
        for name in ("read-errors", "write-errors", "checksum-errors"):
            if tier[name]:
                found.append(f"tier {tier['class']} has {tier[name]} {name}")
    if info["counters"]["faults-stored"] == 0:
        found.append("nothing was ever read back from a tier")
    slack = max(LIMIT // 50, 4 * MIB)
    if summary.dram_highest > LIMIT + slack:
        found.append(f"DRAM use reached {mib(summary.dram_highest)}")
    return found


def main():
    parser = argparse.ArgumentParser(prog="quickstart")
    parser.add_argument("--accel", choices=("tcg", "kvm"), default="tcg")
    parser.add_argument("--redis", type=int, default=400, metavar="MIB")
    parser.add_argument("--pattern", type=int, default=700, metavar="MIB")
    options = parser.parse_args()
    if options.accel == "kvm":
        require_kvm()
    place = str(tier_directory())
    tiers = [{"path": place, "class": "nvme", "capacity": 512 * MIB},
             {"path": place, "class": "qlc", "capacity": GIB}]
    version = (ROOT / "build/guest/kernel-version").read_text().strip()
    print(f"Guest: Debian kernel {version}, 2 vCPUs, 1 GiB RAM on {mib(LIMIT)} of DRAM; tiers in "
          f"{place}")
    print("Accelerator: KVM" if options.accel == "kvm" else
          "Accelerator: TCG, QEMU's emulator, which runs everywhere; --accel kvm where Linux "
          "guests boot under KVM")
    folder = log_folder("quickstart")
    jobs = f"redis:{options.redis},pattern:{options.pattern}:1"
    with linux(folder, ram(GIB, LIMIT, tiers=tiers, cold_age=30), jobs, end="console",
               accel=options.accel) as vm:
        summary = Summary(vm)
        info = summary.follow()
        print_summary(info, summary, time.monotonic() - summary.started)
        found = problems_of(info, vm.console_text(), summary)
        vm.qmp.command("quit")
        vm.wait_exit(30)
    for problem in found:
        print(f"  FAILED: {problem}")
    print("  Not everything was verified." if found else "  Every byte was verified.")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TestFailure as failure:
        sys.exit(f"\nquickstart failed: {failure}")
