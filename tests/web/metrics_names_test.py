#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""metrics_names_test.py TIDEMARKD: every series that the dashboard and the alert rules ask for is in a real /metrics, with the
labels they use."""
import json
import re
import sys

from daemon import SRC, full_metrics

# Prometheus makes these itself.
OWN = {"up"}


def expressions():
    dashboard = json.loads((SRC / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield f"dashboard, {panel['title']}", target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield "dashboard, variable", variable["query"]["query"]
    text = (SRC / "alerts.yml").read_text()
    for name, expr in re.findall(r"- alert: (\w+)\n +expr: (?:>-\n +)?(.+)", text):
        yield f"alert {name}", expr


def series(metrics):
    """Names, each with the labels that were seen on it."""
    found = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*?)\})? ", metrics, re.M):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels or ""))
    return found


def problems(found):
    count = 0
    for where, expr in expressions():
        count += 1
        for name, selector in re.findall(r"\b(tidemark_\w+|up)\b(?:\{(.*?)\})?", expr):
            if name in OWN:
                continue
            if name not in found:
                yield f"{where}: {name} is not in /metrics"
                continue
            for label in re.findall(r"(\w+)=", selector):
                if label not in found[name]:
                    yield f"{where}: {name} has no label {label}"
        names = [name for name in re.findall(r"\b(tidemark_\w+)\b", expr) if name in found]
        known = set().union(*(found[name] for name in names)) | {"le", "instance", "job"}
        for grouping in re.findall(r"\bby \((.*?)\)", expr):
            yield from (f"{where}: no series has a label {label}" for label in grouping.split(", ") if label not in known)
    if count < 20:
        yield f"only {count} expressions found: this test would test nothing"


def main():
    wrong = list(problems(series(full_metrics(sys.argv[1]))))
    print("\n".join(wrong) or "ok")
    return 1 if wrong else 0


sys.exit(main())
