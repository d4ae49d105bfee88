# SPDX-License-Identifier: GPL-2.0-or-later
"""The ratios as a picture: one panel per level and DRAM share, a dot per workload and side with its
range over the rounds, on a logarithmic scale. Left of the line at 1, Tidemark is faster."""
import math
from xml.sax.saxutils import escape

from summary import NOT_COMPARED

COLORS = {"swap": "#0072b2", "file": "#d55e00", "zram": "#009e73", "ram": "#777777"}
LEFT, WIDTH, RIGHT, ROW, HEAD = 150, 520, 40, 26, 64
LOW, HIGH = 0.02, 50


def x_of(value):
    share = math.log(min(max(value, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LEFT + share * WIDTH


def tag(name, content=None, **attributes):
    words = " ".join(f'{key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f"<{name} {words}/>" if content is None else f"<{name} {words}>{escape(content)}</{name}>"


def label(x, y, content, **more):
    style = {"font_family": "sans-serif", "font_size": 12, "fill": "#222222", **more}
    return tag("text", content, x=f"{x:.1f}", y=f"{y:.1f}", **style)


def panels(rows):
    rows = [row for row in rows if row["ratios"] and row["workload"] not in (*NOT_COMPARED, "idle")]
    for level, percent in dict.fromkeys((row["level"], row["dram_percent"]) for row in rows):
        yield level, percent, [row for row in rows
                               if (row["level"], row["dram_percent"]) == (level, percent)]


def axis(top, height):
    out = [tag("rect", x=f"{x_of(1):.1f}", y=top, width=f"{LEFT + WIDTH - x_of(1):.1f}", height=height,
               fill="#fbeeee")]
    for value in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50):
        x = f"{x_of(value):.1f}"
        out.append(tag("line", x1=x, x2=x, y1=top, y2=top + height,
                       stroke="#222222" if value == 1 else "#dddddd"))
        out.append(label(x_of(value), top + height + 14, f"{value:g}", text_anchor="middle", font_size=10))
    return out


def marks(row, y):
    out = []
    sides = [side for side in COLORS if row["ratios"].get(side, {}).get("time")]
    for place, side in enumerate(sides):
        found = row["ratios"][side]["time"]
        height = y + (place - (len(sides) - 1) / 2) * 5
        if found["low"] is not None:
            out.append(tag("line", x1=f"{x_of(found['low']):.1f}", x2=f"{x_of(found['high']):.1f}",
                           y1=height, y2=height, stroke=COLORS[side], stroke_width=1.5))
        dot = {"cx": f"{x_of(found['median']):.1f}", "cy": height, "r": 3.5}
        outside = not LOW <= found["median"] <= HIGH
        out.append(tag("circle", **dot, fill="#ffffff" if outside else COLORS[side],
                       stroke=COLORS[side]))
    return out


def legend(y):
    out, x = [], LEFT
    for side, color in COLORS.items():
        out += [tag("circle", cx=x, cy=y - 4, r=4, fill=color), label(x + 8, y, f"/ {side}")]
        x += 70
    out.append(label(x + 10, y, "left of 1: Tidemark is faster; hollow: off the scale", font_size=11))
    return out


def svg(results):
    out, y = [], HEAD
    for level, percent, rows in panels(results["summary"]):
        share = f"DRAM {percent} % of the footprint" if percent < 100 else "no limit"
        out.append(label(LEFT, y, f"{level}, {share}", font_weight="bold"))
        top, height = y + 8, ROW * len(rows)
        out += axis(top, height)
        for index, row in enumerate(rows):
            middle = top + ROW * (index + 0.5)
            out.append(label(LEFT - 8, middle + 4, row["workload"], text_anchor="end"))
            out += marks(row, middle)
        y = top + height + 44
    head = [label(LEFT, 20, "Time of Tidemark / time of the other side, medians and range", font_size=15),
            *legend(42)]
    width = LEFT + WIDTH + RIGHT
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" '
        f'viewBox="0 0 {width} {y}">',
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->",
        tag("rect", width=width, height=y, fill="#ffffff"), *head, *out, "</svg>", ""])
