#!/usr/bin/python3
"""Instructions of one relayed message in our own code (hot_path.c), against budget.txt: a regression check that knows no
clock and no load. callgrind counts the same on every machine of one architecture and one libc but for a percent or two.

A part may grow by TOLERANCE; what it saves shall be written down (--write), so that it is not lost again.
usage: budget.py HOT_PATH [--write] [--junit FILE]"""

import argparse
import pathlib
import re
import subprocess
import sys

BUDGET = pathlib.Path(__file__).with_name("budget.txt")
TOLERANCE = 0.10
PARTS = ("commands", "data", "envelope", "frames", "delivery", "book", "answers", "connection")
FEW, MANY = 50, 350


def collected(program, n, part):
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, str(n), part],
                          capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"budget.py: {part}: {done.stderr[-1000:]}")
    return int(found.group(1))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program")
    options.add_argument("--write", action="store_true")
    options.add_argument("--junit")
    o = options.parse_args()
    # The difference of two runs: start and end of the process fall out.
    counts = {p: (collected(o.program, MANY, p) - collected(o.program, FEW, p)) // (MANY - FEW) for p in PARTS}
    if o.write:
        BUDGET.write_text("".join(f"{p} {n}\n" for p, n in counts.items()))
    budget = {line.split()[0]: int(line.split()[1]) for line in BUDGET.read_text().splitlines() if line.strip()}
    cases, bad = [], False
    for part, n in counts.items():
        over = n > budget[part] * (1 + TOLERANCE)
        bad |= over
        word = "TOO MANY" if over else "less: write it down" if n < budget[part] * (1 - TOLERANCE) else "ok"
        print(f"{part:10} {n:8} instructions a message, budget {budget[part]:8}  {word}")
        cases.append(f'<testcase name="{part}">{"<failure/>" if over else ""}</testcase>')
    print(f"{'all':10} {sum(counts.values()):8} instructions a message, budget {sum(budget.values()):8}")
    if o.junit:
        pathlib.Path(o.junit).write_text(f"<testsuite>{''.join(cases)}</testsuite>")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
