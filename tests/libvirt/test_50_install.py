# SPDX-License-Identifier: GPL-2.0-or-later
"""From nothing to a tiered guest, as README.md says: its commands are run here as they stand there, and what they print is
compared. There is no systemd; libvirtd and the daemon are restarted by the test, the daemon as its unit starts it."""
import contextlib
import json
import os
import re
import shutil
import subprocess

import api
from guest import BUILD, MIB, SOURCE, Skip, qemu_binary, require
from host import CONFIG, ETC, HOOK, QEMU_CONF, RUN, Process, mount, program
from readme import Shell, steps
from vms import Vm

INSTALL = "./scripts/qemu install"
UNIT = "/usr/lib/systemd/system/tidemarkd.service"


@contextlib.contextmanager
def over_usr(root):
    """In these namespaces /usr has what is below a folder, too."""
    mount("-t", "overlay", "overlay", "-o", f"ro,lowerdir={root}/usr:/usr", "/usr")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", "/usr"], check=False)
        shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def installed(host):
    """By the project's own means: nothing of the build directory is used."""
    if BUILD != SOURCE / "build":
        raise Skip("scripts/qemu installs what is in build/, and the tests look at another folder")
    root = host.folder / "root"
    done = subprocess.run(["bash", "-c", INSTALL], cwd=SOURCE, env={**os.environ, "DESTDIR": str(root)},
                          capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"{INSTALL}: {done.stdout}{done.stderr}")
    HOOK.unlink()
    CONFIG.unlink()
    shutil.copytree(root / "etc", "/etc", dirs_exist_ok=True)
    with over_usr(root):
        yield


@contextlib.contextmanager
def linked(host):
    """As if installed: what was built, at the places where it would be."""
    root = host.folder / "root"
    for place, built in (("libexec/tidemark/qemu-system-x86_64", qemu_binary()), ("bin/tidemark", program("src/tidemark")),
                         ("sbin/tidemarkd", program("src/tidemarkd"))):
        path = root / "usr" / place
        path.parent.mkdir(parents=True)
        path.symlink_to(built.resolve())
    with over_usr(root):
        yield


def findings():
    """What doctor says, by subject."""
    done = subprocess.run(["tidemark", "doctor", "--json"], capture_output=True, text=True, check=False)
    return {one["subject"]: one for one in json.loads(done.stdout)["findings"]}


def session(host, daemon):
    """All commands of README.md's section, after its first one. The example is run without KVM, as all guests here."""
    folder = host.folder / "sources"
    (folder / "libvirt-hooks").mkdir(parents=True)
    shutil.copytree(SOURCE / "libvirt-hooks/examples", folder / "libvirt-hooks/examples")
    for path in (folder / "libvirt-hooks/examples").iterdir():
        path.write_text(path.read_text().replace("<domain type='kvm'>", "<domain type='qemu'>"))
    # As libvirt comes: doctor has something to mend.
    (ETC / "qemu.conf").write_text(re.sub(r"cgroup_device_acl = \[.*?\]\n", "", QEMU_CONF, flags=re.S))
    require(findings()["qemu.conf"]["grade"] == "fail", "doctor finds qemu.conf good as it comes")

    def restart(services):
        require(services == ["libvirtd", "tidemarkd"], f"README.md restarts {services}")
        host.restart_libvirtd()
        host.daemon = Process("tidemarkd", daemon(), host.folder, (RUN / "api.sock").exists)
    shell = Shell(host.folder, restart)
    # What an operator may have already: a domain that is not tiered, and whose QEMU is another one.
    own = Vm(host, "web1", metadata="", job="size=64 passes=0")
    own.emulator = host.folder / "another-qemu"
    own.emulator.symlink_to(qemu_binary())
    own.define()

    said = steps("With libvirt")
    require(said[0].command == INSTALL, f"README.md begins with {said[0].command}")
    for step in said[1:]:
        # `doctor` ends with 1 here: KVM, systemd and more are not as on a host.
        if step.command == "sudo tidemark doctor --fix":
            shell.run(step.command, folder)
            for subject in ("qemu.conf", "emulator", "hook"):
                require(findings()[subject]["grade"] == "ok", f"doctor: {findings()[subject]}")
        else:
            shell.follow(step, folder)
    own.start()
    api.wait_connected(own)
    own.require_tiered({"pc.ram": 64 * MIB})
    own.wait_passes(1)
    return own


def test_readme(host):
    """With what was built, and without scripts/qemu."""
    with linked(host):
        session(host, lambda: ["/usr/sbin/tidemarkd"])
        host.virsh("destroy", "first")
        host.virsh("destroy", "web1")


def test_from_nothing(host):
    """With what `scripts/qemu install` puts below /usr and /etc, and nothing of the build directory."""
    def command():
        with open(UNIT, encoding="utf-8") as unit:
            return re.search(r"^ExecStart=(.*)$", unit.read(), re.M).group(1).split()
    with installed(host):
        own = session(host, command)
        with open(f"/proc/{host.pid(own.name)}/maps", encoding="utf-8") as maps:
            engines = {line.split()[-1] for line in maps if "libtidemark" in line}
        require(engines and all(name.startswith("/usr/") for name in engines), f"the engine is {engines}")
        host.virsh("destroy", "first")
        host.virsh("destroy", "web1")
