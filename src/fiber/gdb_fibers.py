"""Lists the fibers of a Postrider process or core with their backtraces.

    gdb -x src/fiber/gdb_fibers.py -p PID      (or: gdb PROGRAM CORE)
    (gdb) fibers            every fiber, one line each
    (gdb) fibers bt         with backtraces
    (gdb) fiber N bt        one of them

A suspended fiber's registers lie where jump_fcontext of Boost.Context left them. The backtrace
follows frame pointers (we build with -fno-omit-frame-pointer), so that it works in a core, where
registers cannot be set; inside a library without frame pointers it ends early. x86-64 only.
"""

import gdb

FRAMES_MAX = 64
# Boost.Context, x86-64 System V: mxcsr+x87, r12, r13, r14, r15, rbx, rbp, rip.
OFFSET_RBP = 0x30
OFFSET_RIP = 0x38


def word(address):
    pointer = gdb.lookup_type("unsigned long").pointer()
    return int(gdb.Value(address).cast(pointer).dereference())


def fibers():
    """Every fiber, in order of birth."""
    fiber = gdb.lookup_type("struct fiber")
    offset = [f.bitpos // 8 for f in fiber.fields() if f.name == "all_node"][0]
    head = gdb.parse_and_eval("&runtime.fibers")
    node = head.dereference()["next"]
    while int(node) != 0 and node != head:
        yield gdb.Value(int(node) - offset).cast(fiber.pointer())
        node = node.dereference()["next"]


def state(fiber, now):
    if fiber == gdb.parse_and_eval("runtime.current"):
        return "running"
    if not fiber["waiting"]:
        return "runnable"
    if fiber["uncancellable"]:
        what = "waits for the pool"
    elif int(fiber["slot"]) != 0:
        what = "waits for an fd"
    elif int(fiber["wait_node"]["next"]) != 0:
        what = "waits for a condition"
    else:
        what = "sleeps"
    deadline = int(fiber["deadline_usec"])
    if deadline != 2**64 - 1:
        what += ", deadline in %.3f s" % ((deadline - now) / 1e6)
    return what


def place(pc, first):
    # A return address may already belong to the next line.
    at = pc if first else pc - 1
    block = gdb.block_for_pc(at)
    while block is not None and block.function is None:
        block = block.superblock
    sal = gdb.find_pc_line(at)
    if block is not None:
        where = block.function.print_name
    else:
        # The minimal symbol, for code without debug information.
        where = gdb.execute("info symbol %#x" % at, to_string=True).split(" in section")[0]
    if sal.symtab is not None:
        where += " at %s:%d" % (sal.symtab.filename, sal.line)
    return where


def backtrace(fiber):
    context = int(fiber["context"])
    bottom = int(fiber["stack"]["base"])
    top = bottom + int(fiber["stack"]["size"])
    rip, rbp = word(context + OFFSET_RIP), word(context + OFFSET_RBP)
    for n in range(FRAMES_MAX):
        print("    #%-2d %#x %s" % (n, rip, place(rip, n == 0)))
        if not bottom <= rbp <= top - 16:
            return
        rip, above = word(rbp + 8), word(rbp)
        if rip == 0 or above <= rbp:
            return
        rbp = above


def show(number, fiber, now, with_backtrace):
    function = str(fiber["fn"]).split("<")[-1].rstrip(">")
    flags = " cancelled" if fiber["cancelled"] else ""
    print("fiber %d %#x %s: %s%s" % (number, int(fiber), function, state(fiber, now), flags))
    if not with_backtrace:
        return
    if fiber == gdb.parse_and_eval("runtime.current"):
        print("    (it runs: see bt)")
    else:
        backtrace(fiber)


class Fibers(gdb.Command):
    """fibers [bt]: list every fiber, with backtraces if wanted."""

    def __init__(self):
        super().__init__("fibers", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        now = int(gdb.parse_and_eval("runtime.now_usec"))
        for number, fiber in enumerate(fibers()):
            show(number, fiber, now, argument.strip() == "bt")


class Fiber(gdb.Command):
    """fiber N [bt]: one fiber, as numbered by fibers."""

    def __init__(self):
        super().__init__("fiber", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split()
        if not words or not words[0].isdigit():
            raise gdb.GdbError("fiber N [bt]")
        now = int(gdb.parse_and_eval("runtime.now_usec"))
        for number, fiber in enumerate(fibers()):
            if number == int(words[0]):
                show(number, fiber, now, "bt" in words[1:])
                return
        raise gdb.GdbError("no such fiber")


Fibers()
Fiber()
