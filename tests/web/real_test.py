#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""real_test.py TIDEMARKD: the page as the real daemon serves it, with simulated guests: the numbers come, the heat map
fills, a group made over REST appears, and the page comes back when the daemon was killed and started again. Ends with 77
(skipped) where there is no Chromium."""
import json
import os
import pathlib
import sys

import chromium
from daemon import Daemon

LOGS = pathlib.Path(os.environ.get("TIDEMARK_LOGS", pathlib.Path(__file__).resolve().parents[2] / "build/test-logs")) / "web"
GUESTS = 30
ROWS = "[...document.querySelectorAll('#guests-table tbody tr')]"
STATE = "document.getElementById('live').dataset.state"


def check(true, sentence):
    if not true:
        raise AssertionError(sentence)


def look(browser, daemon, url):
    browser.open(url)
    browser.wait_for(f"{ROWS}.length === {GUESTS} && {ROWS}.every(r => r.innerText.includes('ok'))")
    check(not browser.complaints, f"the browser complains: {browser.complaints}")
    listed = json.loads(daemon.ask("GET", "/api/v1/guests?limit=100")[1])["items"]
    shown = browser.run(f"{ROWS}.map(r => r.dataset.key)")
    check(sorted(shown) == sorted(guest["uuid"] for guest in listed), "the page shows the daemon's guests")
    check("4 GiB" in browser.run(f"{ROWS}[0].innerText"), "a guest's memory is told")
    browser.wait_for("document.getElementById('tiers-table').innerText.includes('fast')")


def groups(browser, daemon, listed):
    status, text = daemon.ask("POST", "/api/v1/affinity_groups", json.dumps(
        {"name": "made-by-rest", "policy": {"evictionPolicy": "LFU"}, "members": listed[:2]}))
    check(status == 201, f"the group is made: {status} {text}")
    browser.wait_for("document.getElementById('groups-table').innerText.includes('made-by-rest')")
    browser.wait_for(f"{ROWS}.filter(r => r.innerText.includes('made-by-rest')).length === 2")


def heat(browser):
    browser.run(f"{ROWS}[0].click()")
    # Two profiles must have come: one every ten seconds.
    browser.wait_for("document.getElementById('guest').checkVisibility() && document.querySelector('#heat .empty').hidden")
    seen = browser.run("""(() => { const c = document.querySelector('#heat .plot canvas');
        return new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size; })()""")
    check(seen > 8, f"the heat map has only {seen} colours")
    browser.picture(LOGS / "real.png")


def restart(browser, daemon):
    daemon.kill()
    browser.wait_for(f"{STATE} === 'lost'")
    check(browser.run(f"{ROWS}.length") == GUESTS, "the last numbers stay")
    daemon.start()
    browser.wait_for(f"{STATE} === 'live'")
    browser.wait_for(f"{ROWS}.length === {GUESTS} && document.getElementById('groups-table').innerText.includes('made-by-rest')")


def main():
    if chromium.find() is None:
        print("skipped: there is no chromium on this machine")
        return 77
    LOGS.mkdir(parents=True, exist_ok=True)
    daemon = Daemon(sys.argv[1])
    browser = None
    try:
        daemon.simulate(GUESTS)
        server, url = daemon.serve_tcp()
        browser = chromium.Chromium(LOGS / "chromium-real.log")
        look(browser, daemon, url)
        groups(browser, daemon, browser.run(f"{ROWS}.map(r => r.dataset.key)"))
        heat(browser)
        restart(browser, daemon)
        server.shutdown()
    finally:
        if browser:
            browser.close()
        daemon.close()
    print("ok")
    return 0


sys.exit(main())
