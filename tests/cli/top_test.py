#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""top_test.py TIDEMARK: the live `top` in a terminal of its own."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

from fake_daemon import Fake, guest

TIDEMARK = sys.argv.pop(1)
DEADLINE = 60


class Terminal:
    """A terminal that remembers what was written since the last frame began."""

    def __init__(self, socket, rows=30, columns=100):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen([TIDEMARK, "--socket", socket, "top", "--interval", "0.5"], stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
        self.written = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, true):
        """Reads until true(the newest whole frame); returns that frame's lines."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.2)[0]:
                self.written += os.read(self.master, 65536)
            frames = self.written.split(b"\x1b[H")
            if len(frames) > 1 and frames[-1].endswith(b"\x1b[J"):
                lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"\r*\n", frames[-1].decode())]
                if true(lines):
                    return lines
        raise AssertionError(f"never came; last written: {self.written[-3000:]!r}")

    def wait_for_end(self):
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                self.written += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0.2)[0]:
            self.written += os.read(self.master, 65536)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def guests_in(lines):
    start = next(i for i, line in enumerate(lines) if line.startswith("GUEST"))
    return [line.split()[0] for line in lines[start + 1:-1] if line.strip()]


class Top(unittest.TestCase):
    def setUp(self):
        self.fake = self.enterContext(Fake())
        self.fake.guests = [guest(f"00000000-0000-4000-8000-{n:012}", f"vm{n:02}", dramUsed=n << 20, faultsPerSecond=float(n * 7 % 10))
                            for n in range(40)]
        # All in one page: the fake's own pages have one guest each.
        answer = self.fake.answer
        self.fake.answer = lambda method, target, *rest: (
            (200, {"items": self.fake.guests, "next": None}, {}) if target.startswith("/api/v1/guests?") else answer(method, target, *rest))
        self.terminal = Terminal(self.fake.socket)
        self.addCleanup(self.terminal.close)

    def test_keys_and_sizes(self):
        lines = self.terminal.wait_for(lambda lines: "vm39" in "".join(lines))
        self.assertEqual(len(lines), 30)
        self.assertEqual(guests_in(lines)[0], "vm39")
        self.terminal.type("n")
        self.terminal.wait_for(lambda lines: guests_in(lines)[0] == "vm00")
        self.terminal.type("\x1b[B")
        self.terminal.wait_for(lambda lines: guests_in(lines)[0] == "vm01")
        self.terminal.type("\x1b[F")
        self.terminal.wait_for(lambda lines: guests_in(lines)[-1] == "vm39" and "more below" not in lines[-1])
        self.terminal.type("\x1b[H")
        self.terminal.wait_for(lambda lines: guests_in(lines)[0] == "vm00")
        self.terminal.resize(12, 45)
        lines = self.terminal.wait_for(lambda lines: len(lines) <= 12 and max(map(len, lines)) <= 45)
        self.assertIn("more below", lines[-1])
        self.terminal.resize(60, 160)
        self.terminal.wait_for(lambda lines: "vm39" in guests_in(lines) and "WORKLOAD" in "".join(lines))
        self.terminal.type("q")
        self.assertEqual(self.terminal.wait_for_end(), 0)
        self.assertIn(b"\x1b[?1049l", self.terminal.written)
        self.assertEqual(termios.tcgetattr(self.terminal.slave), self.terminal.before)

    def test_numbers_stay_when_the_daemon_goes(self):
        self.terminal.wait_for(lambda lines: "vm39" in "".join(lines))
        answer = self.fake.answer
        self.fake.answer = lambda *_: (503, {"title": "Unavailable", "detail": "the daemon is stopping"}, {})
        lines = self.terminal.wait_for(lambda lines: "the daemon is stopping" in "".join(lines))
        self.assertIn("vm39", "".join(lines))
        self.fake.answer = answer
        self.terminal.wait_for(lambda lines: "the daemon is stopping" not in "".join(lines))

    def test_a_signal_leaves_the_terminal_as_it_was(self):
        self.terminal.wait_for(lambda lines: "vm39" in "".join(lines))
        self.terminal.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.terminal.wait_for_end(), 0)
        self.assertIn(b"\x1b[?25h\x1b[?1049l", self.terminal.written)
        self.assertEqual(termios.tcgetattr(self.terminal.slave), self.terminal.before)

    def test_without_a_terminal(self):
        ran = subprocess.run([TIDEMARK, "--socket", self.fake.socket, "top"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(ran.returncode, 2)
        self.assertIn("--once", ran.stderr)


if __name__ == "__main__":
    unittest.main()
