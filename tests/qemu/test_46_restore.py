# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest saved to a file and restored into other machines: what the first one recorded brings its working set
back there before it is touched."""
import contextlib

from guest import MIB, PAGE, require, wait_for
from machines import baremetal, ram
from tier_stats import configure, query, require_healthy

SIZE = 512 * MIB
LIMIT = 128 * MIB
WIDE = 400 * MIB  # holds all that the job uses
JOB_PAGES = 256 * MIB // PAGE
# In an order that no read-ahead follows: what comes before it is touched, the replay brought.
LOAD = "size=256 passes=0 words=32 order=rand"


def use_mapped_ram(vm):
    vm.qmp.command("migrate-set-capabilities",
                   capabilities=[{"capability": "mapped-ram", "state": True}])


def wait_migrated(vm):
    def finished():
        status = vm.qmp.command("query-migrate").get("status")
        require(status not in ("failed", "cancelled"), f"migration {status}: {vm.describe()}")
        return status == "completed"
    wait_for(finished, 60, f"migration does not complete: {vm.describe()}")


def record_and_save(folder, state, record):
    """Brings a guest to a state, records two passes of its job, saves it. Returns the hash of its RAM."""
    with baremetal(folder, LOAD, ram(SIZE, LIMIT), name="first") as vm:
        vm.wait_passes_more(2, 60)
        vm.qmp.command("tiered-memory-record-start", id="ram0")
        vm.wait_passes_more(2, 60)
        vm.qmp.command("stop")
        pages = vm.qmp.command("tiered-memory-record-save", id="ram0", file=record)["pages"]
        require(pages >= JOB_PAGES * 0.97, f"only {pages} pages were recorded")
        use_mapped_ram(vm)
        vm.qmp.command("migrate", uri=f"file:{state}")
        wait_migrated(vm)
        require_healthy(query(vm))
        return vm.memory_hash(SIZE)


@contextlib.contextmanager
def restored(folder, name, state):
    """The saved guest in a machine of its own, stopped, nearly all of it in the tiers, with room in DRAM."""
    with baremetal(folder, LOAD, ram(SIZE, LIMIT), name=name, incoming=True) as vm:
        use_mapped_ram(vm)
        vm.qmp.command("migrate-incoming", uri=f"file:{state}")
        wait_for(lambda: vm.qmp.command("query-status")["status"] == "paused", 60,
                 f"the guest is not restored: {vm.describe()}")
        configure(vm, id="ram0", dram_limit=32 * MIB)
        wait_for(lambda: query(vm)["pages"]["resident"] * PAGE < 33 * MIB, 30, "nothing leaves DRAM")
        configure(vm, id="ram0", dram_limit=WIDE)
        yield vm


def replay(vm, record):
    """The guest is stopped: what leaves the tiers now leaves them for the replay's sake."""
    stored = query(vm)["pages"]["stored"]
    require(stored > JOB_PAGES * 0.8, f"only {stored} pages are in a tier")
    vm.qmp.command("tiered-memory-replay", id="ram0", file=record)
    wait_for(lambda: query(vm)["pages"]["stored"] < JOB_PAGES * 0.02, 30, "the replay leaves much behind")


def faults_of_job(vm):
    """Pages read from a tier because the guest waited for them, in two passes of its job."""
    before = query(vm)["counters"]["faults-stored"]
    vm.qmp.command("cont")
    vm.wait_passes_more(2, 60)
    after = query(vm)
    require_healthy(after)
    return after["counters"]["faults-stored"] - before


def test_replay_in_a_restored_guest(folder):
    state, record = folder / "state", str(folder / "job.tmws")
    try:
        saved = record_and_save(folder, state, record)
        with restored(folder, "plain", state) as vm:
            require(vm.memory_hash(SIZE) == saved, "the restored RAM differs")
        with restored(folder, "second", state) as vm:
            replay(vm, record)
            with_replay = faults_of_job(vm)
        with restored(folder, "third", state) as vm:
            without = faults_of_job(vm)
    finally:
        state.unlink(missing_ok=True)
    require(without > JOB_PAGES // 2, f"only {without} faults without the replay: nothing was out")
    require(with_replay < without * 0.03, f"{with_replay} faults with the replay, {without} without")
