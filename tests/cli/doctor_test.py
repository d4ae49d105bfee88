#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""doctor_test.py TIDEMARK: `doctor` on hosts made up in a folder, and what --fix changes there and what not."""
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

TIDEMARK = sys.argv.pop(1)
EMULATOR = "#!/bin/sh\necho 'List of user creatable objects:'\necho '  {}'\n"


class Doctor(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="tidemark-doctor-")))
        # A host where all is well. QEMU runs as root there, so that modes of files do not matter yet.
        self.put("dev/userfaultfd", "", 0o600)
        self.put("dev/kvm", "", 0o600)
        self.put("etc/libvirt/qemu.conf", "user = \"root\"\ncgroup_device_acl = [ \"/dev/null\", \"/dev/userfaultfd\" ]\n", 0o600)
        self.put("etc/libvirt/hooks/qemu.d/tidemark", "", 0o755)
        self.put("usr/libexec/tidemark/qemu-system-x86_64", EMULATOR.format("memory-backend-tiered"), 0o755)
        for folder in ("run/tidemark", "var/lib/tidemark", "tiers/fast"):
            (self.root / folder).mkdir(parents=True)
        self.config = self.put("etc/tidemark/tidemark.toml", '[[tier]]\nname = "fast"\nclass = "nvme"\npath = "/tiers/fast"\n', 0o644)

    def put(self, name, text, mode):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def doctor(self, *words, exit=None):
        ran = subprocess.run([TIDEMARK, "--json", "--config", self.config, "doctor", "--root", self.root, *words],
                             capture_output=True, text=True, timeout=60)
        self.assertIn(ran.returncode, (0, 1), ran.stderr)
        answer = json.loads(ran.stdout)
        self.assertEqual(answer["healthy"], ran.returncode == 0)
        if exit is not None:
            self.assertEqual(ran.returncode, exit, ran.stdout)
        self.messages = ran.stderr
        return {finding["subject"]: finding for finding in answer["findings"]}

    def test_all_well(self):
        found = self.doctor()
        for subject in ("userfaultfd permission", "hook", "qemu.conf", "emulator", "run directory", "kvm"):
            self.assertEqual(found[subject]["grade"], "ok", found[subject])
            self.assertEqual(found[subject]["mend"], "")

    def test_every_fault_has_a_way_to_mend_it(self):
        (self.root / "etc/libvirt/hooks/qemu.d/tidemark").unlink()
        (self.root / "usr/libexec/tidemark/qemu-system-x86_64").unlink()
        (self.root / "tiers/fast").rmdir()
        self.put("etc/libvirt/qemu.conf", "cgroup_device_acl = [ \"/dev/null\" ]\nnamespaces = []\n", 0o600)
        found = self.doctor(exit=1)
        for subject in ("hook", "qemu.conf", "emulator", "tier fast", "userfaultfd permission"):
            self.assertEqual(found[subject]["grade"], "fail", found[subject])
            self.assertGreater(len(found[subject]["mend"]), 10)

    def test_emulator_without_tiered_memory(self):
        self.put("usr/libexec/tidemark/qemu-system-x86_64", EMULATOR.format("memory-backend-ram"), 0o755)
        self.assertIn("no memory-backend-tiered", self.doctor(exit=1)["emulator"]["sentence"])

    def test_looking_changes_nothing(self):
        self.put("etc/libvirt/qemu.conf", "cgroup_device_acl = [ \"/dev/null\" ]\n", 0o600)
        (self.root / "run/tidemark").rmdir()
        (self.root / "etc/libvirt/hooks/qemu.d/tidemark").chmod(0o644)
        before = self.everything()
        self.doctor(exit=1)
        self.assertEqual(self.everything(), before)

    def everything(self):
        return sorted((str(p), p.stat().st_mode, p.read_text() if p.is_file() else "") for p in self.root.rglob("*"))

    def test_fix(self):
        self.put("etc/libvirt/qemu.conf", "# mine\ncgroup_device_acl = [ \"/dev/null\" ]\nuser = \"root\"\n", 0o600)
        (self.root / "run/tidemark").rmdir()
        (self.root / "tiers/fast").rmdir()
        (self.root / "etc/libvirt/hooks/qemu.d/tidemark").chmod(0o644)
        found = self.doctor("--fix")
        for subject in ("hook", "qemu.conf", "run directory", "tier fast"):
            self.assertEqual(found[subject]["grade"], "ok", found[subject])
            self.assertIn(f"fixed {subject}: ", self.messages)
        conf = self.root / "etc/libvirt/qemu.conf"
        self.assertEqual(conf.read_text(),
                         "# mine\ncgroup_device_acl = [ \"/dev/null\", \"/dev/userfaultfd\" ]\nuser = \"root\"\n")
        self.assertEqual(stat.S_IMODE(conf.stat().st_mode), 0o600)
        self.assertIn("[ \"/dev/null\" ]", (self.root / "etc/libvirt/qemu.conf.before-tidemark").read_text())
        self.assertTrue(os.access(self.root / "etc/libvirt/hooks/qemu.d/tidemark", os.X_OK))
        # A second time there is nothing to do.
        self.doctor("--fix")
        self.assertEqual(self.messages, "")

    def test_a_tier_without_room_or_rights(self):
        self.config.write_text('[[tier]]\nname="fast"\nclass="nvme"\npath="/tiers/fast"\ncapacity="1024TiB"\n')
        self.assertIn("are free for", self.doctor()["tier fast"]["sentence"])
        self.put("etc/libvirt/qemu.conf", "user = \"nobody\"\ncgroup_device_acl = [ \"/dev/userfaultfd\" ]\n", 0o600)
        (self.root / "tiers/fast").chmod(0o700)
        ran = subprocess.run([TIDEMARK, "--config", self.config, "doctor", "--root", self.root], capture_output=True, text=True)
        self.assertIn("the user nobody, whom libvirt runs QEMU as, may not write to /tiers/fast", ran.stdout)

    def test_a_wrong_configuration_is_a_finding(self):
        self.config.write_text("[[tier]\n")
        found = self.doctor(exit=1)
        self.assertEqual(found["configuration"]["grade"], "fail")
        self.assertIn("hook", found)


if __name__ == "__main__":
    unittest.main()
