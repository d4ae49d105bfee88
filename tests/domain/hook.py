#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The real hook, called as libvirt calls it, with daemons that answer well, badly, slowly or not.

    hook.py HOOK PROGRAM [WORD]    the script that libvirt calls, what it runs; WORD: only tests with it in their name
"""
import grp
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile

from hook_host import ELEMENT, UUID, Daemon, Host, check, domain, http, resolved

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "libvirt-hooks" / "examples"
NEVER_FAIL = ("started", "stopped", "release", "reconnect", "attach", "something-new")


# With a daemon

def test_daemon_decides(host):
    with Daemon(host, lambda line, body: http(200, resolved(host, priority=7))) as daemon:
        written, words = host.starts(domain())
    check(written["dram-limit"] == 256 << 20 and written["priority"] == 7, written)
    check(words == "", words)
    line, body = daemon.seen[0]
    check(line == f"POST /api/v1/domains/{UUID}/prepare HTTP/1.1", line)
    check(body["memory"] == 1 << 30 and body["element"]["dram"] == "50%"
          and body["element"]["service"] == "web", body)


def test_daemon_refuses(host):
    for status in (409, 422):
        problem = http(status, {"title": "x", "detail": "the floor of 1 GiB does not fit"},
                       "application/problem+json")
        with Daemon(host, lambda line, body, problem=problem: problem):
            words = host.refused(domain())
        check(words == "tidemark: the floor of 1 GiB does not fit\n", words)


def test_daemon_is_told(host):
    with Daemon(host, lambda line, body: http(200, {})) as daemon:
        for operation in ("started", "reconnect", "stopped"):
            check(host.call(operation, domain()) == (0, ""), operation)
    check([line.split()[1].rsplit("/", 1)[1] for line, _ in daemon.seen]
          == ["started", "reconnect", "stopped"], daemon.seen)
    check(all(body["element"]["service"] == "web" for _, body in daemon.seen), daemon.seen)


def test_bad_element_does_not_reach_the_daemon(host):
    with Daemon(host, lambda line, body: http(200, resolved(host))) as daemon:
        words = host.refused(domain(ELEMENT.replace("50%", "500%")))
        check("line 6: dram of <memory> is '500%'; it must be 1% to 100%" in words, words)
        words = host.refused(domain(more="<memoryBacking><hugepages/><locked/></memoryBacking>"))
    check(len(words.splitlines()) == 2, words)
    check(not daemon.seen, daemon.seen)


# Daemons that are as good as down

BAD_ANSWERS = {
    "garbage": b"\0\1\2 what?\r\n\r\n",
    "nothing": b"",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "no JSON": http(200, "hello"),
    "other JSON": http(200, {"version": 1}),
    "other domain": None,  # made below: it needs the host's paths
    "500": http(500, {"detail": "out of order"}),
    "404": http(404, {"detail": "no such thing"}),
    "too large": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
    "endless": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "slow": "slow",
}


def bad_answers(host):
    for name, answer in BAD_ANSWERS.items():
        if name == "other domain":
            answer = http(200, resolved(host, uuid=UUID[:-1] + "2"))
        yield name, (None if answer == "slow" else answer)


def test_bad_answers_start_on_their_own(host):
    for name, answer in bad_answers(host):
        with Daemon(host, lambda line, body, answer=answer: answer):
            written, words = host.starts(domain())
        check(written["dram-limit"] == 512 << 20, f"{name}: {written}")
        check("starts with its own settings" in words, f"{name}: {words}")
        host.file.unlink()


def test_bad_answers_refuse_if_so_configured(host):
    host.configure("[daemon]\nwhen_down = 'refuse'\n")
    for name, answer in bad_answers(host):
        with Daemon(host, lambda line, body, answer=answer: answer):
            check("when_down is 'refuse'" in host.refused(domain()), name)
    check("when_down is 'refuse'" in host.refused(domain()), "no daemon")


def test_bad_answers_never_fail_what_must_not(host):
    for name, answer in bad_answers(host):
        with Daemon(host, lambda line, body, answer=answer: answer):
            for operation in NEVER_FAIL:
                check(host.call(operation, domain())[0] == 0, f"{name}, {operation}")


# Without a daemon

def test_alone(host):
    written, words = host.starts(domain())
    check("there is no socket" in words and "starts with its own settings" in words, words)
    check(written["group"] == "28468a6b-bb5c-52fa-9cc6-a3a619e6a144", written)  # uuid5, service:web
    check(written["qmp"] == str(host.run / "vm.sock"), written)
    check(host.call("release", domain())[0] == 0 and not host.file.exists(), "release")
    check(host.call("release", domain())[0] == 0, "a second release")


def test_stale_socket(host):
    host.run.mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(host.run / "api.sock"))
    left.close()
    check("nobody listens" in host.starts(domain())[1], "stale socket")


def test_examples(host):
    for path in sorted(EXAMPLES.glob("*.xml")):
        code, words = host.call("restore", path.read_text())
        check(code == 0 and words == "", f"{path.name}: {words}")
    check(not (host.run / "domains").exists(), "restore wrote something")


def test_what_must_not_start(host):
    for xml, words in (
            (domain(ELEMENT.replace("50%", "2GiB")), "memory is only 1 GiB"),
            (domain(ELEMENT.replace("/></", "/><tidemark:tier name='slow'/></")),
             "name of <tier> is 'slow', but this host has only 'fast'"),
            (domain(more="<memoryBacking><hugepages/></memoryBacking>"), "<hugepages/>"),
            (domain(more="<memoryBacking><locked/></memoryBacking>"), "<locked/>"),
            (domain(more="<memoryBacking><access mode='shared'/></memoryBacking>"), "shared memory"),
            (domain(more="<devices><emulator>/bin/ls</emulator></devices>"), "a QEMU without Tidemark"),
            (domain(uuid="nonsense"), "<uuid> is 'nonsense'"),
            (domain(ELEMENT.replace("memory ", "memroy ").replace(":memory>", ":memroy>")),
             "<memroy> is no element"),
            (domain() + "<x", "not well-formed"),
            (domain(more="<!-- " + "x" * (1 << 20) + " -->"), "at most 1 MiB")):
        check(words in host.refused(xml), f"{words!r} is not in {host.call('prepare', xml)}")
        if "without Tidemark" not in words and "uuid" not in words:
            code, said = host.call("migrate", xml)
            check(code == 1 and words in said, f"migrate: {said}")
        for operation in NEVER_FAIL:
            check(host.call(operation, xml)[0] == 0, f"{operation}: {words}")


def test_tier_that_is_not_there(host):
    shutil.rmtree(host.tier)
    check("does not exist; a tier of the host must be a directory" in host.refused(domain()), "")
    host.tier.write_text("")
    check("is no directory" in host.refused(domain()), "")


def test_own_tier(host):
    def with_tier(path):
        return domain(ELEMENT.replace(
            "/></", f"/><tidemark:tier class='qlc' path='{path}' capacity='2G'/></"))
    written, _ = host.starts(with_tier(host.tier.parent / "new-file"))
    check(written["tiers"][0]["class"] == "qlc" and len(written["tiers"]) == 1, written)
    host.file.unlink()
    check("nor does the directory around it" in host.refused(with_tier("/nonexistent/x")), "")
    check("neither a directory nor" in host.refused(with_tier("/dev/null")), "")


# Domains that are not ours

def test_not_ours_costs_nothing(host):
    host.config.write_text("this is [ no TOML")
    for xml in (domain(""), domain("<other xmlns='urn:other'/>"), "", "not XML", "<domain><uuid>",
                domain("", more="<!-- " + "x" * (3 << 20) + " -->"),
                domain(ELEMENT.replace("dram", "mode='off' dram")),
                domain("<t:memory xmlns:t='urn:tidemark:domain:1' mode='off' x='y'>z</t:memory>")):
        for operation in ("prepare", "start", "migrate", "restore", *NEVER_FAIL):
            code, words = host.call(operation, xml)
            check(code == 0 and words == "", f"{operation} of {xml[:80]}: {code}, {words}")


def test_not_ours_any_more_leaves_no_file(host):
    for xml in (domain(""), domain(ELEMENT.replace("dram", "mode='off' dram"))):
        for operation in ("prepare", "release"):
            host.starts(domain())
            check(host.call("started", xml)[0] == 0 and host.file.exists(), "started removed it")
            check(host.call(operation, xml)[0] == 0 and not host.file.exists(), operation)
    # What stands in <uuid> names a file only if it is a UUID.
    outside = host.run / "x.json"
    outside.write_text("{}")
    for uuid in ("../x", "../" * 11 + "abc", "." * 36):
        host.call("prepare", domain("", uuid=uuid))
    check(outside.exists(), "a file elsewhere is gone")


def test_broken_configuration(host):
    host.config.write_text("[daemon]\nwhen_dwon = 'start'\n")
    words = host.refused(domain())
    check("tidemark.toml line 2: [daemon] has no key 'when_dwon'" in words, words)
    for operation in NEVER_FAIL:
        check(host.call(operation, domain())[0] == 0, operation)


def test_a_crash_kills_no_guest(host):
    """With a C library whose connect() aborts, or never returns."""
    host.run.mkdir()
    for body in ("abort()", "for (;;) pause()"):
        source = host.tier / "broken.c"
        source.write_text("#include <stdlib.h>\n#include <unistd.h>\n"
                          f"int connect(void) {{ {body}; }}\n")
        library = host.tier / "broken.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", library, source], check=True)
        host.environment["LD_PRELOAD"] = str(library)
        for operation in ("started", "reconnect", "stopped"):
            check(host.call(operation, domain())[0] == 0, f"{operation} with {body}")
        if "abort" in body:  # the library is really used
            code, words = host.call("prepare", domain())
            check(code == 1 and f"ended with {128 + signal.SIGABRT} at 'prepare'" in words, words)


def broken_programs(host):
    """What an upgrade may leave of the hook: each is (what is so, the path of the program)."""
    yield "missing", "/nonexistent/tidemark-hook"
    no_program = host.tier / "not-executable"
    no_program.write_text("")
    yield "not executable", str(no_program)
    # Found before the real library, and none.
    (host.tier / "libxml2.so.2").write_text("")
    libraries = subprocess.run(["ldd", host.program], capture_output=True, text=True, check=True).stdout
    check("libxml2.so.2 =>" in libraries, f"the hook has other libraries now: {libraries}")
    host.environment["LD_LIBRARY_PATH"] = str(host.tier)
    yield "without a library", host.program


def test_a_program_that_cannot_run_kills_no_guest(host):
    large = domain(more="<!-- " + "x" * (3 << 20) + " -->")  # more than a pipe holds
    for what, program in broken_programs(host):
        host.environment["TIDEMARK_HOOK"] = program
        for xml in (domain(), large, domain("")):
            for operation in ("start", *NEVER_FAIL):
                check(host.call(operation, xml)[0] == 0, f"{what}: {operation}")
        for operation in ("prepare", "migrate", "restore"):
            check(host.call(operation, domain(""))[0] == 0, f"{what}: {operation} of a domain that is not ours")
            for xml in (domain(), large):
                code, words = host.call(operation, xml)
                check(code == 1 and f"tidemark: the hook's program {program} cannot be run, so domain 'd' does not start"
                      in words, f"{what}: {operation}: {code}, {words}")
        check(not host.run.exists(), f"{what}: something was written")


def test_a_program_that_ends_midway(host):
    """Of what it had read nothing is known any more: such a domain does not start, whosever it is."""
    program = host.tier / "program"
    for end in (127, 3):
        program.write_text(f"#!/bin/sh\ncat >/dev/null\nexit {end}\n")
        program.chmod(0o755)
        host.environment["TIDEMARK_HOOK"] = str(program)
        code, words = host.call("prepare", domain())
        check(code == 1 and words.startswith("tidemark: the hook's program "), words)
        check(host.call("reconnect", domain())[0] == 0, f"reconnect after {end}")


# The file

def test_file_is_for_qemu_only(host):
    def mode_and_group(more=""):
        host.starts(domain(more=more))
        found = host.file.stat()
        return oct(stat.S_IMODE(found.st_mode)), found.st_gid
    if os.geteuid() != 0:
        raise Skip("not root: the file's group cannot be set")
    names = {each.gr_name: each.gr_gid for each in grp.getgrall()}
    usual = names.get("libvirt-qemu", names.get("qemu"))
    check(mode_and_group() == (("0o644", 0) if usual is None else ("0o640", usual)), mode_and_group())
    host.qemu_conf.write_text('# group = "games"\n#group = "x"\ngroups = "y"\n  group = "daemon" # z\n')
    check(mode_and_group() == ("0o640", names["daemon"]), mode_and_group())
    host.qemu_conf.write_text('group = "+12345"\n')
    check(mode_and_group() == ("0o640", 12345), mode_and_group())
    label = "<seclabel type='static' model='dac'><label>+1:+4321</label></seclabel>"
    check(mode_and_group(label) == ("0o640", 4321), mode_and_group(label))


def test_file_is_replaced_whole(host):
    host.starts(domain())
    before = host.file.stat().st_ino
    written, _ = host.starts(domain(ELEMENT.replace("50%", "25%")))
    check(written["dram-limit"] == 256 << 20 and host.file.stat().st_ino != before, written)
    check([path.name for path in host.file.parent.iterdir()] == [host.file.name], "drafts remain")


def test_file_cannot_be_written(host):
    host.run.write_text("no directory")
    code, words = host.call("prepare", domain())
    check(code == 1 and "cannot be" in words and str(host.run) in words, words)
    for operation in NEVER_FAIL:
        check(host.call(operation, domain())[0] == 0, operation)


def test_misused(host):
    done = subprocess.run([host.hook], env=host.environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    check(done.returncode == 2 and b"usage" in done.stderr and not done.stdout, done)


class Skip(Exception):
    pass


def main():
    hook, program = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
    word = sys.argv[3] if len(sys.argv) > 3 else ""
    failed = ran = 0
    for name, test in sorted(globals().items()):
        if not name.startswith("test_") or word not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="tidemark-hook-") as folder:
            try:
                test(Host(hook, program, pathlib.Path(folder)))
                ran += 1
                print(f"ok       {name}")
            except Skip as reason:
                print(f"skipped  {name}: {reason}")
            except (AssertionError, OSError, subprocess.SubprocessError, ValueError) as problem:
                failed += 1
                print(f"FAILED   {name}: {type(problem).__name__}: {problem}")
    print(f"{ran} passed, {failed} failed")
    sys.exit(1 if failed or not ran else 0)


main()
