# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmark's driver and its levels agree on.

A level is a module with
    SIDES                                  the sides it has, in the order in which they are listed
    prepare(options)                       before the first round; may be absent
    run(side, dram_percent, options)       one round of one side: an iterator of measurements
    facts(options)                         sentences about how it measured, by name; may be absent
    tables(options)                        text for the report that no side is needed for, by title; may be absent
    figures(measurements)                  the same, from what was measured; may be absent
    OWN_SIDES                              True: there is no DRAM limit, and all its sides are for that
    FLOORS                                 False: the floors are of no use to it
A measurement is a dict, see README.md."""
import dataclasses
import os
import pathlib
import signal
import time
from typing import Callable, Optional

MIB = 1 << 20
PAGE = 4096
ROOT = pathlib.Path(__file__).resolve().parents[2]

# In the order of the tables; a level may have fewer, and ones of its own.
WORKLOADS = ["boot", "fill", "seq-read", "seq-rw", "strided", "hot", "zipf-hot", "idle", "uniform-rmw", "noisy-rmw",
             "zipf-rmw", "threads", "threads-2", "threads-8", "scattered-verify", "interleaved", "repeated",
             "phases", "job"]
# Without a limit there is nothing to compare but stock RAM and Tidemark that has nothing to do.
UNLIMITED = 100


class LevelError(RuntimeError):
    """One side could not be measured; the text says why. The others go on."""


@dataclasses.dataclass
class Options:
    """What was asked for on the command line; `round` and `progress` are the driver's."""
    quick: bool = False
    sides: Optional[list] = None        # None: all that the level has
    workloads: Optional[list] = None    # None: all
    directory: pathlib.Path = ROOT / "build/bench"   # on the measured disk
    out: pathlib.Path = ROOT / "build/bench-results"
    build: pathlib.Path = ROOT / "build/bench-build"  # meson's release build
    footprint: Optional[int] = None     # bytes; None: the level's own
    policy: str = "lru"
    seed: int = 1
    dram: list = dataclasses.field(default_factory=list)  # every percentage of this run
    round: int = 0
    progress: Callable[[str], None] = lambda sentence: None


def dram_bytes(footprint, percent):
    """The DRAM of a percentage, in whole MiB."""
    return footprint * percent // 100 // MIB * MIB


class Interrupted(KeyboardInterrupt):
    """Another signal that ends the benchmark: everything is cleaned up as for Ctrl-C."""


def clean_up_on_signals():
    def interrupt(number, _):
        raise Interrupted(signal.Signals(number).name)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


class Progress:
    """One line on the terminal that is written over; in a log, one line per step."""

    def __init__(self, stream):
        self.stream = stream
        self.on_terminal = stream.isatty()
        self.started = time.monotonic()
        self.prefix = ""
        self.width = 0

    def __call__(self, sentence):
        text = f"{time.monotonic() - self.started:5.0f} s  {self.prefix}{sentence}"
        if self.on_terminal:
            columns = os.get_terminal_size(self.stream.fileno()).columns - 1
            self.stream.write(f"\r{text[:columns]:{min(self.width, columns)}}")
            self.width = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def clear(self):
        if self.on_terminal and self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()
            self.width = 0
