#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""command_test.py TIDEMARK: each command against made-up answers: what it asks, what it prints, how it ends."""
import json
import subprocess
import sys
import unittest

from fake_daemon import DB1, GIB, GROUP, WEB1, Fake

TIDEMARK = sys.argv.pop(1)
API = "/api/v1"


class Commands(unittest.TestCase):
    def setUp(self):
        self.fake = self.enterContext(Fake())

    def run_command(self, *words, exit=0, stdin=None):
        ran = subprocess.run([TIDEMARK, "--socket", self.fake.socket, *words], capture_output=True, text=True, timeout=60,
                             input=stdin)
        self.assertEqual(ran.returncode, exit, ran.stdout + ran.stderr)
        return ran.stdout if exit == 0 else ran.stderr

    def last(self):
        return self.fake.asked[-1]

    def test_lists_follow_all_pages(self):
        out = self.run_command("guests", "list")
        self.assertIn("web1", out)
        self.assertIn("db1", out)
        self.assertIn("not connected", out)
        self.assertEqual([g["name"] for g in json.loads(self.run_command("guests", "list", "--json"))], ["web1", "db1"])

    def test_status_and_tiers(self):
        out = self.run_command("status")
        self.assertIn("guests  2, 1 connected, 0 in trouble", out)
        self.assertIn("8 GiB of DRAM are for guests", out)
        self.assertIn("fast  nvme   10 GiB   100 GiB", self.run_command("tiers"))
        for wanted in ("3 limits raised, 2 lowered, 1 GiB moved; the host is short", "512 MiB prefetched", "7 starts replayed"):
            self.assertIn(wanted, out)
        self.assertEqual(json.loads(self.run_command("--json", "status"))["version"], "0.1.0")

    def test_what_is_not_in_force_is_said(self):
        sentence = "dram of <memory> is 'lots'; it must be a size"
        self.fake.guests[0]["elementProblem"] = sentence
        out = self.run_command("status")
        self.assertIn("1 in trouble", out)
        self.assertIn(f"web1: its element has no effect: {sentence}", out)
        self.assertIn("not as set", self.run_command("guests", "list"))
        self.assertIn(f"not in force  {sentence}", self.run_command("guests", "show", "web1"))
        self.assertIn(f"not in force: {sentence}", self.run_command("policy", "show", "web1"))
        self.fake.guests[0].update(elementProblem=None, settingsProblem="ram0: no")
        self.assertIn("web1: its QEMU refused settings: ram0: no", self.run_command("status"))

    def test_top_once(self):
        lines = self.run_command("top", "--once", "--sort", "name").splitlines()
        rows = [line.split() for line in lines[lines.index(next(l for l in lines if l.startswith("GUEST"))) + 1:]]
        self.assertEqual([row[0] for row in rows], ["db1", "web1"])
        self.assertEqual(rows[1][1:6], ["1", "GiB", "2", "GiB", "120"])
        self.assertNotIn("\x1b", "\n".join(lines))

    def test_a_guest_by_name_or_uuid(self):
        self.assertIn("DRAM limit   2 GiB", self.run_command("guests", "show", "web1"))
        self.run_command("guests", "show", WEB1.upper())
        self.assertEqual(self.last()[1], f"{API}/guests/{WEB1}")
        self.assertIn("there is no guest 'nobody'", self.run_command("guests", "show", "nobody", exit=1))

    def test_a_name_that_two_bear_is_refused(self):
        self.fake.guests[1]["name"] = "web1"
        self.assertIn("there are 2 of the name 'web1'", self.run_command("guests", "show", "web1", exit=1))

    def test_group_made(self):
        self.fake.say(f"POST {API}/affinity_groups", {"groupID": GROUP, "name": "ci"}, 201)
        out = self.run_command("groups", "create", "ci", "--eviction", "lfu", "--prefetch", "off", "--priority", "7")
        self.assertIn(GROUP, out)
        self.assertEqual(self.last()[2], {"name": "ci", "priority": 7, "policy": {"evictionPolicy": "LFU", "prefetchEnabled": False}})

    def test_group_changed_keeps_what_was_not_typed(self):
        self.fake.say(f"PUT {API}/affinity_groups/{GROUP}", {})
        self.run_command("groups", "set", "web", "--cold", "60")
        method, target, body, match = self.last()
        self.assertEqual((method, target, match), ("PUT", f"{API}/affinity_groups/{GROUP}", '"7"'))
        self.assertEqual(body, {"name": "web", "priority": 150,
                                "policy": {"prefetchWindow": 30, "reuseEnabled": True, "coldAge": 60}})
        self.run_command("policy", "set", "--group", "web", "--priority", "9", "--window", "5")
        self.assertEqual(self.last()[2], {"name": "web", "priority": 9, "policy": {"prefetchWindow": 5, "reuseEnabled": True}})

    def test_group_renamed(self):
        self.fake.say(f"PUT {API}/affinity_groups/{GROUP}", {})
        self.assertIn("called front", self.run_command("groups", "rename", "web", "front"))
        method, target, body, match = self.last()
        self.assertEqual((method, target, match), ("PUT", f"{API}/affinity_groups/{GROUP}", '"7"'))
        self.assertEqual(body, {"name": "front", "priority": 150, "policy": {"prefetchWindow": 30, "reuseEnabled": True}})

    def test_stale_change_is_refused_with_the_daemons_sentence(self):
        self.fake.say(f"PUT {API}/affinity_groups/{GROUP}", {"title": "Precondition Failed", "detail": "somebody changed it"}, 412)
        self.assertIn("somebody changed it", self.run_command("groups", "set", "web", "--name", "new", exit=1))

    def test_group_show_delete_members(self):
        out = self.run_command("groups", "show", "web")
        self.assertIn("window", out)
        self.assertIn(f"web1    {WEB1}", out)
        self.fake.say(f"POST {API}/affinity_groups/{GROUP}/members", {}, 201)
        self.run_command("groups", "add", "web", "db1")
        self.assertEqual(self.last()[2], {"vm": DB1})
        self.fake.say(f"DELETE {API}/affinity_groups/{GROUP}/members/{DB1}", None, 204)
        self.run_command("groups", "remove", "web", "db1")
        self.fake.say(f"DELETE {API}/affinity_groups/{GROUP}", None, 204)
        self.run_command("groups", "delete", "web")
        self.assertEqual(self.last()[::3], ("DELETE", '"7"'))

    def test_guest_policy(self):
        self.assertIn("cold after    120 s", self.run_command("policy", "show", "web1"))
        self.fake.say(f"PATCH {API}/guests/{WEB1}", {})
        self.run_command("policy", "set", "web1", "--dram", "25%", "--floor", "512MiB", "--learn", "off", "--slowdown", "5")
        self.assertEqual(self.last(), ("PATCH", f"{API}/guests/{WEB1}",
                                       {"dramLimit": GIB, "dramFloor": GIB // 2, "policy": {"learn": False, "reclaimSlowdown": 5}},
                                       '"g1"'))

    def test_steering(self):
        self.fake.say(f"POST {API}/memory/prefetch/{WEB1}", {"backend": "ram0", "ticket": 5}, 202)
        self.run_command("prefetch", "web1", "--range", "1GiB:2MiB", "--range", "0:4096", "--tier", "nvme", "--confidence", "0.5")
        self.assertEqual(self.last()[2], {"ranges": [{"offset": GIB, "length": 2 << 20}, {"offset": 0, "length": 4096}],
                                          "tier": "nvme", "confidence": 0.5})
        self.fake.say(f"DELETE {API}/memory/prefetch/{WEB1}", {"pages": 512})
        self.assertIn("512 pages (2 MiB)", self.run_command("prefetch", "web1", "--cancel"))
        self.fake.say(f"POST {API}/guests/{WEB1}/record", {"seconds": 30}, 202)
        self.run_command("record", "web1", "30")
        self.assertEqual(self.last()[2], {"seconds": 30})
        self.run_command("record", "web1", "86400")
        self.assertEqual(self.last()[2], {"seconds": 86400})
        self.fake.say(f"POST {API}/guests/{WEB1}/replay", {"pages": 3}, 202)
        self.run_command("replay", "web1", "--from", "db1")
        self.assertEqual(self.last()[2], {"from": DB1})

    def test_profile(self):
        self.fake.say(f"GET {API}/guests/{WEB1}/profile", {"backends": [
            {"id": "pc.ram", "workload": "database", "workload-confidence": 0.75, "seconds": 84.2,
             "working-set": [{"window": 60, "seen": 1 << 20, "estimate": 2 << 20}],
             "more-dram": [{"bytes": 1 << 28, "saved-waits": 0.4}],
             "forecasters": [{"origin": "streams", "used": 5, "late": 1, "wasted": 2, "surely": 0.6, "earning": True}]}]})
        out = self.run_command("profile", "web1")
        for wanted in ("database, 75 % sure", "2 MiB (seen 1 MiB)", "with 256 MiB more DRAM", "40 % fewer waits", "streams"):
            self.assertIn(wanted, out)
        self.assertNotIn("?", out)

    def test_similar(self):
        target = f"GET {API}/guests/{WEB1}/similar"
        alike = {"uuid": DB1, "name": "db1", "score": 0.82, "heat": 0.9, "content": None, "workload": 1, "phases": 0.25}
        self.fake.say(target, {"items": [alike], "next": None})
        heading, row = self.run_command("similar", "web1").splitlines()
        self.assertEqual(heading.split(), ["GUEST", "ALIKE", "HEAT", "CONTENT", "WORKLOAD", "PHASES", "UUID"])
        self.assertEqual(row.split(), ["db1", "82", "%", "90", "%", "-", "100", "%", "25", "%", DB1])
        self.assertEqual(json.loads(self.run_command("similar", WEB1, "--json")), [alike])
        self.fake.say(target, {"items": [], "next": None})
        self.assertIn("no guest of its group", self.run_command("similar", "web1"))
        self.run_command("similar", "nobody", exit=1)

    def test_migrate_forecast(self):
        forecast = {"verdict": "will-not-converge", "chance": 0.02, "reason": "8.0 MiB are rewritten too fast", "running": False,
                    "bandwidth": 32 << 20, "downtime-limit": 100, "total-time": {"p50": 60000, "p90": 61000},
                    "bytes": {"p50": 2 * GIB, "p90": 3 * GIB}, "downtime": {"p50": 255, "p90": 270}, "irreducible": 8 << 20,
                    "quiet-in": 40.0, "watched": 30.0, "remedies": [
                        {"kind": "downtime-limit", "cost": 0.16, "downtime-limit": 265, "total-time": 4400, "bytes": GIB,
                         "downtime": 255}, {"kind": "prayer", "cost": 1}]}
        target = f"{API}/guests/{WEB1}/migrate-forecast"
        self.fake.say(f"GET {target}", {"uuid": WEB1, "forecast": forecast})
        out = self.run_command("migrate-forecast", "web1")
        for wanted in ("would not come to an end (2 % sure", "8.0 MiB are rewritten too fast", "in 9 of 10 at most 3 GiB",
                       "255 ms, in 9 of 10 at most 270 ms", "allow a downtime of 265 ms", "prayer", "32 MiB/s"):
            self.assertIn(wanted, out)
        self.run_command("migrate-forecast", "web1", "--bandwidth", "1MiB", "--downtime", "50")
        self.assertEqual(self.last()[1], target + "?bandwidth=1048576&downtimeLimit=50")
        self.assertEqual(json.loads(self.run_command("--json", "migrate-forecast", "web1"))["forecast"], forecast)
        self.run_command("migrate-forecast", "web1", "--bandwidth", "0", exit=2)
        self.run_command("migrate-forecast", "web1", "--downtime", "0", exit=2)

    def test_wrong_command_lines(self):
        for words in ([], ["bogus"], ["groups"], ["guests", "show"], ["policy", "set", "web1"], ["policy", "set", "web1", "--dram", "4X"],
                      ["prefetch", "web1"], ["prefetch", "web1", "--range", "5"], ["record", "web1", "0"],
                      ["record", "web1", "86401"], ["prefetch", "web1", "--range", "0:4096", "--confidence", "0"],
                      ["prefetch", "web1", "--range", "0:4096", "--confidence", "1.01"], ["prefetch", "web1", "--range", "0:4096", "--confidence", "nan"],
                      ["top", "--sort", "colour"], ["policy", "set", "--group", "web", "--dram", "1GiB"],
                      ["groups", "create", "x", "--priority", "1001"], ["prefetch", "web1", "--cancel", "--range", "0:4096"]):
            with self.subTest(words):
                self.assertNotEqual(self.run_command(*words, exit=2), "")

    def test_words_that_are_not_utf8(self):
        for words in (["groups", "create", b"\xff"], ["groups", "set", "web", "--name", b"a\xc3"], ["groups", "rename", "web", b"\xed\xa0\x80"]):
            with self.subTest(words):
                self.assertIn("is not UTF-8", self.run_command(*words, exit=2))
                self.assertNotIn("POST", [asked[0] for asked in self.fake.asked])
                self.assertNotIn("PUT", [asked[0] for asked in self.fake.asked])
        # Where it is no name to be, it is only unknown.
        ran = subprocess.run([TIDEMARK, "--socket", self.fake.socket, "guests", "show", b"\xff"], capture_output=True, timeout=60)
        self.assertEqual(ran.returncode, 1, ran.stderr)
        ran = subprocess.run([TIDEMARK, "--socket", self.fake.socket, "--json", "validate", b"/nonexistent/\xff"], capture_output=True, timeout=60)
        self.assertEqual(ran.returncode, 1, ran.stderr)

    def test_answers_that_are_not_as_expected(self):
        for body in ([], 5, "text", {"items": "none"}, {"items": [None, 3]}, {"items": [{"name": 5, "memory": "much"}]}):
            with self.subTest(body):
                self.fake.answer = lambda *_, body=body: (200, body, {})
                self.run_command("status")
                self.run_command("guests", "list")
                self.run_command("groups", "list")
                self.run_command("top", "--once")

    def test_a_page_that_names_itself_again_ends(self):
        asked = []
        self.fake.answer = lambda *request: asked.append(request) or (200, {"items": [], "next": "x"}, {})
        self.run_command("guests", "list")
        self.assertEqual(len(asked), 2)

    def test_no_daemon(self):
        ran = subprocess.run([TIDEMARK, "--socket", "/nonexistent/api.sock", "status"], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 3)
        self.assertIn("/nonexistent/api.sock", ran.stderr)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            ran = subprocess.run([TIDEMARK, "--socket", self.fake.socket, "guests", "list"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(ran.returncode, 1)

    def test_validate(self):
        good = "<domain type='kvm'><name>a</name><uuid>11111111-1111-4111-8111-111111111111</uuid><memory unit='GiB'>1</memory>" \
               "<metadata>{}</metadata></domain>"
        config = f"{self.fake.folder.name}/t.toml"
        with open(config, "w") as out:
            out.write('[[tier]]\nname="fast"\nclass="nvme"\npath="/var/lib/tidemark/nvme"\ncapacity="10GiB"\n')
        element = "<t:memory xmlns:t='urn:tidemark:domain:1' {}/>"
        self.assertIn("would start", self.run_command("--config", config, "validate", "-",
                                                      stdin=good.format(element.format("dram='25%'"))))
        self.assertIn("nothing to check", self.run_command("--config", config, "validate", "-", stdin=good.format("")))
        self.run_command("--config", config, "validate", "-", stdin=good.format(element.format("dram='much'")), exit=1)
        off = good.format(element.format("mode='off' dram='nonsense'"))
        self.assertIn("mode='off'", self.run_command("--config", config, "validate", "-", stdin=off))
        self.assertEqual(json.loads(self.run_command("--config", config, "--json", "validate", "-", stdin=off)),
                         {"file": "-", "valid": True, "tiered": False, "problems": []})
        self.run_command("--config", config, "validate", "/nonexistent", exit=1)
        out = subprocess.run([TIDEMARK, "--config", config, "--json", "validate", "-"], capture_output=True, text=True,
                             input=good.format(element.format("dram='much'")))
        self.assertEqual(json.loads(out.stdout)["valid"], False)
        self.assertIn("much", json.loads(out.stdout)["problems"][0])


if __name__ == "__main__":
    unittest.main()
