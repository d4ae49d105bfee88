#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""install_test.py BUILD: what `meson install` puts below DESTDIR with the prefix that was configured, and that systemd
takes the unit. The files must have been built; the test installs nothing outside a temporary folder."""
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv.pop(1))
SRC = pathlib.Path(__file__).resolve().parents[2]
# Below the prefix, and whether it is executable.
WANTED = {
    "bin/tidemark": True,
    "sbin/tidemarkd": True,
    "libexec/tidemark/tidemark-hook": True,
    "lib/systemd/system/tidemarkd.service": False,
    "lib/sysusers.d/tidemark.conf": False,
    "lib/tmpfiles.d/tidemark.conf": False,
    "lib/udev/rules.d/60-tidemark.rules": False,
    "share/bash-completion/completions/tidemark.bash": False,
    "share/man/man1/tidemark.1": False,
    "share/man/man8/tidemarkd.8": False,
    "share/doc/tidemark/examples/tidemark.toml": False,
    "share/tidemark/alerts.yml": False,
    "share/tidemark/grafana.json": False,
    "share/tidemark/apparmor-libvirtd": False,
    "share/tidemark/tidemark.rng": False,
}
# Below sysconfdir, which is /etc if the prefix is /usr.
CONFIGURATION = {
    "libvirt/hooks/qemu.d/tidemark": True,
    "apparmor.d/abstractions/libvirt-qemu.d/tidemark": False,
}


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        options = json.loads(subprocess.run(["meson", "introspect", BUILD, "--buildoptions"], capture_output=True, text=True,
                                            check=True).stdout)
        cls.options = {option["name"]: option["value"] for option in options}
        cls.folder = tempfile.TemporaryDirectory(prefix="tidemark-install-")
        cls.root = pathlib.Path(cls.folder.name)
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], check=True, capture_output=True,
                       env=os.environ | {"DESTDIR": str(cls.root)})
        cls.prefix = cls.root / cls.options["prefix"].lstrip("/")
        etc = "/etc" if cls.options["prefix"] == "/usr/local" else pathlib.Path(cls.options["prefix"]) / cls.options["sysconfdir"]
        cls.configuration = cls.root / str(etc).lstrip("/")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_files(self):
        for base, files in ((self.prefix, WANTED), (self.configuration, CONFIGURATION)):
            for name, executable in files.items():
                with self.subTest(name):
                    path = base / name
                    self.assertTrue(path.is_file(), f"{name} is not installed")
                    mode = stat.S_IMODE(path.stat().st_mode)
                    self.assertEqual(mode, 0o755 if executable else 0o644)
                    self.assertGreater(path.stat().st_size, 0)

    def test_nothing_else(self):
        """What is not on the lists is the engine's: its library and headers."""
        known = {self.prefix / name for name in WANTED} | {self.configuration / name for name in CONFIGURATION}
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and path not in known:
                self.assertRegex(str(path.relative_to(self.root)),
                                 r"libtidemark\.so|pkgconfig/tidemark\.pc|include/tidemark(_[a-z]+)?\.h|share/doc/tidemark/examples/|share/tidemark/examples/")

    def test_the_unit_names_the_installed_daemon(self):
        unit = (self.prefix / "lib/systemd/system/tidemarkd.service").read_text()
        self.assertIn(f"ExecStart={self.options['prefix']}/sbin/tidemarkd\n", unit)
        for line in ("Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "ProtectSystem=strict", "RestrictAddressFamilies="):
            self.assertIn(f"\n{line}", unit)

    def test_the_hook_names_the_installed_program(self):
        """What libvirt calls, with nothing of the build directory: without its program no domain of ours starts, and no guest dies."""
        hook = self.configuration / "libvirt/hooks/qemu.d/tidemark"
        program = f"{self.options['prefix']}/libexec/tidemark/tidemark-hook"
        self.assertIn(f"program=${{TIDEMARK_HOOK:-{program}}}\n", hook.read_text())
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="tidemark-hook-")))
        hook = shutil.copy(hook, folder)
        pathlib.Path(hook).write_text(pathlib.Path(hook).read_text().replace(program, "/nonexistent" + program))
        ours = b"<domain><name>d</name><metadata><memory xmlns='urn:tidemark:domain:1'/></metadata></domain>"
        for operation in ("prepare", "start", "started", "stopped", "release", "reconnect", "attach", "migrate", "restore"):
            for xml in (ours, b"<domain><name>d</name></domain>"):
                with self.subTest(operation, xml=xml):
                    ran = subprocess.run([hook, "d", operation, "begin", "-"], input=xml, capture_output=True)
                    refused = xml == ours and operation in ("prepare", "migrate", "restore")
                    self.assertEqual((ran.returncode, ran.stdout), (1 if refused else 0, b""), ran.stderr)

    def test_the_rule_of_doctor_is_the_installed_one(self):
        rule = [line for line in (self.prefix / "lib/udev/rules.d/60-tidemark.rules").read_text().splitlines()
                if not line.startswith("#")]
        doctor = (SRC / "src/cli/doctor_libvirt.cc").read_text().replace('\\"', '"')
        self.assertIn(rule[0], doctor)
        rule = [line for line in (self.prefix / "share/tidemark/apparmor-libvirtd").read_text().splitlines()
                if not line.startswith("#")]
        self.assertIn(f'"{rule[0]}\\n"', (SRC / "src/cli/doctor_apparmor.cc").read_text())

    def test_the_example_configuration(self):
        """Good as it is, and with every example in it taken as meant."""
        text = (self.prefix / "share/doc/tidemark/examples/tidemark.toml").read_text()
        meant = re.sub(r"^#(?! )", "", text, flags=re.M)
        self.assertIn('\nclass = "nvme"', meant)
        for which, config in (("as it is", text), ("as meant", meant)):
            with self.subTest(which):
                path = self.root / "tidemark.toml"
                path.write_text(config)
                daemon = self.prefix / "sbin/tidemarkd"
                ran = subprocess.run([daemon, "--check", "--config", path], capture_output=True, text=True)
                self.assertEqual(ran.returncode, 0, ran.stderr)

    def test_apparmor_takes_the_rules(self):
        """Its parser, without a kernel that has it: as part of a profile, which is where libvirt includes them."""
        parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")
        if parser is None:
            self.skipTest("there is no apparmor_parser")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        def parsed(name, more=""):
            profile = pathlib.Path(folder.name) / "profile"
            rules = SRC / "src/daemon/system" / name
            profile.write_text(f'include <tunables/global>\nprofile one {{\n  include "{rules}"\n{more}}}\n')
            return subprocess.run([parser, "-Q", "-T", "-K", profile], capture_output=True, text=True)
        for name in ("apparmor-libvirt-qemu", "apparmor-libvirtd"):
            with self.subTest(name):
                taken = parsed(name)
                self.assertEqual(taken.returncode, 0, taken.stderr)
                self.assertNotEqual(parsed(name, "  /x bogus,\n").returncode, 0)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "there is no systemd-analyze")
    def test_systemd_takes_the_unit(self):
        unit = self.root / "tidemarkd.service"
        text = (self.prefix / "lib/systemd/system/tidemarkd.service").read_text()
        unit.write_text(text.replace(f"{self.options['prefix']}/sbin/", f"{self.prefix}/sbin/"))
        ran = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit], capture_output=True, text=True)
        self.assertEqual([line for line in ran.stderr.splitlines() if "tidemarkd" in line], [])
        ran = subprocess.run(["systemd-analyze", "security", "--offline=yes", unit], capture_output=True, text=True)
        exposure = re.search(r"exposure level for \S+: ([0-9.]+)", ran.stdout)
        self.assertIsNotNone(exposure, ran.stdout + ran.stderr)
        # 10 is a unit without any protection; below 4 is what systemd calls OK.
        self.assertLess(float(exposure.group(1)), 4)


if __name__ == "__main__":
    unittest.main()
