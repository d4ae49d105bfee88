# SPDX-License-Identifier: GPL-2.0-or-later
"""One target, held against one figure."""

MET, MISSED, UNMEASURED = "met", "missed", "not measured"


def verdict(name, level, percent, value, limit, unit="", at_least=False, note=""):
    out = {"target": name, "level": level, "dram_percent": percent, "limit": limit, "unit": unit,
           "at_least": at_least, "note": note, "value": None, "low": None, "high": None}
    if isinstance(value, dict):
        out.update(value=value["median"], low=value.get("low"), high=value.get("high"))
    else:
        out["value"] = value
    if out["value"] is None:
        out["verdict"] = UNMEASURED
    elif at_least:
        out["verdict"] = MET if out["value"] >= limit else MISSED
    else:
        out["verdict"] = MET if out["value"] <= limit else MISSED
    return out


def rate(one, what):
    return one[what] / one["seconds"] if one["seconds"] else None


def of_floor(value, floor):
    """A spread as a share of a floor."""
    if not value or not floor:
        return None
    return {key: value[key] / floor for key in ("median", "low", "high")}
