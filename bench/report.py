#!/usr/bin/env python3
"""report.py RESULTS.json DOCS COMPILER: the medians of a run of procmap_bench as tables, in place of what stands between the
marks in DOCS/performance.md, and as the charts DOCS/parser.svg and DOCS/growth.svg. Names are GROUP/CONTENDER; the ratio is to
the first of BASES that the group has."""
import html
import json
import math
import platform
import re
import sys

BASES = ("bare ioctl", "bare ioctl with name", "sscanf", "snapshot", "ioctl only")
BEGIN, END = "<!-- begin results -->", "<!-- end results -->"


def medians(results):
    """{group: {contender: ns}}, in the order of the source; a benchmark that could not run has None."""
    groups = {}
    for b in sorted(results["benchmarks"], key=lambda b: (b["family_index"], b["per_family_instance_index"])):
        if b.get("aggregate_name") != "median" and not b.get("error_occurred"):
            continue
        group, _, name = b["run_name"].partition("/")
        name = re.sub(r"/real_time", "", name)
        if group not in ("growth", "threads"):
            name = re.sub(r"/\d+$", "", name)
        ns = None
        if not b.get("error_occurred"):
            ns = 1e9 / b["items_per_second"] if "items_per_second" in b else b["cpu_time"]
        groups.setdefault(group, {}).setdefault(name, ns)
    return groups


def duration(ns):
    if ns is None:
        return "could not run"
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def table(group, rows):
    base = next((b for b in BASES if b in rows), None)
    lines = [f"| {group} | median | ratio |", "|---|--:|--:|"]
    for name, ns in rows.items():
        ratio = f"{ns / rows[base]:.2f}" if base and ns and rows[base] else ""
        lines.append(f"| {name} | {duration(ns)} | {ratio} |")
    return "\n".join(lines)


def growth(rows):
    """Contenders by number of mappings, and the exponent of the power law that fits best: 0 constant, 1 linear."""
    curves = {}
    for name, ns in rows.items():
        what, _, n = name.rpartition("/")
        curves.setdefault(what, {})[int(n)] = ns
    sizes = sorted({n for c in curves.values() for n in c})
    lines = ["| mappings | " + " | ".join(f"{n:,}" for n in sizes) + " | grows as |", "|---" + "|--:" * (len(sizes) + 1) + "|"]
    for what, curve in curves.items():
        points = [(math.log(n), math.log(ns)) for n, ns in curve.items() if ns]
        mx, my = (sum(p[i] for p in points) / len(points) for i in (0, 1))
        slope = sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)
        lines.append(f"| {what} | " + " | ".join(duration(curve.get(n)) for n in sizes) + f" | n^{slope:.2f} |")
    return "\n".join(lines), curves


STYLE = ("<style>text{font:13px sans-serif;fill:#333}.n{fill:#777;font-size:11px}.b{fill:#9ab}.p{fill:#2a6}.l{fill:none;stroke-width:2}"
         ".g{stroke:#ddd}@media(prefers-color-scheme:dark){text{fill:#ddd}.n{fill:#999}.g{stroke:#444}}</style>")


def bars(rows, caption):
    rows = sorted(((n, v) for n, v in rows.items() if v), key=lambda r: r[1])
    top = rows[-1][1]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{26 * len(rows) + 40}">{STYLE}']
    for i, (name, ns) in enumerate(rows):
        y, width = 26 * i + 8, 380 * ns / top
        kind = "p" if name.startswith("procmap") else "b"
        out.append(f'<text x="150" y="{y + 14}" text-anchor="end">{html.escape(name)}</text>'
                   f'<rect class="{kind}" x="160" y="{y}" width="{width:.0f}" height="18"/>'
                   f'<text x="{166 + width:.0f}" y="{y + 14}">{duration(ns)}</text>')
    out.append(f'<text class="n" x="10" y="{26 * len(rows) + 28}">{html.escape(caption)}</text></svg>')
    return "\n".join(out) + "\n"


def curves_chart(curves, caption):
    colours = ("#2a6", "#c63", "#27c", "#a3a")
    points = [(n, ns) for c in curves.values() for n, ns in c.items() if ns]
    x0, x1 = (math.log10(f(p[0] for p in points)) for f in (min, max))
    y0, y1 = math.floor(math.log10(min(p[1] for p in points))), math.ceil(math.log10(max(p[1] for p in points)))
    px = lambda n: 70 + 330 * (math.log10(n) - x0) / (x1 - x0)
    py = lambda ns: 310 - 290 * (math.log10(ns) - y0) / (y1 - y0)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="370">{STYLE}']
    for e in range(y0, y1 + 1):
        y = py(10 ** e)
        out.append(f'<line class="g" x1="70" x2="400" y1="{y:.0f}" y2="{y:.0f}"/>'
                   f'<text x="62" y="{y + 4:.0f}" text-anchor="end">{duration(10 ** e)}</text>')
    for n in sorted({p[0] for p in points}):
        out.append(f'<text x="{px(n):.0f}" y="330" text-anchor="middle">{n if n < 1000 else f"{n // 1000}k"}</text>')
    for colour, (name, curve) in zip(colours, curves.items()):
        line = [(px(n), py(ns)) for n, ns in sorted(curve.items()) if ns]
        out.append(f'<polyline class="l" stroke="{colour}" points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in line)}"/>'
                   f'<text x="408" y="{line[-1][1] + 4:.0f}">{html.escape(name)}</text>')
    out.append(f'<text class="n" x="10" y="358">{html.escape(caption)}</text></svg>')
    return "\n".join(out) + "\n"


def processor():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return model.group(1) if model else platform.machine()


def main(results_path, docs, compiler):
    with open(results_path) as f:
        results = json.load(f)
    context = results["context"]
    where = (f"{processor()}, {context['num_cpus']} CPUs; Linux {platform.release()}; {compiler}; {context['date'][:10]}; "
             f"load {context['load_avg'][0]:.1f} when it began")
    groups = medians(results)
    parts = [where + "."]
    for group, rows in groups.items():
        if group == "growth":
            text, curves = growth(rows)
            parts.append(text + "\n\n![growth with the number of mappings](growth.svg)")
            with open(f"{docs}/growth.svg", "w") as f:
                f.write(curves_chart(curves, where))
        else:
            parts.append(table(group, rows))
            if group == "parser":
                parts.append("![nanoseconds for each line](parser.svg)")
                with open(f"{docs}/parser.svg", "w") as f:
                    f.write(bars(rows, "for each line; " + where))
    text = "\n\n".join(parts)
    print(text)
    path = f"{docs}/performance.md"
    with open(path) as f:
        page = f.read()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    with open(path, "w") as f:
        f.write(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
