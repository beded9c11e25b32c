#!/usr/bin/env python3
"""including.py INCLUDE_DIR OUT COMPILER...: measures the cost of including each public header, and some other headers, and writes a
table to OUT: the lines after preprocessing (by the first compiler), and the processor time of each compiler, also as the ratio to
<span>, <string_view> and <cstdint> together. Times are the median of five interleaved runs. OUT also has the size of a ten-line
program."""
import os
import statistics
import subprocess
import sys
import tempfile

RUNS = 5
BASE = ("span", "string_view", "cstdint")
OTHERS = ("vector", "string", "format", "ranges", "iostream", "fmt/format.h", "doctest/doctest.h")
TEN_LINES = """#include <procmap/maps.hpp>
#include <cstdio>
int main() {
    const auto self = procmap::maps::open_self();
    if (!self) return 1;
    auto walk = self->walk();
    for (const procmap::mapping& m : walk)
        std::printf("%llx\\n", static_cast<unsigned long long>(m.start));
    return walk.complete() ? 0 : 1;
}
"""


def seconds(command):
    """Returns the processor time of a command, or None if it fails."""
    with open(os.devnull, "w") as null:
        process = subprocess.Popen(command, stdout=null, stderr=null)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    return usage.ru_utime + usage.ru_stime if status == 0 else None


def main(include, out, compilers):
    public = sorted(f"procmap/{name}" for name in os.listdir(f"{include}/procmap") if name.endswith(".hpp"))
    with tempfile.TemporaryDirectory() as work:
        sources = {}
        for i, headers in enumerate([(), BASE, *((h,) for h in OTHERS), *((h,) for h in public)]):
            sources[headers] = f"{work}/{i}.cpp"
            with open(sources[headers], "w") as f:
                f.writelines(f"#include <{h}>\n" for h in headers)
        flags = ["-std=c++20", "-O2", f"-I{include}"]
        times = {(c, h): [] for c in compilers for h in sources}
        for _ in range(RUNS):
            for (compiler, headers), all_runs in times.items():
                took = seconds([compiler, *flags, "-c", sources[headers], "-o", f"{work}/out.o"])
                if took is not None:
                    all_runs.append(took)

        def lines(headers):
            done = subprocess.run([compilers[0], *flags, "-E", "-P", sources[headers]], capture_output=True, text=True)
            return sum(1 for line in done.stdout.splitlines() if line.strip()) if done.returncode == 0 else None

        def of(compiler, headers):  # minus the time for an empty file
            if not times[compiler, headers]:
                return None
            return statistics.median(times[compiler, headers]) - statistics.median(times[compiler, ()])

        names = [subprocess.run([c, "--version"], capture_output=True, text=True).stdout.split("\n")[0] for c in compilers]
        rows = ["| | lines | ratio | " + " | ".join(f"{n}: time | ratio" for n in names) + " |",
                "|---" + "|--:" * (2 + 2 * len(names)) + "|"]
        for headers in sources:
            count = lines(headers)
            if not headers:
                continue
            name = " + ".join(f"`<{h}>`" for h in headers)
            if count is None:
                rows.append(f"| {name} | not here |" + " |" * (1 + 2 * len(names)))
                continue
            row = f"| {name} | {count:,} | {count / lines(BASE):.2f} |"
            for c in compilers:
                took = of(c, headers)
                row += f" {took * 1000:.0f} ms | {took / of(c, BASE):.2f} |" if took is not None else " – | – |"
            rows.append(row)

        with open(f"{work}/ten.cpp", "w") as f:
            f.write(TEN_LINES)
        sizes = []
        for name, compiler in zip(names, compilers):
            subprocess.run([compiler, *flags, "-c", f"{work}/ten.cpp", "-o", f"{work}/ten.o"], check=True)
            size = subprocess.run(["size", f"{work}/ten.o"], capture_output=True, text=True, check=True).stdout
            text, data, bss = size.split("\n")[1].split()[:3]
            sizes.append(f"{int(text):,} bytes of code and constants and {int(data) + int(bss)} of data with {name}")
    with open(out, "w") as f:
        f.write("\n".join(rows) + "\n\nA program of ten lines that opens the handle, walks and prints: " + "; ".join(sizes) + ".\n")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
