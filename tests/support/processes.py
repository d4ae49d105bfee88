# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that tests start: they are gone when their test is, and no test hangs because of one."""
import contextlib
import os
import signal
import subprocess


def end(process, how=signal.SIGTERM, patience=60):
    """Asks a process to end and waits; whether it did. One that does not within so many seconds is killed."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(patience)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


@contextlib.contextmanager
def running(command, **options):
    """A process that lives no longer than the block, in a session of its own, and nor do its children: Popen's own end
    of block would wait for it, for ever if what failed in the block was to make it end."""
    with subprocess.Popen([str(word) for word in command], start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
