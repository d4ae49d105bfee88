# SPDX-License-Identifier: GPL-2.0-or-later
"""A network link between two QEMUs, of Unix sockets: a token bucket for what goes forward, and points
in the stream at which it holds still or breaks.

QEMU's own max-bandwidth is off during stop-and-copy, so over a bare socket downtimes mean nothing."""
import contextlib
import socket
import threading
import time

from guest import MIB, wait_for

CHUNK = 32 * 1024
# What the bucket of an idle link holds, that is what it lets through at once: 4 ms at 32 MiB/s. As long as there
# is something to carry, time that we did not get from a busy machine is made up for, as a real link needs no CPU.
BURST = 128 * 1024
BEHIND = 0.1  # seconds, at most


class Link:
    """Connect to `address`, and you reach who listens at `target`. Every connection shares one bucket;
    nothing delays what comes back. A context manager: no thread outlives it."""

    def __init__(self, place, rate=None, name="link"):
        self.address = f"unix:{place}/{name}"
        self.target = f"unix:{place}/{name}.to"
        self.rate = rate
        self.forward = 0  # bytes let through, and back
        self.back = 0
        self.connections = 0
        self.first = self.last = None  # when bytes went forward
        self.broken = False
        self.ended = False  # a connection was closed by one of the two
        self.held = False
        self.silent = False
        self._hold_at = None
        self._ready = 0.0
        self._idle = True
        self._lock = threading.Condition()
        self._sockets = []
        self._threads = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address.removeprefix("unix:"))
        self._listener.listen(32)

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(10)
        for one in self._sockets:
            one.close()

    def hold_at(self, byte):
        """Before it lets more than so many bytes forward, the link stands still until release or cut."""
        with self._lock:
            self._hold_at = byte

    def wait_held(self, timeout=60):
        """True once it stands still, False if the stream ended before that byte."""
        wait_for(lambda: self.held or self.ended, timeout,
                 f"the stream does not come to byte {self._hold_at}, it is at {self.forward}")
        return self.held

    def wait_idle(self, timeout=60):
        """Until what was sent has gone through, and nothing more came for a moment."""
        wait_for(lambda: self.last and time.monotonic() - self.last > 0.1, timeout, "the stream does not pause")

    def release(self):
        with self._lock:
            self._hold_at, self.held = None, False
            self._lock.notify_all()

    def cut(self):
        """Both ends see a closed connection, and nobody can connect any more."""
        with self._lock:
            self.broken = True
            self._hold_at, self.held = None, False
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._lock.notify_all()

    def fall_silent(self):
        """Nothing comes through any more, in either direction, and nobody is told: a cable pulled."""
        with self._lock:
            self.silent = True

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            with self._lock:
                self._sockets += [near, far]
                broken = self.broken
                self.connections += 1
            try:
                if broken:
                    raise ConnectionRefusedError
                far.connect(self.target.removeprefix("unix:"))
            except OSError:
                near.close()
                self.ended = True
                continue
            self._start(self._pump, near, far, self._forward)
            self._start(self._pump, far, near, self._backward)

    def _pump(self, reader, writer, admit):
        buffer = memoryview(bytearray(CHUNK))
        try:
            while count := self._receive(reader, buffer):
                done = 0
                while done < count:
                    more = admit(count - done)
                    if not more:
                        return
                    writer.sendall(buffer[done:done + more])
                    done += more
            # The other direction stays open: what is still on its way there must arrive.
            writer.shutdown(socket.SHUT_WR)
        except OSError:
            for one in (reader, writer):  # one end is gone, the other learns it
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        finally:
            self.ended = True

    def _receive(self, reader, buffer):
        try:
            return reader.recv_into(buffer, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            count = reader.recv_into(buffer)
            with self._lock:
                self._idle = True
            return count

    def _backward(self, count):
        with self._lock:
            self._lock.wait_for(lambda: not self.silent or self.broken)
            self.back += count
            return 0 if self.broken else count

    def _forward(self, count):
        """How many of count bytes may go now; waits for the first of them. 0: the link is broken."""
        with self._lock:
            while not self.broken:
                if self._hold_at is not None and self.forward >= self._hold_at:
                    self.held = True
                elif not self.silent:
                    break
                self._lock.wait()
            if self.broken:
                return 0
            if self._hold_at is not None:
                count = min(count, self._hold_at - self.forward)
            self.forward += count
            delay = self._delay(count)
        if delay > 0:
            time.sleep(delay)
        self.last = time.monotonic()
        self.first = self.first or self.last
        return count

    def _delay(self, count):
        """The bucket as a schedule: when these bytes may be through, at the rate and one burst early."""
        if not self.rate:
            return 0
        now = time.monotonic()
        self._ready = max(self._ready, now - (BURST / self.rate if self._idle else BEHIND)) + count / self.rate
        self._idle = False
        return self._ready - now

    def describe(self):
        seconds = (self.last or 0) - (self.first or 0)
        speed = f", {self.forward / seconds / MIB:.1f} MiB/s" if seconds > 0 else ""
        return f"{self.forward} bytes in {seconds:.2f} s{speed}, {self.connections} connection(s)"
