# SPDX-License-Identifier: GPL-2.0-or-later
"""A small QMP client on an already connected socket, with out-of-band commands."""
import itertools
import json
import time


class QmpError(Exception):
    """QEMU refused a command; the text is its sentence."""


class QmpClient:
    def __init__(self, connection, events, log, oob=False):
        self.connection = connection
        self.events = events
        self.log = log
        self.oob = oob
        self.buffer = b""
        self.numbers = itertools.count(1)

    def handshake(self, timeout=30):
        greeting = self._next_message(time.monotonic() + timeout)
        if "QMP" not in greeting:
            raise QmpError(f"no greeting but {greeting}")
        self.command("qmp_capabilities", **({"enable": ["oob"]} if self.oob else {}))

    def close(self):
        self.connection.close()

    def _note(self, direction, text):
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"{time.monotonic():.3f} {direction} {text}\n")

    def _next_message(self, deadline):
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise QmpError("no answer from QMP in time")
            self.connection.settimeout(left)
            try:
                data = self.connection.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                raise ConnectionResetError("QEMU closed its monitor")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        self._note("<", line.decode())
        return json.loads(line)

    def command(self, name, timeout=30, exec_oob=False, arguments=None, **keywords):
        """Runs one command; underscores in keyword names stand for dashes."""
        number = next(self.numbers)
        message = {"exec-oob" if exec_oob else "execute": name, "id": number}
        values = arguments or {key.replace("_", "-"): value for key, value in keywords.items()}
        if values:
            message["arguments"] = values
        self._note(">", json.dumps(message))
        self.connection.sendall(json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next_message(deadline)
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") == number or ("error" in answer and "id" not in answer):
                break
        if "error" in answer:
            raise QmpError(answer["error"]["desc"])
        return answer["return"]

    def poll_events(self):
        """Takes in what has already arrived, without waiting for more."""
        while True:
            try:
                message = self._next_message(time.monotonic() + 0.001)
            except QmpError:
                return
            if "event" in message:
                self.events.append(message)
