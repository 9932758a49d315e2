"""The rules of the tree that a program can check: sizes, a README in each room, words that stay out.

Usage: tree.py; exit 1 and one line each for what breaks a rule.
tree.py --sources compile_commands.json: our C sources of that compile database, for clang-tidy."""
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

FILE_MAX = 1000  # past this a file is split
FILE_ESSAY = 600  # past this its opening comment says why it is long
HEADER_MAX = 200  # a room's private one may take a little more
FUNCTION_MAX = 80  # one screen is 50; flat tables and switches may take a little more
README_MAX = 15
COLUMNS = 100

BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|atoi|atol|strtok|alloca|system|tmpnam)\(")
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|^(<<<<<<<|>>>>>>>) ")
# Places of one machine have no business in a repository that strangers clone.
MACHINE = re.compile(r"(?<![\w.~$}{-])/(work|farm|home/\w+|root|tmp/build)[/\s\"']|registry\.npmjs|deb\.debian\.org")
FUNCTION = re.compile(r"^[a-zA-Z_][^;]*\)\s*$")


def files(*patterns):
    """Tracked files, or all of them where there is no git."""
    try:
        out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns], cwd=ROOT,
                             check=True, capture_output=True, text=True).stdout
        names = out.splitlines()
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(ROOT)) for pattern in patterns for p in ROOT.rglob(pattern)]
    return sorted({n for n in names if (ROOT / n).is_file()})


def read(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def functions(text):
    """(line, octets of name, length) of the functions of kernel-style C."""
    begin, name = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if FUNCTION.match(line):
            name = line
        elif line == "{":
            begin = number
        elif line == "}" and begin:
            yield begin, name, number - begin
            begin = 0


def check_c(name, text):
    lines = text.count("\n")
    if lines > FILE_MAX:
        yield f"{name}: {lines} lines: split it"
    elif lines > FILE_ESSAY and name.startswith("src/") and "long because" not in text[:2000]:
        yield f"{name}: {lines} lines: split it, or let its essay say 'long because ...'"
    private = name.endswith("_internal.h")
    if name.endswith(".h") and name.startswith("src/") and lines > HEADER_MAX + 50 * private:
        yield f"{name}: a header of {lines} lines"
    if name.startswith("src/"):
        if not text.startswith("/*"):
            yield f"{name}: no opening essay"
        for line, function, length in functions(text):
            if length > FUNCTION_MAX:
                yield f"{name}:{line}: a function of {length} lines: {function.strip()[:60]}"
    for number, line in enumerate(text.splitlines(), 1):
        if BANNED.search(line) and name.startswith("src/"):
            yield f"{name}:{number}: {BANNED.search(line).group(1)}() stays out"


def check_rooms():
    for room in sorted(p for p in (ROOT / "src").iterdir() if p.is_dir()):
        readme = room / "README.md"
        if not readme.exists():
            yield f"src/{room.name}: no README.md"
        elif readme.read_text(encoding="utf-8").count("\n") > README_MAX:
            yield f"src/{room.name}/README.md: over {README_MAX} lines"


def check_links():
    """Links of our Markdown to files of ours."""
    for name in files("*.md"):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", read(name)):
            if not ((ROOT / name).parent / target).exists():
                yield f"{name}: link to {target}, which is not there"


def check_words():
    for name in files("*"):
        if name.startswith("tests/corpus/") or name == "tests/tree.py":
            continue
        for number, line in enumerate(read(name).splitlines(), 1):
            if MACHINE.search(line):
                yield f"{name}:{number}: names a place of one machine: {line.strip()[:80]}"
            if LEFTOVER.search(line):
                yield f"{name}:{number}: {LEFTOVER.search(line).group(0)}"


def check_log_events():
    """Every event word of the sources stands in docs/logs*.md: the names are an interface."""
    known = "".join(read(name) for name in files("docs/logs*.md"))
    for name in files("src/*.c"):
        text = read(name)
        for event in re.findall(r'\blog_(?:begin|text)\(\s*[^,()]+,\s*"([a-z-]+)"', text):
            if f"`{event}`" not in known:
                yield f"{name}: event {event} is not in docs/logs.md"


def errors():
    for name in files("*.c", "*.h"):
        if name.endswith((".c", ".h")):
            yield from check_c(name, read(name))
    yield from check_rooms()
    yield from check_links()
    yield from check_words()
    yield from check_log_events()


def sources(database):
    with open(database, encoding="utf-8") as f:
        entries = json.load(f)
    names = {os.path.realpath(os.path.join(e["directory"], e["file"])) for e in entries}
    for name in sorted(names):
        if name.startswith(str(ROOT / "src")) or name.startswith(str(ROOT / "tests")):
            print(name)


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--sources":
        sources(sys.argv[2])
        return 0
    found = sorted(set(errors()))
    for error in found:
        print(error)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
