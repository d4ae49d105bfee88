# SPDX-License-Identifier: GPL-2.0-or-later
"""A working set is recorded, saved, and brought back from its file."""
import pathlib

from guest import MIB, PAGE, require, wait_for
from machines import baremetal, ram
from qmp import QmpError
from tier_stats import configure, query, require_healthy

SIZE = 512 * MIB
LIMIT = 128 * MIB
LOAD = "size=256 passes=0 words=32"


def refused(vm, name, words, **arguments):
    """The command must fail with a sentence that has all the words."""
    try:
        vm.qmp.command(name, id="ram0", **arguments)
    except QmpError as error:
        for word in words:
            require(word in str(error), f"{name} does not speak of '{word}': {error}")
    else:
        raise AssertionError(f"{name} {arguments} was not refused")


def record_one_pass(vm, file):
    vm.qmp.command("tiered-memory-record-start", id="ram0")
    refused(vm, "tiered-memory-record-start", ["being recorded already"])
    vm.wait_passes_more(2, 60)
    vm.qmp.command("stop")
    saved = vm.qmp.command("tiered-memory-record-save", id="ram0", file=file)
    # In two passes every page of the guest's 256 MiB came into DRAM once.
    require(saved["pages"] * PAGE >= 250 * MIB, f"only {saved['pages']} pages were recorded")
    refused(vm, "tiered-memory-record-save", ["no working set is being recorded"])
    return saved["pages"]


def test_record_and_replay(folder):
    file = str(folder / "job.tmws")
    with baremetal(folder, LOAD, ram(SIZE, LIMIT)) as vm:
        vm.wait_passes_more(1, 60)
        pages = record_one_pass(vm, file)
        configure(vm, id="ram0", dram_limit=32 * MIB)
        wait_for(lambda: query(vm)["pages"]["resident"] * PAGE < 33 * MIB, 30, "nothing leaves DRAM")
        configure(vm, id="ram0", dram_limit=400 * MIB)
        before = query(vm)["counters"]["prefetch-pages"]
        replayed = vm.qmp.command("tiered-memory-replay", id="ram0", file=file)
        require(replayed["pages"] == pages, f"{replayed} pages come of {pages}")
        wait_for(lambda: (query(vm)["counters"]["prefetch-pages"] - before) * PAGE > 200 * MIB, 30,
                 "the replay brings less than 200 MiB in")
        stored = query(vm)["counters"]["faults-stored"]
        vm.qmp.command("cont")
        vm.wait_passes_more(2, 60)
        more = query(vm)["counters"]["faults-stored"] - stored
        require(more < pages // 20, f"{more} faults read from a tier after the replay")
        require_healthy(query(vm))


def test_a_record_thrown_away(folder):
    with baremetal(folder, LOAD, ram(SIZE, LIMIT)) as vm:
        vm.wait_passes_more(1, 60)
        vm.qmp.command("tiered-memory-record-start", id="ram0")
        vm.qmp.command("tiered-memory-record-save", id="ram0")
        refused(vm, "tiered-memory-record-save", ["no working set"])


def test_bad_records(folder):
    file = folder / "good.tmws"
    with baremetal(folder, LOAD, ram(SIZE, LIMIT)) as vm:
        vm.wait_passes_more(1, 60)
        record_one_pass(vm, str(file))
        good = file.read_bytes()
        before = query(vm)["counters"]["prefetch-pages"]

        def bad(name, content, *words):
            path = folder / name
            path.write_bytes(content)
            refused(vm, "tiered-memory-replay", [str(path), *words], file=str(path))

        bad("short", good[:-4], "it should have")
        bad("empty", b"", "within its header")
        bad("flipped", good[:40] + bytes([good[40] ^ 1]) + good[41:], "checksum")
        bad("version", good[:8] + b"\2" + good[9:], "version 2")
        bad("text", b"no record at all, but long enough for one", "does not begin")
        bad("large", bytes(2 * MIB), "at most")
        refused(vm, "tiered-memory-replay", ["can't be read"], file=str(folder / "absent"))
        refused(vm, "tiered-memory-replay", ["no regular file"], file=str(pathlib.Path(folder)))
        require(query(vm)["counters"]["prefetch-pages"] == before, "a bad record brought pages in")
        require(file.read_bytes() == good, "the good record was changed")


def test_a_record_of_another_block(folder):
    file = str(folder / "job.tmws")
    with baremetal(folder, LOAD, ram(SIZE, LIMIT), name="recorder") as vm:
        vm.wait_passes_more(1, 60)
        record_one_pass(vm, file)
    with baremetal(folder, LOAD, ram(SIZE + 64 * MIB, LIMIT), name="other") as vm:
        vm.wait_passes_more(1, 60)
        refused(vm, "tiered-memory-replay", ["recorded from a block of", "and this one has"],
                file=file)
