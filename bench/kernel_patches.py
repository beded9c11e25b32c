#!/usr/bin/env python3
"""kernel_patches.py PROCMAP TARGET OUT: repeats the experiments that were published with the ioctl, using `procmap compare`, and
writes a table with the published and the measured values to OUT. The exit status is 77 if the ioctl is not available."""
import json
import subprocess
import sys

# Description; arguments of target; whether to pass its addresses to compare; options of compare; whether the time is per mapping;
# published: times of text and ioctl in µs, and their numbers of system calls.
EXPERIMENTS = (
    ("3,244 addresses (464 different) in 5 of 655 mappings [1]", (655, 3244, 464, 5), True, (), False, 333, 8, "27, 5"),
    ("all mappings, as perf collects them: for each [2]", (655, 1, 1, 1), False, ("--all",), True, 2.735, 2.768, ""),
    ("the executable ones of files alone: for each [2]", (655, 1, 1, 1), False, (), True, 2.735, 2.393, ""),
    ("five addresses of a small process [3]", (60, 5, 5, 2), True, (), False, 47.2, 7.1, ""),
)


def compare(procmap, target, make, with_addresses, options):
    process = subprocess.Popen([target, *map(str, make)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    addresses = process.stdout.read().split()
    command = [procmap, "compare", str(process.pid), "--json", *options, *(addresses if with_addresses else ())]
    done = subprocess.run(command, capture_output=True, text=True)
    process.stdin.close()
    process.wait()
    if done.returncode == 3 and "PROCMAP_QUERY" in done.stderr:
        sys.exit(77)
    if done.returncode != 0:
        sys.exit(f"procmap compare: exit status {done.returncode}: {done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["backend"]: line for line in lines}


def ratio(a, b):
    return f"{a / b:.0f}" if a >= 10 * b else f"{a / b:.2g}"


def main(procmap, target, out):
    rows = ["| | published: text | ioctl | ratio | here: text | ioctl | ratio | of the lookup alone | found | system calls |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for what, make, with_addresses, options, each, text_us, ioctl_us, calls in EXPERIMENTS:
        both = compare(procmap, target, make, with_addresses, options)
        text, ioctl = both["text"], both["ioctl"]
        whole = [(r["open_ns"] + r["lookup_ns"]) / 1000 / (r["found"] if each else 1) for r in (text, ioctl)]
        here = f"{text['system_calls']}, {ioctl['system_calls']}" + (f" (published: {calls})" if calls else "")
        rows.append(f"| {what} | {text_us} µs | {ioctl_us} µs | {ratio(text_us, ioctl_us)} | {whole[0]:.3g} µs | "
                    f"{whole[1]:.3g} µs | {ratio(*whole)} | {ratio(text['lookup_ns'], ioctl['lookup_ns'])} | "
                    f"{text['found']} of {text['mappings']} | {here} |")
    with open(out, "w") as f:
        f.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
