"""The arrows between rooms: which folder of src/ may #include which (docs/architecture.md).

The halves that receive and deliver meet in the spool only; every exception has to be argued here.
Usage: arrows.py [--graph]; exit 1 and one line each for what breaks the rule."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# What everybody may use: octets, waiting, sockets, grammar; what processes say to each other; the
# frozen configuration; what a role process is.
FOUNDATION = {"base", "fiber", "net", "mail", "ipc", "config", "process"}

# Inside the foundation there is an order too.
ALLOWED = {
    "base": set(),
    "fiber": {"base"},
    "net": {"base", "fiber"},
    "mail": {"base"},
    "ipc": {"base", "fiber", "net"},
    "config": {"base", "net", "mail"},
    "process": {"base", "fiber", "net", "ipc", "config"},
    # The receiving half.
    "accept": FOUNDATION | {"session", "checks", "spool"},
    "session": FOUNDATION | {"checks", "spool"},
    "checks": FOUNDATION | {"route", "mailauth"},
    "mailauth": {"base", "mail"},
    # Secrets and SASL: no waiting, no sockets.
    "sasl": {"base"},
    # The door between the halves.
    "spool": {"base", "fiber", "mail"},
    # The delivering half.
    "queue": FOUNDATION | {"spool", "route", "bounce"},
    "bounce": FOUNDATION | {"spool"},
    "deliver": FOUNDATION,
    # Answers.
    "route": FOUNDATION,
    "directory": FOUNDATION | {"route", "sasl"},
    "keys": FOUNDATION | {"sasl"},
    "resolver": FOUNDATION,
    "control": FOUNDATION,
    "tlsrpt": FOUNDATION,
    # The load generator and its sink know no server.
    "bench": FOUNDATION,
    # The command line reads the spool and the queue's entries in place while no server runs, and `dns check` judges
    # hosts by what deliveries judge them by.
    "cli": FOUNDATION | {"spool", "queue", "route", "sasl", "bench", "tlsrpt", "deliver"},
}
# main.c knows the roles and the command line by their one header each.
MAIN = {"accept", "cli", "control", "deliver", "directory", "queue", "keys", "resolver", "tlsrpt"}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def includes():
    """(file, line, room, included) of every include of ours."""
    for path in sorted(SRC.rglob("*.[ch]")):
        text = path.read_text(encoding="utf-8")
        relative = path.relative_to(SRC)
        room = relative.parts[0] if len(relative.parts) > 1 else None
        for match in INCLUDE.finditer(text):
            yield relative, text.count("\n", 0, match.start()) + 1, room, match.group(1)


def broken():
    for path, line, room, included in includes():
        target = included.split("/")[0]
        where = f"src/{path}:{line}"
        if "/" not in included:
            yield f'{where}: "{included}": name the room: #include "{room}/{included}"'
        elif not (SRC / included).exists():
            yield f'{where}: "{included}" is not in src/'
        elif room is None:
            if target not in MAIN | FOUNDATION:
                yield f"{where}: main.c has no business in {target}/"
        elif room not in ALLOWED:
            yield f"{where}: {room}/ is a room without arrows: add it to tests/arrows.py"
        elif target != room and target not in ALLOWED[room]:
            yield f"{where}: no arrow from {room}/ to {target}/"


def graph():
    arrows = {}
    for _, _, room, included in includes():
        target = included.split("/")[0]
        if room and room != target:
            arrows.setdefault(room, set()).add(target)
    for room in sorted(arrows):
        print(f"{room:10} -> {' '.join(sorted(arrows[room]))}")


def main():
    if "--graph" in sys.argv:
        graph()
        return 0
    errors = list(broken())
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
