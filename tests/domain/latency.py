#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long libvirt waits for the hook, process start included: median, 95th percentile and maximum; and
the processor time of one call, which a busy machine changes less.

    latency.py HOOK [RUNS]
"""
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

XML = ("<domain type='kvm'><name>d</name><uuid>5b1f1c4e-8f6c-4a0e-9d0a-0c5b6f0f7a01</uuid>"
       "<memory>4194304</memory><metadata>{}</metadata><devices>{}</devices></domain>")
ELEMENT = "<t:memory xmlns:t='urn:tidemark:domain:1' dram='25%'/>"
# As large as that of a guest with some hundred devices.
DEVICES = "".join(f"<disk type='file' device='disk'><source file='/images/{i}.qcow2'/>"
                  f"<target dev='vd{i}' bus='virtio'/></disk>" for i in range(1500))


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main():
    hook, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory(prefix="tidemark-latency-") as folder:
        tier = pathlib.Path(folder) / "nvme"
        tier.mkdir()
        config = pathlib.Path(folder) / "tidemark.toml"
        config.write_text(f"[paths]\nrun = '{folder}/run'\n[[tier]]\nname = 'a'\nclass = 'nvme'\n"
                          f"path = '{tier}'\n")
        environment = dict(os.environ, TIDEMARK_CONFIG=str(config))
        for name, operation, xml in (
                ("not ours", "prepare", XML.format("", "")),
                ("not ours, 190 KB", "prepare", XML.format("", DEVICES)),
                ("prepare, no daemon", "prepare", XML.format(ELEMENT, "")),
                ("prepare, no daemon, 190 KB", "prepare", XML.format(ELEMENT, DEVICES)),
                ("started, no daemon", "started", XML.format(ELEMENT, "")),
                ("release", "release", XML.format(ELEMENT, ""))):
            times = []
            before = cpu_seconds()
            for _ in range(runs):
                begin = time.perf_counter()
                subprocess.run([hook, "d", operation, "begin", "-"], input=xml.encode(), check=True,
                               env=environment, capture_output=True)
                times.append((time.perf_counter() - begin) * 1e3)
            cpu = (cpu_seconds() - before) / runs * 1e3
            times.sort()
            print(f"{name:28} median {times[len(times) // 2]:5.1f} ms, 95 % "
                  f"{times[len(times) * 95 // 100]:5.1f}, most {times[-1]:5.1f}; processor {cpu:4.1f}")


main()
