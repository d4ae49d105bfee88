# SPDX-License-Identifier: GPL-2.0-or-later
"""What is learnt about a guest: shown, switched, told, kept in a file, and acted on."""
import ctypes
import os

from guest import MIB, PAGE, Skip, require, wait_for
from machines import baremetal, ram, tier_directory, tiered, tiers_for
from qmp import QmpError
from tier_stats import configure, query, require_healthy

SIZE = 512 * MIB
LIMIT = 128 * MIB
LOAD = "size=256 passes=0 words=32"
PREDICTORS = ["streams", "successors", "phases", "network"]


def refused(vm, name, words, **arguments):
    """The command must fail with a sentence that has all the words."""
    try:
        vm.qmp.command(name, **arguments)
    except QmpError as error:
        for word in words:
            require(word in str(error), f"{name} does not speak of '{word}': {error}")
    else:
        raise AssertionError(f"{name} {arguments} was not refused")


def profile(vm, identity="ram0", **more):
    answer = vm.qmp.command("query-tiered-memory-profile", id=identity, **more)
    require(len(answer) == 1 and answer[0]["id"] == identity, f"not one profile: {answer}")
    return answer[0]


def monitor(vm, line):
    return vm.qmp.command("human-monitor-command", command_line=line)


def prefetched(vm, origin):
    return next(one for one in query(vm)["counters"]["prefetch"] if one["origin"] == origin)


def walked(vm, passes=3):
    """The profile of a guest that has walked its memory some times more."""
    vm.wait_passes_more(passes, 60)
    return wait_for(lambda: (found := profile(vm, heat=True))["working-set"][0]["seen"] >= 200 * MIB
                    and found, 30, "the walk makes no working set")


def test_profile_of_a_walk(folder):
    with baremetal(folder, LOAD, ram(SIZE, LIMIT)) as vm:
        found = walked(vm)
        require(found["watching"], f"an armed block is not watched: {found}")
        require([one["window"] for one in found["working-set"]] == [10, 60, 600]
                and [one["age"] for one in found["cold"]] == [30, 120, 600], f"windows: {found}")
        most = max(one["estimate"] for one in found["working-set"])
        require(most < 320 * MIB, f"256 MiB are used, not {most}")
        require(found["used-per-second"] > 0 and found["refaults-per-second"] > 0
                and found["in-order"] > 0.5 and found["locality"] > 0.5, f"no walk: {found}")
        require(found["more-dram"][-1]["saved-refaults"] > 0.5,
                f"twice the DRAM would save nothing: {found['more-dram']}")
        heat = found["heat"]
        used = heat["cells"][16 * MIB // heat["cell-bytes"]:272 * MIB // heat["cell-bytes"]]
        unused = heat["cells"][288 * MIB // heat["cell-bytes"]:448 * MIB // heat["cell-bytes"]]
        require(min(used) > 0 and max(unused) == 0, f"the heat is elsewhere: {heat}")
        require("heat" not in profile(vm), "heat was not asked for")
        require(found["learner-bytes"] < SIZE // 250, f"more than 0.4 % of RAM: {found}")
        for word in ("ram0", "used in the last 10 s", "forecasts of phases", "each: ["):
            require(word in monitor(vm, "info tiered-memory -p"), f"'{word}' is not on the page")
        require("streams" in monitor(vm, "info tiered-memory"), "no predictors are shown")
        out_of_band = vm.qmp_oob.command("query-tiered-memory-profile", exec_oob=True)
        require(out_of_band[0]["id"] == "ram0", f"not answered out of band: {out_of_band}")


def test_nothing_to_see(folder):
    """A block that is not armed is not watched, and says so; once armed it is."""
    with baremetal(folder, LOAD, ram(SIZE, SIZE)) as vm:
        vm.wait_passes_more(1, 60)
        require(not profile(vm)["watching"], "nothing can be seen, but it is watched")
        configure(vm, id="ram0", dram_limit=LIMIT)
        wait_for(lambda: profile(vm)["watching"], 30, "the armed block is not watched")
        walked(vm)


def test_learning_off_and_on(folder):
    off = ["'ram0'", "'learn' is off"]
    with baremetal(folder, LOAD, ram(SIZE, LIMIT, learn=False)) as vm:
        vm.wait_passes_more(1, 60)
        require(query(vm)["learn"] is False, "learn is not reported")
        refused(vm, "query-tiered-memory-profile", off)
        refused(vm, "query-tiered-memory-profile", off, id="ram0")
        refused(vm, "query-tiered-memory-profile", ["'ram7'"], id="ram7")
        refused(vm, "tiered-memory-learned-save", off, id="ram0", file=str(folder / "none"))
        require("'learn' is off" in monitor(vm, "info tiered-memory -p"), "no sentence on the page")
        configure(vm, id="ram0", learn=True)
        wait_for(lambda: "'learn' is off" not in monitor(vm, "info tiered-memory -p"), 10,
                 "learning does not start")
        walked(vm)
        vm.qmp.command("qom-set", path="/objects/ram0", property="learn", value=False)

        def stopped():
            try:
                return not profile(vm)
            except QmpError:
                return True
        wait_for(stopped, 10, "learning does not stop")
        refused(vm, "query-tiered-memory-profile", off)


def test_a_label_wins(folder):
    with baremetal(folder, LOAD, ram(SIZE, LIMIT)) as vm:
        before = walked(vm)
        require(not before["workload-labelled"], f"labelled by nobody: {before}")
        vm.qmp.command("tiered-memory-set-workload", id="ram0", workload="database")
        told = profile(vm)
        require(told["workload"] == "database" and told["workload-labelled"], f"not so: {told}")
        require("as told" in monitor(vm, "info tiered-memory -p"), "the page does not say so")
        vm.qmp.command("tiered-memory-set-workload", id="ram0", workload="unknown")
        require(not profile(vm)["workload-labelled"], "the label can't be taken back")
        refused(vm, "tiered-memory-set-workload", ["juggling"], id="ram0", workload="juggling")


def test_classes_of_guests(folder):
    """A guest that walks is called batch-like; once it has done nothing for a minute, idle."""
    with baremetal(folder, LOAD, ram(SIZE, LIMIT, cold_age=8)) as vm:
        def called(workload):
            found = profile(vm)
            require(found["workload"] in ("unknown", *allowed) and not found["workload-labelled"],
                    f"called {found['workload']}: {found}")
            return found["workload"] == workload

        allowed = ["batch"]
        wait_for(lambda: called("batch"), 60, "a walk is not called batch-like")
        vm.qmp.command("stop")
        allowed = ["batch", "idle"]
        wait_for(lambda: called("idle"), 180, "a guest that does nothing is not called idle", 0.2)
        confidence = profile(vm)["workload-confidence"]
        require(0.5 <= confidence <= 1, f"the confidence is {confidence}")


def drive_out(vm, limit):
    """Stops the guest, has its memory leave DRAM, and makes room again up to limit."""
    vm.qmp.command("stop")
    configure(vm, id="ram0", dram_limit=32 * MIB)
    wait_for(lambda: query(vm)["dram-used"] < 33 * MIB, 30, "nothing leaves DRAM")
    configure(vm, id="ram0", dram_limit=limit)


def wait_more_learnt(vm, file, than):
    def saved():
        vm.qmp.command("tiered-memory-learned-save", id="ram0", file=str(file))
        return file.stat().st_size > than
    wait_for(saved, 120, "nothing more is learnt", 0.2)
    return file.read_bytes()


def test_learned_goes_to_another_machine(folder):
    file, again = folder / "job.tmln", folder / "again.tmln"
    phases = {"predictors": ["phases"]}  # the network learns from silence, too
    with baremetal(folder, "size=96 passes=0 words=32", ram(SIZE, 64 * MIB, **phases),
                   name="first") as vm:
        vm.qmp.command("tiered-memory-learned-save", id="ram0", file=str(again))
        vm.wait_passes_more(8, 60)
        drive_out(vm, LIMIT)
        good = wait_more_learnt(vm, file, again.stat().st_size)
        configure(vm, id="ram0", predictors=["phases", "network"])
        full = wait_more_learnt(vm, again, len(good))
    with baremetal(folder, "size=96", ram(SIZE, LIMIT, **phases), name="second",
                   extra=["-S"]) as vm:
        vm.qmp.command("tiered-memory-learned-load", id="ram0", file=str(file))
        vm.qmp.command("tiered-memory-learned-save", id="ram0", file=str(again))
        require(again.read_bytes() == good, "what was loaded is not what was saved")
        check_bad_files(vm, folder, good)
        vm.qmp.command("tiered-memory-learned-save", id="ram0", file=str(again))
        require(again.read_bytes() == good, "a bad file changed what was learnt")
        refused(vm, "tiered-memory-learned-save", ["nowhere"], id="ram0",
                file=str(folder / "nowhere/file"))
        file.write_bytes(full)
        configure(vm, id="ram0", predictors=["phases", "network"])
        vm.qmp.command("tiered-memory-learned-load", id="ram0", file=str(file))
        wait_more_learnt(vm, again, len(good))
    with baremetal(folder, "size=96", ram(SIZE + 64 * MIB, LIMIT), name="other", extra=["-S"]) as vm:
        refused(vm, "tiered-memory-learned-load", ["it is of a block of", "and this has"],
                id="ram0", file=str(file))


def sketch(vm):
    answer = vm.qmp.command("query-tiered-memory-sketch", id="ram0")
    require(len(answer) == 1 and answer[0]["id"] == "ram0", f"not one sketch: {answer}")
    values = answer[0]["values"]
    require(values == sorted(set(values)) and len(values) <= 256, "values are not ascending")
    require(len(values) <= answer[0]["pages"], "more values than pages")
    return values


def common(one, other):
    smallest = sorted(set(one) | set(other))[:256]
    return len(set(one) & set(other) & set(smallest)) / max(1, len(smallest))


def test_sketches_of_equal_and_other_content(folder):
    found = []
    for name, load in (("first", "size=96"), ("again", "size=96"), ("other", "start=200 size=96")):
        load += " passes=0 words=32 rewrite=0"
        with baremetal(folder, load, ram(SIZE, 32 * MIB), name=name) as vm:
            vm.wait_passes_more(2, 60)
            found.append(sketch(vm))
            require_healthy(query(vm))
            refused(vm, "query-tiered-memory-sketch", ["nobody"], id="nobody")
    require(len(found[0]) > 100, f"only {len(found[0])} checksums are known")
    require(common(found[0], found[1]) > 0.5, "equal guests do not look alike")
    require(common(found[0], found[2]) < common(found[0], found[1]), "another one looks as alike")


def check_bad_files(vm, folder, good):
    def bad(name, content, *words):
        path = folder / name
        path.write_bytes(content)
        refused(vm, "tiered-memory-learned-load", [str(path), *words], id="ram0", file=str(path))

    bad("short", good[:-4], "it should have")
    bad("empty", b"", "within its header")
    bad("flipped", good[:40] + bytes([good[40] ^ 1]) + good[41:], "checksum")
    bad("version", good[:8] + b"\x7f" + good[9:], "version 127")
    bad("text", b"nothing learnt at all, but long enough for it", "does not begin")
    refused(vm, "tiered-memory-learned-load", ["can't be read"], id="ram0",
            file=str(folder / "absent"))


def test_predictors(folder):
    with baremetal(folder, LOAD, ram(SIZE, LIMIT, predictors=["phases", "streams"])) as vm:
        require(query(vm)["predictors"] == ["streams", "phases"], f"given two: {query(vm)}")
        vm.wait_passes_more(2, 60)
        require(prefetched(vm, "streams")["used"] > 0, "streams bring nothing in")
        configure(vm, id="ram0", predictors=[])
        require(query(vm)["predictors"] == [], f"none are wanted: {query(vm)['predictors']}")
        vm.wait_passes_more(1, 60)
        before = prefetched(vm, "streams")["issued"]
        vm.wait_passes_more(1, 120)
        require(prefetched(vm, "streams")["issued"] == before, "streams go on though they are off")
        vm.qmp.command("qom-set", path="/objects/ram0", property="predictors", value=["streams"])
        wait_for(lambda: prefetched(vm, "streams")["issued"] > before, 60, "streams stay off")
        require(vm.qmp.command("qom-get", path="/objects/ram0", property="predictors")
                == ["streams"], "qom-get tells something else")
        refused(vm, "tiered-memory-configure", ["oracle"], id="ram0", predictors=["oracle"])
        require_healthy(query(vm))


def test_keyval_form(folder):
    words = ["memory-backend-tiered", "id=ram0", "size=512M", "dram-limit=128M", "learn=off",
             f"tiers.0.path={tier_directory()}", "tiers.0.class=nvme", "tiers.0.capacity=512M",
             "tiers.0.write-budget=3G", "predictors.0=network", "predictors.1=successors",
             "reclaim-slowdown=7"]
    memory = ["-m", "512M", "-machine", "memory-backend=ram0", "-object", ",".join(words)]
    with baremetal(folder, "size=16", memory, extra=["-S"]) as vm:
        info = query(vm)
        require(info["predictors"] == ["successors", "network"] and info["learn"] is False
                and info["reclaim-slowdown"] == 7
                and info["tiers"][0]["write-budget"] == 3 << 30, f"not understood: {info}")


def test_bad_settings(folder):
    with baremetal(folder, "size=16", ram(SIZE, LIMIT), extra=["-S"]) as vm:
        before = query(vm)
        require(before["predictors"] and set(before["predictors"]) <= set(PREDICTORS)
                and before["learn"] is True and before["tiers"][0]["write-budget"] == 0,
                f"defaults: {before}")
        for settings, word in (({"prefetch-window": 0}, "prefetch-window"),
                               ({"cold-age": 172801}, "cold-age"),
                               ({"reclaim-slowdown": 501}, "reclaim-slowdown")):
            refused(vm, "tiered-memory-configure", [word], id="ram0", learn=False, **settings)
        require(query(vm) == before, "a refused setting changed something")


def order(vm, *ranges, **terms):
    return vm.qmp.command("tiered-memory-prefetch", id="ram0", ranges=[
        {"offset": first * MIB, "length": length * MIB} for first, length in ranges], **terms)


def test_bad_orders(folder):
    """A bad range or bad terms: nothing of the order is done."""
    with baremetal(folder, LOAD, ram(SIZE, LIMIT)) as vm:
        vm.wait_passes_more(1, 60)
        drive_out(vm, 400 * MIB)
        good = {"offset": 32 * MIB, "length": 32 * MIB}
        for wrong in ({"offset": SIZE, "length": MIB}, {"offset": 0, "length": SIZE + PAGE},
                      {"offset": 1, "length": PAGE}, {"offset": 0, "length": 100}):
            refused(vm, "tiered-memory-prefetch", ["'ram0'", str(wrong["length"]), "inside"],
                    id="ram0", ranges=[good, wrong])
        for terms, word in (({"confidence": 0}, "confidence is 0"),
                            ({"confidence": 1.5}, "confidence is 1.5"),
                            ({"deadline-ms": 0}, "deadline-ms is 0")):
            refused(vm, "tiered-memory-prefetch", [word], id="ram0", ranges=[good], **terms)
        require(query(vm)["prefetch-queued"] == 0 and prefetched(vm, "request")["issued"] == 0,
                f"something was brought in: {query(vm)}")
        # The whole of what the guest walks: which part of it is still in DRAM depends on where it was stopped.
        stored = query(vm)["pages"]["stored"]
        order(vm, (16, 320))
        wait_for(lambda: query(vm)["prefetch-queued"] == 0, 60, "the queue does not empty")
        issued = prefetched(vm, "request")["issued"]
        require(issued > 0.8 * stored > 128 * MIB // PAGE, f"{issued} of {stored} pages came: {query(vm)}")


def test_orders_with_terms(folder):
    """Taken back, too late, and of little confidence; the guest then finds every byte."""
    with baremetal(folder, LOAD, ram(SIZE, LIMIT)) as vm:
        vm.wait_passes_more(1, 60)
        drive_out(vm, 400 * MIB)
        order(vm, (16, 128))
        late = order(vm, (144, 48), **{"deadline-ms": 1, "confidence": 0.9})
        ticket = order(vm, (192, 32), confidence=0.8)["ticket"]
        require(0 < late["ticket"] < ticket, f"tickets: {late}, {ticket}")
        cancelled = vm.qmp.command("tiered-memory-prefetch-cancel", id="ram0", ticket=ticket)
        require(0 < cancelled["pages"] <= 32 * MIB // PAGE, f"cancelled: {cancelled}")
        wait_for(lambda: query(vm)["prefetch-queued"] == 0, 30, "the queue does not empty")
        again = vm.qmp.command("tiered-memory-prefetch-cancel", id="ram0", ticket=ticket)
        require(again == {"pages": 0}, f"cancelled twice: {again}")
        staged = query(vm)["pages"]["staged"]
        order(vm, (224, 16), confidence=0.3)
        wait_for(lambda: query(vm)["pages"]["staged"] > staged, 30,
                 "doubtful pages do not wait where their use is seen")
        declined = query(vm)["counters"]["prefetch-declined"] * PAGE
        require(40 * MIB < declined <= 48 * MIB, f"{declined} bytes were too late, not 48 MiB")
        used = prefetched(vm, "request")["used"]
        vm.qmp.command("cont")
        vm.wait_passes_more(2, 60)
        require(prefetched(vm, "request")["used"] > used, "their use is not seen")
        order(vm, (16, 64))
        vm.qmp.command("tiered-memory-prefetch-cancel", id="ram0")
        require_healthy(query(vm))


def pressure_from(path):
    """For before_exec: QEMU reads the host's I/O pressure from this file, and only QEMU does."""
    if os.geteuid() != 0:
        raise Skip("only root can show QEMU another I/O pressure than the host's")
    if not os.path.exists("/proc/pressure/io"):
        raise Skip("this kernel does not tell its I/O pressure")

    def hide():
        libc = ctypes.CDLL(None, use_errno=True)
        new_namespace, bind, private = 0x20000, 0x1000, 0x44000  # private: and all below
        if libc.unshare(new_namespace) or libc.mount(None, b"/", None, private, None) or \
                libc.mount(os.fsencode(path), b"/proc/pressure/io", None, bind, None):
            raise OSError(ctypes.get_errno(), "no mount namespace for QEMU")
    return hide


def tell_pressure(path, percent):
    path.write_text("".join(f"{who} avg10={percent:.2f} avg60=0.00 avg300=0.00 total=0\n"
                            for who in ("some", "full")))


def in_dram(info):
    return (info["pages"]["resident"] + info["pages"]["staged"]) * PAGE


def test_idle_memory_leaves(folder):
    """Two nodes, used alike; memory of the one may leave without pressure, that of the other not."""
    half = 384 * MIB
    settings = {"cold_age": 8, "tiers": tiers_for(half, qlc=False)}
    memory = ["-m", "768M", *tiered("ram0", half, 240 * MIB, **settings),
              *tiered("ram1", half, 240 * MIB, reclaim_slowdown=0, **settings),
              "-numa", "node,nodeid=0,cpus=0,memdev=ram0", "-numa", "node,nodeid=1,memdev=ram1"]
    pressure = folder / "pressure"
    tell_pressure(pressure, 90)
    with baremetal(folder, "start=192 size=384 passes=0 words=32 zero=4", memory,
                   before_exec=pressure_from(pressure)) as vm:
        vm.wait_passes_more(2, 60)
        vm.qmp.command("stop")
        for name in ("ram0", "ram1"):
            info = query(vm, name)
            require(in_dram(info) > 180 * MIB and info["counters"]["evicted-pages"] == 0,
                    f"{name} does not begin in DRAM: {info}")
        used = in_dram(query(vm, "ram0"))
        # Long unused, it goes no further than this as long as the disks are busy with other things.
        wait_for(lambda: query(vm, "ram0")["pages"]["staged"] * PAGE > used * 9 // 10, 60,
                 "unused memory is not put on probation", 0.2)
        tell_pressure(pressure, 0)
        wait_for(lambda: in_dram(query(vm, "ram0")) < used // 10, 60,
                 "unused memory does not leave DRAM", 0.2)
        kept, left = query(vm, "ram1"), query(vm, "ram0")
        require(in_dram(kept) > 180 * MIB and kept["counters"]["evicted-pages"] == 0,
                f"memory left although reclaim-slowdown is 0: {kept}")
        # A page in four is zero: counted, and not written.
        zero = left["counters"]["zero-elided"] * PAGE
        require(zero > 192 * MIB // 4 * 9 // 10, f"only {zero} bytes were found to be zero")
        require(left["tiers"][0]["written-bytes"] <= used - zero, f"zeros were written: {left}")
        vm.qmp.command("cont")
        vm.wait_passes_more(2, 60)
        require_healthy(query(vm, "ram0"))
        vm.qmp.command("stop")
        configure(vm, id="ram1", reclaim_slowdown=20)
        wait_for(lambda: in_dram(query(vm, "ram1")) < used // 10, 90,
                 "memory stays although reclaim is on now", 0.2)
