#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's page in a headless Chromium, with made-up answers: what it shows of 0, 1 and 200 guests, sorting,
filtering, one guest's pictures, errors, and that it stops asking when nobody looks. Pictures of it are kept in
build/test-logs/web/. Ends with 77 (skipped) where there is no Chromium."""
import os
import pathlib
import sys

import chromium
from canned import Canned, guest_id

LOGS = pathlib.Path(os.environ.get("TIDEMARK_LOGS", pathlib.Path(__file__).resolve().parents[2] / "build/test-logs")) / "web"
ROWS = "[...document.querySelectorAll('#guests-table tbody tr')]"
NAMES = f"{ROWS}.map(r => r.cells[0].textContent)"
READY = "document.body.dataset.ready === 'yes'"


def check(true, sentence):
    if not true:
        raise AssertionError(sentence)


def equal(found, wanted, what):
    check(found == wanted, f"{what}: {found!r} instead of {wanted!r}")


def test_empty(browser, canned, url):
    canned.guests = 0
    browser.open(url)
    browser.wait_for(READY)
    browser.picture(LOGS / "empty.png")
    check("No tiered guest runs here" in browser.run("document.getElementById('guests').innerText"), "says so without guests")
    check(not browser.run("document.getElementById('guests-table').checkVisibility()"), "no empty table")
    equal(browser.run("document.getElementById('live').dataset.state"), "live", "state")


def test_one(browser, canned, url):
    canned.guests = 1
    browser.open(url)
    browser.wait_for(READY)
    equal(browser.run(NAMES), ["db-000"], "guests")
    text = browser.run(f"{ROWS}[0].innerText")
    for wanted in ("4 GiB", "410 MiB / 2 GiB", "database", "ok"):
        check(wanted in text, f"the row lacks {wanted!r}: {text!r}")
    # Its history is empty still: the page says so instead of drawing nothing.
    browser.run(f"{ROWS}[0].click()")
    browser.wait_for("document.querySelector('#heat .empty').innerText.includes('Nothing recorded yet')")


def test_many(browser, canned, url):
    canned.guests = 200
    browser.open(url)
    browser.wait_for(f"{READY} && {ROWS}.length === 200")
    browser.picture(LOGS / "guests.png")
    equal(browser.run("document.getElementById('guests-count').innerText"), "200 guests", "count")
    rates = browser.run(f"{ROWS}.slice(0, 20).map(r => r.cells[6].textContent)")
    check(rates[0] == "4.9k", f"the busiest guest comes first: {rates}")
    sort_by = "[...document.querySelectorAll('#guests-table th button')].find(b => b.textContent === '{}').click()"
    browser.run(sort_by.format("Guest"))
    names = browser.run(NAMES)
    equal(names, sorted(names), "sorted by name")
    browser.run(sort_by.format("Guest"))
    equal(browser.run(NAMES), sorted(names, reverse=True), "sorted the other way")
    browser.run("(f => { f.value = 'ci idle'; f.dispatchEvent(new Event('input')); })(document.getElementById('filter'))")
    kept = browser.run(f"{ROWS}.map(r => [r.cells[1].textContent, r.cells[2].textContent])")
    check(0 < len(kept) < 40 and all(row == ["ci", "idle"] for row in kept), f"filtered: {kept}")
    browser.run("(f => { f.value = 'nobody'; f.dispatchEvent(new Event('input')); })(document.getElementById('filter'))")
    check("No guest matches" in browser.run("document.getElementById('guests').innerText"), "says that none matches")
    states = browser.run("[...document.querySelectorAll('#tiers-table .state')].map(s => s.textContent)")
    equal(sorted(states), ["degraded for 1 guest", "ok"], "tiers")
    equal(browser.run("document.querySelectorAll('#groups-table tbody tr').length"), 3, "groups")


def colours_of(browser, figure):
    """How many different colours a canvas shows: a blank one has one."""
    return browser.run(f"""(() => {{
        const c = document.querySelector('{figure} .plot canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        const seen = new Set();
        for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
        return seen.size; }})()""")


def test_guest(browser, canned, url):
    canned.guests = 40
    for dark in (False, True):
        # About another page first: only then is the whole page loaded again.
        browser.open("about:blank")
        browser.open(f"{url}#guest={guest_id(3)}", dark=dark)
        browser.wait_for(f"{READY} && document.getElementById('guest').checkVisibility()")
        equal(browser.run("document.getElementById('guest-name').innerText"), "web-003", "whose pictures")
        browser.wait_for("document.querySelector('#heat .empty').hidden")
        for figure, least in (("#heat", 100), ("#latency", 4), ("#faults", 4), ("#dram", 4)):
            found = colours_of(browser, figure)
            check(found >= least, f"{figure} has {found} colours, at least {least} are due")
        browser.picture(LOGS / ("guest-dark.png" if dark else "guest.png"))
    browser.run("""(p => { const b = p.getBoundingClientRect(); p.dispatchEvent(new PointerEvent('pointermove',
        {clientX: b.left + b.width / 2, clientY: b.top + b.height / 2})); })(document.querySelector('#heat .plot'))""")
    tip = browser.run("document.querySelector('#heat .tip').innerText")
    check("GiB" in tip and "pages used" in tip, f"what is below the pointer: {tip!r}")
    browser.run("document.getElementById('guest-close').click()")
    browser.wait_for("!document.getElementById('guest').checkVisibility()")
    browser.open(f"{url}#guest={guest_id(3)}", width=420, height=900)
    browser.wait_for(f"{READY} && document.getElementById('guest').checkVisibility()")
    check(browser.run("document.documentElement.scrollWidth <= 420"), "a narrow page does not scroll sideways")
    browser.picture(LOGS / "narrow.png")


def test_errors(browser, canned, url):
    canned.guests = 5
    browser.open(url)
    browser.wait_for(f"{READY} && {ROWS}.length === 5")
    canned.failing = (503, "the daemon is stopping")
    browser.wait_for("document.getElementById('live').dataset.state === 'lost'")
    text = browser.run("document.getElementById('problem').innerText")
    check("The daemon is stopping" in text and "Trying again" in text, f"the problem is told: {text!r}")
    browser.picture(LOGS / "error.png")
    equal(browser.run(f"{ROWS}.length"), 5, "the last numbers stay")
    canned.failing = None
    browser.wait_for("document.getElementById('live').dataset.state === 'live'")
    check(not browser.run("document.getElementById('problem').checkVisibility()"), "the problem goes")
    del browser.complaints[:]   # the browser itself names each failed request


def test_hidden(browser, canned, url):
    canned.guests = 1
    browser.open(url)
    browser.wait_for(READY)
    hide = "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {}}});" \
           "document.dispatchEvent(new Event('visibilitychange'))"
    browser.run(hide.format("true"))
    equal(browser.run("document.getElementById('live').dataset.state"), "paused", "state")
    del canned.asked[:]
    # Longer than its period: a page that goes on asking is caught.
    browser.run("new Promise(done => setTimeout(done, 7000))")
    equal(canned.asked, [], "requests while hidden")
    browser.run(hide.format("false"))
    browser.wait_for("document.getElementById('live').dataset.state === 'live'")
    check(canned.asked, "asks again when it is seen")


def main():
    if chromium.find() is None:
        print("skipped: there is no chromium on this machine")
        return 77
    LOGS.mkdir(parents=True, exist_ok=True)
    canned = Canned(0)
    server, url = canned.serve()
    browser = chromium.Chromium(LOGS / "chromium.log")
    try:
        for test in (test_empty, test_one, test_many, test_guest, test_errors, test_hidden):
            test(browser, canned, url)
            equal(browser.complaints, [], f"{test.__name__}: the browser's complaints")
            print(f"ok {test.__name__}", flush=True)
    finally:
        browser.close()
        server.shutdown()
    return 0


sys.exit(main())
