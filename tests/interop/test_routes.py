"""`route` blocks with a table: which line counts, what a reload changes, what is said of files that are wrong."""

import pathlib
import subprocess

from node import PROGRAM, wait_until
from test_delivery import await_messages, send


def routed(node, folder, lines, others, default):
    table = folder / "partners"
    table.write_text("".join(f"{line}\n" for line in lines))
    more = f'route "file:{table}" {{ via = "smtp://127.0.0.1:{default.port}"  tls = none }}\n' + others
    return table, node(via=f'via = "smtp://127.0.0.1:{default.port}"', queue='retry = {"1h"}', more=more)


def got(sink):
    return sorted(r for m in sink.messages for r in m.recipients)


def test_table__by_address_domain_parent_and_sender(node, sink, tmp_path):
    block, line, other = sink(), sink(), sink()
    table, n = routed(node, tmp_path, [
        "# partners", "plain.example", f"Line.example  smtp://127.0.0.1:{line.port}",
        f".parent.example\tsmtp://127.0.0.1:{line.port}", f"ann@plain.example smtp://127.0.0.1:{line.port}",
        f"from:news@example.net smtp://127.0.0.1:{line.port}"],
        f'route "titled.example" {{ via = "smtp://127.0.0.1:{other.port}" }}', block)
    table.write_text(table.read_text() + f"titled.other.example smtp://127.0.0.1:{other.port}\n")
    n.start()
    send(n, ["u@plain.example"])
    send(n, ["u@line.example", "u@a.parent.example", "Ann@plain.example"])
    send(n, ["u@titled.example", "u@titled.other.example"], sender="news@example.net")
    send(n, ["u@far.example"], sender="news@example.net")
    n.await_empty(20)
    assert got(block) == ["u@plain.example"]
    assert got(line) == sorted(["u@line.example", "u@a.parent.example", "Ann@plain.example", "u@far.example"])
    assert got(other) == ["u@titled.example", "u@titled.other.example"]


def test_table__a_reload_takes_it_up_for_mail_that_waits(node, sink, tmp_path):
    good, default = sink(), sink(rule=lambda verb, argument: "451 4.3.0 not here" if verb == "RCPT" else None)
    table, n = routed(node, tmp_path, ["# nobody yet"], "", default)
    n.start()
    send(n, ["u@partner.example"])
    n.await_queue(lambda rows: rows and rows[0]["recipients"][0]["state"] == "deferred")
    table.write_text(f"partner.example smtp://127.0.0.1:{good.port}\n")
    n.run("reload")
    wait_until(lambda: any(r.get("kind") == "route" and r["entries"] == 1 for r in n.events("table-loaded")), 10, n.log)
    n.run("queue", "retry", "--all")
    assert await_messages(good, 1)[0].recipients == ["u@partner.example"]
    # Slips of the pen: what was understood before stays in force.
    table.write_text("partner.example smtp:/nonsense\n")
    n.run("reload")
    wait_until(lambda: n.events("table-error"), 10, n.log)
    assert f"{table}:1: " in n.events("table-error")[-1]["text"]
    send(n, ["v@partner.example"])
    await_messages(good, 2)


def test_table__a_file_that_is_not_there(node, sink, tmp_path):
    table, n = routed(node, tmp_path, [], "", sink())
    table.unlink()
    done = subprocess.run([PROGRAM, "check", "-c", str(n.conf)], capture_output=True, text=True, timeout=30)
    line = next(i for i, text in enumerate(pathlib.Path(n.conf).read_text().splitlines(), 1) if "route" in text)
    assert done.returncode != 0 and f"{n.conf}:{line}: " in done.stderr, done.stderr
    assert f"'{table}' does not exist: create it, one NAME [TARGET] a line" in done.stderr, done.stderr
    n.conf.write_text(n.conf.read_text().replace("tls = none }", "tls = none  etrn = true }"))
    table.write_text("")
    done = subprocess.run([PROGRAM, "check", "-c", str(n.conf)], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "etrn cannot be said of a table" in done.stderr, done.stderr
