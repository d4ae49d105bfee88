# SPDX-License-Identifier: GPL-2.0-or-later
"""A host of its own: libvirtd, hook and daemon between private /etc, /var, /run and /dev/userfaultfd.

run.py has put us into mount and process namespaces: mounts made here are seen by nobody else, and no
process outlives the run.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess

import guest
import processes
from guest import BUILD, Skip, TestFailure, require, wait_for

# As which libvirt runs QEMU in Debian: the user and groups that its libvirt-daemon-system makes.
USER, KVM = 64055, 993
PASSWD = f"libvirt-qemu:x:{USER}:{KVM}::/var/lib/libvirt:/usr/sbin/nologin\n"
GROUP = f"kvm:x:{KVM}:libvirt-qemu\nlibvirt-qemu:x:{USER}:libvirt-qemu\n"
PROGRAMS = pathlib.Path(os.environ.get("TIDEMARK_PROGRAMS", BUILD / "engine"))
RUN = pathlib.Path("/run/tidemark")
ETC = pathlib.Path("/etc/libvirt")
HOOK = ETC / "hooks/qemu.d/tidemark"
CONFIG = pathlib.Path("/etc/tidemark/tidemark.toml")

# What this host's drivers need beside libvirt's defaults: no log daemon, no control groups, and (until
# libvirt 10.1 has it by itself) the device that lets an unprivileged QEMU handle its own faults.
QEMU_CONF = """
stdio_handler = "file"
cgroup_controllers = [ ]
remember_owner = 0
security_driver = "none"
seccomp_sandbox = 1
namespaces = [ "mount" ]
cgroup_device_acl = [ "/dev/null", "/dev/full", "/dev/zero", "/dev/random", "/dev/urandom",
    "/dev/ptmx", "/dev/kvm", "/dev/userfaultfd" ]
"""
LIBVIRTD_CONF = """
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_outputs = "2:file:{log}"
{more}
"""


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def private_directories(scratch, devices=True):
    """/run empty, /etc and /var copied on write, the fault device open to QEMU's user."""
    mount("-t", "tmpfs", "tmpfs", "/run")
    for name in ("etc", "var"):
        upper, work = scratch / name / "upper", scratch / name / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        mount("-t", "overlay", "overlay", "-o",
              f"lowerdir=/{name},upperdir={upper},workdir={work}", f"/{name}")
    shutil.rmtree("/etc/libvirt", ignore_errors=True)
    for place in (HOOK.parent, RUN / "domains", CONFIG.parent):
        place.mkdir(parents=True, exist_ok=True)
    for name, lines in (("passwd", PASSWD), ("group", GROUP)):
        path = pathlib.Path("/etc", name)
        mine = tuple(line.split(":")[0] + ":" for line in lines.splitlines())
        others = [line for line in path.read_text().splitlines(True) if not line.startswith(mine)]
        path.write_text("".join(others) + lines)
    if devices:
        private_devices()


def private_devices():
    """A /dev of ours, in which the fault device is as our udev rule makes it. (libvirt carries what is
    mounted below /dev over to its own /dev for QEMU, so mounting only that node would not do.)"""
    place = pathlib.Path("/run/dev")
    place.mkdir()
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", place)
    for name in ("null", "zero", "full", "random", "urandom", "tty", "userfaultfd", "kvm"):
        original = pathlib.Path("/dev", name)
        if not original.exists():
            continue
        for_kvm = name in ("userfaultfd", "kvm")
        os.mknod(place / name, stat.S_IFCHR, original.stat().st_rdev)
        os.chmod(place / name, 0o660 if for_kvm else 0o666)
        os.chown(place / name, 0, KVM if for_kvm else 0)
    (place / "hugepages").mkdir()
    subprocess.run(["mount", "-t", "hugetlbfs", "hugetlbfs", place / "hugepages"], check=False)
    # Moved, not bound, and each once: libvirt would find covered ones too, and could not move those.
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        path = pathlib.Path(line.split()[1])
        if path.parent == pathlib.Path("/dev") and path.is_dir():
            if (place / path.name).exists():
                subprocess.run(["umount", path], check=True)
                continue
            (place / path.name).mkdir()
            mount("--move", path, place / path.name)
    (place / "ptmx").symlink_to("pts/ptmx")
    for name, number in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (place / name).symlink_to(f"/proc/self/fd{number}")
    mount("--move", place, "/dev")


def program(*names):
    """One of the project's programs; a test that needs it is skipped where it was not built."""
    for name in names:
        path = PROGRAMS / name
        if path.exists():
            return path
    raise Skip(f"{PROGRAMS} has no {names[0]}: build it first")


def install_hook():
    """The script that libvirt calls, with the program where it was built."""
    text = program("libvirt-hooks/hook").read_text()
    mine = re.sub(r"^program=.*$", f"program={program('libvirt-hooks/tidemark-hook')}", text, flags=re.M)
    require(mine != text, "the hook names its program in another way now")
    HOOK.write_text(mine)
    HOOK.chmod(0o755)


class Process:
    """A server in the foreground."""

    def __init__(self, name, command, folder, ready):
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        try:
            wait_for(lambda: ready() or self.ended(), 60, f"{name} does not come up")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        require(not self.ended(), f"{name} ended at once: {self.log.read_text()[-1000:]}")

    def ended(self):
        return self.process.poll() is not None

    def stop(self, how=signal.SIGTERM):
        require(processes.end(self.process, how), f"{self.name} does not end: {self.log.read_text()[-1000:]}")
        return self.process.returncode


class Host:
    """Use as a context manager: all guests and servers are gone afterwards."""

    uuid = "5b1f6a1e-0d0f-4e0b-9a0f-0f6b2f0f4d50"
    sockets = pathlib.Path("/run/libvirt")
    libvirtd_more = ""

    def __init__(self, folder):
        self.folder = folder
        self.libvirtd = self.daemon = None
        self.tiers = folder / "tiers"
        self.tiers.mkdir()
        os.chown(self.tiers, USER, USER)

    def __enter__(self):
        install_hook()
        self.configure()
        (ETC / "qemu.conf").write_text(QEMU_CONF)
        (ETC / "libvirtd.conf").write_text(
            LIBVIRTD_CONF.format(log=self.folder / "libvirtd.messages", uuid=self.uuid,
                                 more=self.libvirtd_more))
        self.start_libvirtd()
        return self

    def __exit__(self, *_):
        try:
            if self.libvirtd:
                for name in self.virsh("list", "--all", "--name").split():
                    self.virsh("destroy", name, check=False)
                    self.virsh("undefine", name, "--managed-save", check=False)
                self.libvirtd.stop()
        finally:
            if self.daemon:
                self.daemon.stop()
            for path in [*HOOK.parent.iterdir(), *(RUN / "domains").glob("*")]:
                path.unlink()
            CONFIG.unlink(missing_ok=True)
            shutil.rmtree("/var/lib/tidemark", ignore_errors=True)
            shutil.rmtree(self.tiers, ignore_errors=True)

    def start_libvirtd(self):
        socket = self.sockets / "libvirt-sock"
        socket.unlink(missing_ok=True)
        self.libvirtd = Process("libvirtd", ["libvirtd"], self.folder, socket.exists)

    def restart_libvirtd(self, how=signal.SIGTERM):
        self.libvirtd.stop(how)
        self.start_libvirtd()

    def virsh(self, *words, check=True):
        """What virsh prints; with check=False, whatever happened, and stderr too."""
        done = subprocess.run(["virsh", "-q", *map(str, words)], text=True, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        with open(self.folder / "virsh.log", "a", encoding="utf-8") as log:
            log.write(f"$ virsh {' '.join(map(str, words))}\n{done.stdout}"
                      f"-> {done.returncode}\n")
        if check and done.returncode:
            raise TestFailure(f"virsh {' '.join(map(str, words))}: {done.stdout.strip()}")
        return done.stdout.strip()

    @contextlib.contextmanager
    def virsh_meanwhile(self, *words):
        """A virsh that runs while the block does something else, and no longer."""
        with open(self.folder / "virsh-meanwhile.log", "ab") as log, \
                processes.running(["virsh", "-q", *words], stdout=log, stderr=log) as command:
            yield command

    def refused(self, *words):
        """What virsh says to something that must not work."""
        text = self.virsh(*words, check=False)
        log = (self.folder / "virsh.log").read_text()
        require(not log.endswith("-> 0\n"), f"virsh {words} worked: {text}")
        return text

    def qmp(self, name, command, arguments=None):
        """Over libvirt's own monitor."""
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        return json.loads(self.virsh("qemu-monitor-command", name, json.dumps(message)))["return"]

    def state(self, name):
        return self.virsh("domstate", name)

    def pid(self, name):
        return int(pathlib.Path(f"/run/libvirt/qemu/{name}.pid").read_text())

    def remove_hook(self):
        HOOK.unlink()

    def configure(self, more=""):
        """tidemark.toml with one tier called fast, whose directory QEMU's user may write."""
        CONFIG.write_text(f'{more}\n[[tier]]\nname = "fast"\nclass = "nvme"\n'
                          f'path = "{self.tiers}"\ncapacity = "8GiB"\n')

    def start_daemon(self):
        tidemarkd = program("src/tidemarkd")
        (RUN / "api.sock").unlink(missing_ok=True)
        self.daemon = Process("tidemarkd", [tidemarkd], self.folder, (RUN / "api.sock").exists)

    def domain_file(self, vm):
        """What the hook resolved for a guest; None if there is none."""
        path = RUN / "domains" / f"{vm.uuid}.json"
        return json.loads(path.read_text()) if path.exists() else None


def test_folder(name):
    """The log folder of a test, which QEMU's user can enter and write."""
    folder = guest.log_folder(f"libvirt.{name}")
    os.chmod(folder, 0o777)
    return folder
