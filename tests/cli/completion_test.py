#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""completion_test.py TIDEMARK SCRIPT: the bash completion offers every command and option that --help shows, and names
from the daemon."""
import pathlib
import re
import subprocess
import sys
import unittest

from fake_daemon import Fake

TIDEMARK, SCRIPT = (str(pathlib.Path(word).resolve()) for word in sys.argv[1:3])
del sys.argv[1:3]


def offered(*words, path=""):
    """What Tab would offer behind these words; the last is the one that is being typed."""
    script = f'''
PATH={pathlib.Path(TIDEMARK).resolve().parent}:$PATH
source {SCRIPT}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMPREPLY=()
_tidemark
printf '%s\\n' "${{COMPREPLY[@]}}"'''
    ran = subprocess.run(["bash", "-euc", script, "bash", "tidemark", *words], capture_output=True, text=True, timeout=60,
                         cwd=path or None)
    if ran.returncode:
        raise AssertionError(ran.stderr)
    return ran.stdout.split()


def help_of(*path):
    return subprocess.run([TIDEMARK, *path, "--help"], capture_output=True, text=True, check=True).stdout


def commands_of(text):
    part = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.M)
    return re.findall(r"^  ([\w-]+)", part.group(1), re.M) if part else []


def leaves(path=()):
    below = commands_of(help_of(*path))
    if path:
        yield path
    for name in below:
        yield from leaves((*path, name))


class Completion(unittest.TestCase):
    def test_every_command_and_option(self):
        paths = list(leaves())
        self.assertGreater(len(paths), 20)
        self.assertEqual(sorted(offered("")), sorted(set(offered(""))))
        for path in [(), *paths]:
            with self.subTest(path):
                text = help_of(*path)
                wanted = set(re.findall(r"^  (?:-\w,)?(--[a-z-]+)", text, re.M)) | {"--json", "--socket"}
                self.assertLessEqual(wanted, set(offered(*path, "--")))
                commands = commands_of(text)
                if commands:
                    self.assertLessEqual(set(commands), set(offered(*path, "")))

    def test_words_that_fit(self):
        self.assertEqual(offered("groups", "cr"), ["create"])
        self.assertEqual(offered("policy", "set", "x", "--eviction", ""), ["lru", "lfu", "fifo"])
        self.assertEqual(offered("policy", "set", "x", "--prefetch", "of"), ["off"])
        self.assertEqual(offered("top", "--sort", "l"), ["latency"])
        self.assertEqual(offered("--json", "top", "--on"), ["--once"])
        self.assertEqual(offered("policy", "set", "x", "--cold", ""), [])

    def test_names_from_the_daemon(self):
        with Fake() as fake:
            fake.guests[1]["name"] = "two words; rm -rf"   # what the shell would take apart is not offered
            socket = ("--socket", fake.socket)
            self.assertEqual(offered(*socket, "guests", "show", ""), ["web1"])
            self.assertEqual(offered(*socket, "groups", "add", "we"), ["web"])
            self.assertEqual(offered(*socket, "groups", "add", "web", "w"), ["web1"])
            self.assertEqual(offered(*socket, "replay", "web1", "--from", ""), ["web1"])
        self.assertEqual(offered("--socket", "/nonexistent", "guests", "show", "x"), [])

    def test_files(self):
        folder = pathlib.Path(__file__).parent
        self.assertEqual(offered("validate", "READ", path=folder), ["README.md"])


if __name__ == "__main__":
    unittest.main()
