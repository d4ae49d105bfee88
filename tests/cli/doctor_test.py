#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""doctor_test.py TIDEMARK: `doctor` on hosts made up in a folder, and what --fix changes there and what not."""
import json
import os
import pathlib
import shutil
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
        self.put("etc/libvirt/hooks/qemu.d/tidemark", "#!/bin/sh\nexit 2\n", 0o755)
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

    def test_a_hook_that_does_not_run(self):
        """As after an upgrade that took a library away."""
        self.put("etc/libvirt/hooks/qemu.d/tidemark", "#!/bin/sh\necho 'libxml2.so.2: cannot open' >&2\nexit 127\n", 0o755)
        found = self.doctor(exit=1)["hook"]
        self.assertEqual(found["grade"], "fail")
        self.assertIn("does not run: libxml2.so.2: cannot open", found["sentence"])

    def apparmor(self, *profiles, local=True):
        """A host with AppArmor, where guests' own profiles are as they must be."""
        self.put("sys/module/apparmor/parameters/enabled", "Y\n", 0o444)
        self.put("etc/apparmor.d/abstractions/libvirt-qemu.d/tidemark", "", 0o644)
        for name in profiles:
            self.put(f"etc/apparmor.d/{name}", "profile libvirtd /usr/sbin/libvirtd {\n  /usr/sbin/* PUx,\n"
                     + (f"  include if exists <local/{name}>\n" if local else "") + "}\n", 0o644)

    def test_libvirt_is_confined(self):
        """By a profile that does not let it start our programs: found, and mended when asked."""
        names = ("usr.sbin.libvirtd", "usr.sbin.virtqemud")
        self.apparmor(*names)
        self.put(f"etc/apparmor.d/local/{names[0]}", "# mine\n  /usr/libexec/mine PUx,", 0o640)
        before = self.everything()
        found = self.doctor(exit=1)
        for name in names:
            self.assertEqual((found[f"apparmor {name}"]["grade"], found[f"apparmor {name}"]["fixable"]), ("fail", True))
            self.assertIn(f"/etc/apparmor.d/local/{name}", found[f"apparmor {name}"]["mend"])
        self.assertEqual(self.everything(), before)
        found = self.doctor("--fix")
        for name in names:
            self.assertEqual(found[f"apparmor {name}"]["grade"], "ok", found)
            self.assertIn(f"fixed apparmor {name}: ", self.messages)
        added = "# Added by tidemark doctor --fix.\n  /usr/libexec/tidemark/* PUx,\n"
        mine = self.root / "etc/apparmor.d/local" / names[0]
        self.assertEqual(mine.read_text(), "# mine\n  /usr/libexec/mine PUx,\n" + added)
        self.assertEqual(stat.S_IMODE(mine.stat().st_mode), 0o640)
        self.assertEqual((mine.parent / names[1]).read_text(), added)
        self.doctor("--fix")
        self.assertEqual(self.messages, "")

    def test_what_lets_libvirt_start_our_programs(self):
        self.apparmor("usr.sbin.libvirtd")
        emulator, program = "/usr/libexec/tidemark/qemu-system-x86_64", "/usr/libexec/tidemark/tidemark-hook"
        for rules, enough in (("/usr/libexec/tidemark/* PUx,", True), ("  /usr/libexec/** rix,  # all", True),
                              (f"{emulator} PUx,\n{program} ix,", True), (f"{emulator} PUx,", False),
                              (f"{program} PUx,", False), ("# /usr/libexec/tidemark/* PUx,", False), ("/usr/libexec/* PUx,", False),
                              ("/usr/libexec/tidemark/* mr,", False), ("", False)):
            with self.subTest(rules):
                self.put("etc/apparmor.d/local/usr.sbin.libvirtd", rules, 0o644)
                self.assertEqual(self.doctor()["apparmor usr.sbin.libvirtd"]["grade"], "ok" if enough else "fail")

    def test_a_profile_without_a_local_part(self):
        """Its own text is another package's: left alone, and what the local file says does not count."""
        self.apparmor("usr.sbin.libvirtd", local=False)
        self.put("etc/apparmor.d/local/usr.sbin.libvirtd", "/usr/libexec/tidemark/* PUx,\n", 0o644)
        before = self.everything()
        found = self.doctor("--fix", exit=1)["apparmor usr.sbin.libvirtd"]
        self.assertEqual((found["grade"], found["fixable"]), ("fail", False))
        self.assertIn("into /etc/apparmor.d/usr.sbin.libvirtd", found["mend"])
        self.assertEqual(self.everything(), before)

    def test_apparmor_is_off_or_libvirt_is_not_confined(self):
        self.assertFalse([subject for subject in self.doctor() if subject.startswith("apparmor")])
        self.apparmor()
        self.assertEqual([subject for subject in self.doctor() if subject.startswith("apparmor")], ["apparmor"])
        (self.root / "etc/apparmor.d/abstractions/libvirt-qemu.d/tidemark").unlink()
        self.assertEqual(self.doctor(exit=1)["apparmor"]["grade"], "fail")

    def test_a_tier_without_room_or_rights(self):
        self.config.write_text('[[tier]]\nname="fast"\nclass="nvme"\npath="/tiers/fast"\ncapacity="1024TiB"\n')
        self.assertIn("are free for", self.doctor()["tier fast"]["sentence"])
        self.put("etc/libvirt/qemu.conf", "user = \"nobody\"\ncgroup_device_acl = [ \"/dev/userfaultfd\" ]\n", 0o600)
        (self.root / "tiers/fast").chmod(0o700)
        ran = subprocess.run([TIDEMARK, "--config", self.config, "doctor", "--root", self.root], capture_output=True, text=True)
        self.assertIn("the user nobody, whom libvirt runs QEMU as, may not write to /tiers/fast", ran.stdout)

    def test_a_sandbox_that_is_switched_off(self):
        for text, grade in (("seccomp_sandbox = 0\n", "warn"), ("seccomp_sandbox = 1\n", "ok"), ("#seccomp_sandbox = 0\n", "ok")):
            with self.subTest(text):
                self.put("etc/libvirt/qemu.conf", f"user = \"root\"\ncgroup_device_acl = [ \"/dev/userfaultfd\" ]\n{text}", 0o600)
                found = self.doctor()["seccomp"]
                self.assertEqual(found["grade"], grade, found)
                self.assertEqual("without QEMU's sandbox" in found["sentence"], grade == "warn")
                self.assertEqual("take the line out" in found["mend"], grade == "warn")

    @unittest.skipIf(os.getuid() != 0, "another user is needed")
    def test_what_may_not_be_read_is_not_called_well(self):
        self.root.chmod(0o755)
        program = shutil.copy(TIDEMARK, self.root / "tidemark")  # where it was built another user may not even look
        ran = subprocess.run([program, "--json", "--config", self.config, "doctor", "--root", self.root], user=65534, group=65534,
                             extra_groups=[], capture_output=True, text=True, timeout=60)
        found = {finding["subject"]: finding for finding in json.loads(ran.stdout)["findings"]}
        self.assertEqual(found["seccomp"]["grade"], "warn", found["seccomp"])
        self.assertIn("may not be read", found["seccomp"]["sentence"])

    def test_a_wrong_configuration_is_a_finding(self):
        self.config.write_text("[[tier]\n")
        found = self.doctor(exit=1)
        self.assertEqual(found["configuration"]["grade"], "fail")
        self.assertIn("hook", found)


if __name__ == "__main__":
    unittest.main()
