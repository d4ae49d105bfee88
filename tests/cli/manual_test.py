#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""manual_test.py TIDEMARK: the manual names every command and option, and both manuals are well formed."""
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

TIDEMARK = sys.argv.pop(1)
SRC = pathlib.Path(__file__).resolve().parents[2] / "src"
PAGES = [SRC / "cli/tidemark.1", SRC / "daemon/tidemarkd.8"]


def help_of(*path):
    return subprocess.run([TIDEMARK, *path, "--help"], capture_output=True, text=True, check=True).stdout


def commands_below(*path):
    part = re.search(r"^Subcommands:\n((?:  .*\n)+)", help_of(*path), re.M)
    for name in re.findall(r"^  ([\w-]+)", part.group(1), re.M) if part else []:
        yield (*path, name)
        yield from commands_below(*path, name)


class Manual(unittest.TestCase):
    def test_names_everything(self):
        text = (SRC / "cli/tidemark.1").read_text()
        commands = list(commands_below())
        self.assertGreater(len(commands), 20)
        for path in commands:
            with self.subTest(path):
                if not commands_of_help(path):
                    self.assertRegex(text, rf"\.It Ic {' '.join(path)}\b")
                for option in re.findall(r"^  (?:-\w,)?--([a-z-]+)", help_of(*path), re.M):
                    if option != "help":
                        self.assertRegex(text, rf"Fl -{option}\b")

    @unittest.skipUnless(shutil.which("mandoc"), "there is no mandoc")
    def test_lint(self):
        for page in PAGES:
            ran = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
            # Debian has no BSD's manuals to look up names in.
            problems = [line for line in ran.stdout.splitlines() if "referenced manual not found" not in line]
            self.assertEqual(problems, [])

    @unittest.skipUnless(shutil.which("man"), "there is no man")
    def test_no_warnings(self):
        for page in PAGES:
            ran = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True,
                                 env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
            self.assertEqual(ran.stderr, "")
            self.assertIn("EXIT STATUS", ran.stdout)


def commands_of_help(path):
    return "\nSubcommands:\n" in help_of(*path)


if __name__ == "__main__":
    unittest.main()
