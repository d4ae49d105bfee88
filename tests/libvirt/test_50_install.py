# SPDX-License-Identifier: GPL-2.0-or-later
"""From nothing to a tiered guest, as src/cli/README.md says: what `scripts/qemu install` puts below /usr and /etc, and nothing of
the build directory, runs a guest. systemd is not there; the daemon is started as its unit does it."""
import contextlib
import json
import os
import re
import shutil
import subprocess

import api
from guest import BUILD, SOURCE, Skip, require
from host import CONFIG, ETC, HOOK, QEMU_CONF, RUN, Process, mount
from vms import LIMIT, NAMESPACE, Vm

UNIT = "/usr/lib/systemd/system/tidemarkd.service"


@contextlib.contextmanager
def installed(host):
    """In these namespaces /usr has what is installed, and /etc the configuration."""
    if BUILD != SOURCE / "build":
        raise Skip("scripts/qemu installs what is in build/, and the tests look at another folder")
    root = host.folder / "root"
    done = subprocess.run([SOURCE / "scripts/qemu", "install"], env={**os.environ, "DESTDIR": str(root)},
                          capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"scripts/qemu install: {done.stdout}{done.stderr}")
    HOOK.unlink()
    CONFIG.unlink()
    try:
        shutil.copytree(root / "etc", "/etc", dirs_exist_ok=True)
        mount("-t", "overlay", "overlay", "-o", f"ro,lowerdir={root}/usr:/usr", "/usr")
        yield
    finally:
        subprocess.run(["umount", "--lazy", "/usr"], check=False)
        shutil.rmtree(root, ignore_errors=True)


def tidemark(*words):
    return subprocess.run(["/usr/bin/tidemark", *words], capture_output=True, text=True, check=False)


def findings():
    """What doctor says, by subject."""
    return {one["subject"]: one for one in json.loads(tidemark("doctor", "--json").stdout)["findings"]}


def test_from_nothing(host):
    with installed(host):
        # As libvirt comes: doctor is asked to mend it.
        (ETC / "qemu.conf").write_text(re.sub(r"cgroup_device_acl = \[.*?\]\n", "", QEMU_CONF, flags=re.S))
        require(findings()["qemu.conf"]["grade"] == "fail", "doctor finds qemu.conf good as it comes")
        print(tidemark("doctor", "--fix").stdout, file=open(host.folder / "doctor", "w", encoding="utf-8"))
        for subject in ("qemu.conf", "emulator", "hook"):
            require(findings()[subject]["grade"] == "ok", f"doctor: {findings()[subject]}")
        host.restart_libvirtd()
        with open(UNIT, encoding="utf-8") as unit:
            command = re.search(r"^ExecStart=(.*)$", unit.read(), re.M).group(1).split()
        host.daemon = Process("tidemarkd", command, host.folder, (RUN / "api.sock").exists)

        vm = Vm(host, metadata="")
        vm.emulator = "/usr/libexec/tidemark/qemu-system-x86_64"
        vm.define()
        host.virsh("metadata", vm.name, NAMESPACE, "--key", "tidemark", "--set", "<memory dram='25%'/>", "--config")
        vm.start()
        api.wait_connected(vm)
        vm.require_tiered({"pc.ram": LIMIT})
        vm.wait_passes(1)
        with open(f"/proc/{host.pid(vm.name)}/maps", encoding="utf-8") as maps:
            engines = {line.split()[-1] for line in maps if "libtidemark" in line}
        require(engines and all(name.startswith("/usr/") for name in engines), f"the engine is {engines}")
        top = tidemark("top", "--once")
        require(top.returncode == 0 and vm.name in top.stdout, f"tidemark top: {top.stdout}{top.stderr}")
        host.virsh("destroy", vm.name)
