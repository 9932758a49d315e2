"""Adds up JUnit reports: a line for each, the names of what failed, and the closing line.

Usage: summary.py REPORT.xml...   A report that is missing is a stage that wrote none."""
import os
import sys
import xml.etree.ElementTree as ET


def count(path):
    """(passed, failed, skipped, names of the failed) of one report."""
    passed = failed = skipped = 0
    names = []
    for case in ET.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            names.append(case.get("name"))
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped, names


def main(paths):
    total = [0, 0, 0]
    print()
    for path in paths:
        stage = os.path.splitext(os.path.basename(path))[0]
        if not os.path.exists(path):
            print(f"  {stage:10} no report")
            continue
        *numbers, names = count(path)
        total = [a + b for a, b in zip(total, numbers)]
        print("  {:10} {} passed, {} failed, {} skipped".format(stage, *numbers))
        for name in names:
            print(f"    failed: {name}")
    print("\n{} passed, {} failed, {} skipped".format(*total))
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
