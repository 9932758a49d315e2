"""docs/rfc-map.md cannot go stale: every file and every test that it names exists. Exit 1 and one line each if not."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}
ROWS_MIN = 100


def proofs():
    """Every name that may stand as a proof."""
    names = set()
    for f in (ROOT / "tests").rglob("*"):
        if "build" in f.parts or not f.is_file():
            continue
        if f.suffix == ".txt" and "dialogues" in f.parts:
            names.update(re.findall(r"^== (.*)$", f.read_text(), re.MULTILINE))
        elif f.suffix == ".py":
            names.update(re.findall(r"^def (test_\w+)", f.read_text(), re.MULTILINE))
        elif f.suffix == ".c":
            names.update(re.findall(r"^(?:static )?void (\w+__\w+)\(void \*\*state\)", f.read_text(), re.MULTILINE))
    return names


def main():
    known = proofs()
    rows = problems = 0
    page = ROOT / "docs" / "rfc-map.md"
    for number, line in enumerate(page.read_text().splitlines(), 1):
        cells = [c.strip() for c in line.strip().strip("|").split(" | ")]
        if not line.startswith("|") or cells[0] == "section" or line.startswith("|---"):
            continue
        rows += 1
        wrong = []
        if len(cells) != 5:
            wrong.append(f"{len(cells)} cells, not 5")
        else:
            _, level, _, files, proof = cells
            if level not in LEVELS:
                wrong.append(f"level {level!r}")
            named = re.findall(r"`([^`]+)`", files)
            wrong += [f"no file src/{f}" for f in named if not (ROOT / "src" / f).is_file()]
            if not named:
                wrong.append("names no file")
            tests = re.findall(r"`([^`]+)`", proof)
            wrong += [f"no test {t!r}" for t in tests if t not in known]
            if not tests and not proof.startswith("not: "):
                wrong.append("neither a proof nor 'not: why'")
        for w in wrong:
            print(f"docs/rfc-map.md:{number}: {w}")
        problems += len(wrong)
    if rows < ROWS_MIN:
        print(f"docs/rfc-map.md: {rows} rules, at least {ROWS_MIN} were there once")
        problems += 1
    print(f"{rows} rules, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
