#!/usr/bin/env python3
"""report.py DOCS COMPILER RESULTS.json... NAME=FILE...: writes the medians of Google Benchmark runs as tables between the marks
"begin results" and "end results" of DOCS/performance.md, and as the charts DOCS/*.svg. Writes the contents of each FILE between
the marks of NAME. Benchmarks are named GROUP/CONTENDER; ratios are relative to the first of BASES that the group has. In the
group "turn about" each benchmark is a pair. In a group "growth: X" the names end in /X."""
import html
import json
import math
import platform
import re
import sys

BASES = ("bare ioctl", "sscanf", "snapshot", "ioctl only")


def medians(results):
    """Returns {group: {contender: ns, or the counters of a pair}} in the order of the source; None if a benchmark could not run."""
    groups = {}
    for b in sorted(results["benchmarks"], key=lambda b: (b["family_index"], b["per_family_instance_index"])):
        if b.get("aggregate_name") != "median" and not b.get("error_occurred"):
            continue
        group, _, name = b["run_name"].partition("/")
        name = re.sub(r"/(real_time|manual_time|iterations:\d+)|threads:", "", name)
        if not group.startswith("growth"):
            name = re.sub(r"/\d+$", "", name)
        ns = None
        if not b.get("error_occurred") and group == "turn about":
            ns = {what: b[what] for what in ("base", "ours", "ratio", "low", "high")}
        elif not b.get("error_occurred"):
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


def pairs(rows):
    lines = ["| turn about with the bare ioctl in C | bare | procmap | ratio | middle half of the ratios |",
             "|---|--:|--:|--:|--:|"]
    for name, pair in rows.items():
        if pair is None:
            lines.append(f"| {name} | could not run | | | |")
            continue
        lines.append(f"| {name} | {duration(pair['base'])} | {duration(pair['ours'])} | {pair['ratio']:.2f} | "
                     f"{pair['low']:.2f} to {pair['high']:.2f} |")
    return "\n".join(lines)


def fit(curve):
    """Returns the best fit, a power law or an ascending line: its text, its function, and R² of the logarithms."""
    points = [(n, ns) for n, ns in curve.items() if ns]
    logs = [(math.log(n), math.log(ns)) for n, ns in points]
    mx, my = (sum(p[i] for p in logs) / len(logs) for i in (0, 1))
    b = sum((x - mx) * (y - my) for x, y in logs) / sum((x - mx) ** 2 for x, _ in logs)
    a = math.exp(my - b * mx)
    fits = [(f"{duration(a)} · n^{b:.2f}", lambda n: a * n ** b)]
    # c + d·n with the smallest relative errors: weighted by 1/y².
    w, wx, wxx, wy, wxy = (sum(f(n, ns) / ns ** 2 for n, ns in points) for f in (
        lambda n, y: 1, lambda n, y: n, lambda n, y: n * n, lambda n, y: y, lambda n, y: n * y))
    d = (w * wxy - wx * wy) / (w * wxx - wx * wx)
    c = (wy - d * wx) / w
    if c > 0 and d > 0:
        fits.append((f"{duration(c)} + {duration(d)} · n", lambda n: c + d * n))
    total = sum((y - my) ** 2 for _, y in logs)
    left = lambda f: sum((math.log(f(n)) - math.log(ns)) ** 2 for n, ns in points)
    words, best = min(fits, key=lambda f: left(f[1]))
    return words, best, 1 - left(best) / total if total else 1.0


def growth(what, rows):
    """Returns the table and the curves of the contenders, each with its best fit: n^0 is constant, n^1 linear."""
    curves = {}
    for name, ns in rows.items():
        name, _, n = name.rpartition("/")
        curves.setdefault(name, {})[int(n)] = ns
    sizes = sorted({n for c in curves.values() for n in c})
    lines = [f"| {what} | " + " | ".join(f"{n:,}" for n in sizes) + " | fitted | R² |", "|---" + "|--:" * (len(sizes) + 2) + "|"]
    for name, curve in curves.items():
        words, _, r2 = fit(curve)
        lines.append(f"| {name} | " + " | ".join(duration(curve.get(n)) for n in sizes) + f" | {words} | {r2:.2f} |")
    return "\n".join(lines), curves


STYLE = ("<style>text{font:13px sans-serif;fill:#333}.n{fill:#777;font-size:11px}.b{fill:#9ab}.p{fill:#2a6}"
         ".l{fill:none;stroke-width:2}.f{fill:none;stroke-dasharray:2 4}"
         ".g{stroke:#ddd}@media(prefers-color-scheme:dark){text{fill:#ddd}.n{fill:#999}.g{stroke:#444}}</style>")


def captioned(y, caption):
    """Returns the lines of a caption and the end of the chart."""
    return "".join(f'<text class="n" x="10" y="{y + 14 * i}">{html.escape(line)}</text>'
                   for i, line in enumerate(caption.split("\n"))) + "</svg>"


def bars(rows, caption):
    rows = sorted(((n, v) for n, v in rows.items() if v), key=lambda r: r[1])
    top = rows[-1][1]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{26 * len(rows) + 46}">{STYLE}']
    for i, (name, ns) in enumerate(rows):
        y, width = 26 * i + 8, 380 * ns / top
        kind = "p" if name.startswith("procmap") else "b"
        out.append(f'<text x="150" y="{y + 14}" text-anchor="end">{html.escape(name)}</text>'
                   f'<rect class="{kind}" x="160" y="{y}" width="{width:.0f}" height="18"/>'
                   f'<text x="{166 + width:.0f}" y="{y + 14}">{duration(ns)}</text>')
    out.append(captioned(26 * len(rows) + 24, caption))
    return "\n".join(out) + "\n"


def curves_chart(curves, caption):
    colours = ("#2a6", "#c63", "#27c", "#a3a", "#886")
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
    labels = []
    for colour, (name, curve) in zip(colours, curves.items()):
        _, fitted, _ = fit(curve)
        dots = " ".join(f"{px(n):.0f},{py(fitted(n)):.0f}" for n in sorted(curve))
        line = " ".join(f"{px(n):.0f},{py(ns):.0f}" for n, ns in sorted(curve.items()) if ns)
        out.append(f'<polyline class="f" stroke="{colour}" points="{dots}"/>'
                   f'<polyline class="l" stroke="{colour}" points="{line}"/>')
        labels.append((py(curve[max(n for n, ns in curve.items() if ns)]), colour, name))
    at = 0
    for y, colour, name in sorted(labels):  # next to the end of the curve, but below the previous label
        at = max(y + 4, at + 16)
        out.append(f'<text x="408" y="{at:.0f}" style="fill:{colour}">{html.escape(name)}</text>')
    out.append(captioned(350, caption))
    return "\n".join(out) + "\n"


def processor():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return model.group(1) if model else platform.machine()


def replace(page, mark, text):
    begin, end = f"<!-- begin {mark} -->", f"<!-- end {mark} -->"
    if begin not in page or end not in page:
        sys.exit(f"report.py: performance.md has no marks of {mark}")
    return page.partition(begin)[0] + f"{begin}\n{text}\n{end}" + page.partition(end)[2]


def main(docs, compiler, files):
    groups = {}
    for file in files:
        if "=" not in file:
            with open(file) as f:
                results = json.load(f)
            groups |= medians(results)
    context = results["context"]
    where = (f"{processor()}, {context['num_cpus']} CPUs; Linux {platform.release()}; {compiler}; {context['date'][:10]}; "
             f"load {context['load_avg'][0]:.1f}")
    parts = [where + "."]
    for group, rows in groups.items():
        if group.startswith("growth: "):
            what = group.removeprefix("growth: ")
            text, curves = growth(what, rows)
            chart = "growth.svg" if what == "mappings" else f"growth_{what}.svg"
            parts.append(f"{text}\n\n![growth with the number of {what}]({chart})")
            with open(f"{docs}/{chart}", "w") as f:
                f.write(curves_chart(curves, f"by the number of {what}; dotted: fitted\n{where}"))
        elif group == "turn about":
            parts.append(pairs(rows))
        else:
            parts.append(table(group, rows))
            if group == "parser":
                parts.append("![nanoseconds for each line](parser.svg)")
                with open(f"{docs}/parser.svg", "w") as f:
                    f.write(bars(rows, "for each line\n" + where))
    path = f"{docs}/performance.md"
    with open(path) as f:
        page = f.read()
    page = replace(page, "results", "\n\n".join(parts))
    for mark, _, file in (file.partition("=") for file in files if "=" in file):
        with open(file) as f:
            page = replace(page, mark, f"{where}.\n\n{f.read().strip()}")
    with open(path, "w") as f:
        f.write(page)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
