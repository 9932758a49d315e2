"""Running it: start, reload, drain, who may run it, and what an unfriendly machine does to it."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import time

import pytest
from load import text
from node import PROGRAM, Node, free_port, stat_of, wait_until
from test_delivery import await_messages, send

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


@pytest.fixture
def public():
    """A folder that other users can reach."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="postrider-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def program(public):
    """The program where other users can reach it, too."""
    copy = public / "postrider"
    shutil.copy2(pathlib.Path(PROGRAM).resolve(), copy)
    copy.chmod(0o755)
    return copy


def test_relay_of_the_design__works_as_written(tmp_path, sink):
    """The relay of README.md, but for its ports."""
    readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
    written = readme.partition("serve -c relay.conf`:\n\n```\n")[2].partition("```")[0]
    assert "127.0.0.1:2525" in written and "127.0.0.1:2626" in written
    s = sink()
    n = Node(tmp_path, written.replace("127.0.0.1:2525", "127.0.0.1:PORT").replace(":2626", f":{s.port}")).start()
    send(n, ["ann@far.example"], "as written")
    assert await_messages(s, 1)[0].subject == "as written"
    assert n.stop() == 0
    n.check_log()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o711
    assert stat.S_IMODE((tmp_path / "data/spool").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data/submit").stat().st_mode) == 0o666
    assert stat.S_IMODE((tmp_path / "data/control").stat().st_mode) == 0o600


def test_processes__each_role_with_rights_of_its_own(node):
    n = node().start()
    uids = {}
    for pid in n.children():
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                      if ":\t" in line)
        role = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2].decode()
        uids.setdefault(status["Uid"].split()[0], set()).add(role)
        assert status["NoNewPrivs"] == "1", role
        if "asan" not in str(PROGRAM):
            assert status["Seccomp"] == "2", role
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH, role
    roles = {"receiver", "dispatcher", "deliverer", "mailbox", "directory", "control", "resolver", "keys",
             "reporter"}
    assert set().union(*uids.values()) == roles
    if os.geteuid() == 0:
        assert all(len(r) == 1 for r in uids.values()) and "0" not in uids, uids


def test_ordinary_user__receives_and_delivers(root, public, program, sink):
    s = sink()
    folder = public / "home"
    folder.mkdir()
    n = Node(folder, prefix=AS_NOBODY, via=f'via = "smtp://127.0.0.1:{s.port}"', queue='retry = {"1s"}')
    os.chown(folder, NOBODY, NOBODY)
    with_copy = [*AS_NOBODY, str(program), "serve", "-c", str(n.conf)]
    with n.log_path.open("ab") as log:
        n.process = subprocess.Popen(with_copy, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
    wait_until(lambda: n.events("ready") or n.process.poll() is not None, 20, n.log)
    for i in range(5):
        send(n, ["ann@example.org", "bob@far.example"], f"m{i}")
    n.await_mail("ann", 5)
    await_messages(s, 5)
    assert all(pathlib.Path(f"/proc/{pid}").stat().st_uid in (0, NOBODY) for pid in n.children())
    assert n.mailbox("ann")[0].stat().st_uid == NOBODY
    victim = n.children("receiver")[0]
    os.kill(victim, signal.SIGKILL)
    n.deaths_expected = True
    wait_until(lambda: victim not in n.children() and n.events("process-restarted"))
    wait_until(lambda: send_quietly(n, "after"), 15)
    n.await_mail("ann", 6)
    assert n.stop() == 0
    n.check_log()


def send_quietly(n, subject):
    with contextlib.suppress(OSError, smtplib.SMTPException):
        send(n, ["ann@example.org"], subject)
        return True
    return False


def test_reload__keeps_open_sessions_and_mail(node, sink):
    first, second = sink(rule=lambda verb, a: "451 4.3.0 Later" if verb == "RCPT" else None), sink()
    n = node(via=f'via = "smtp://127.0.0.1:{first.port}"', queue='retry = {"1h"}').start()
    send(n, ["ann@far.example"], "waits")
    n.await_queue(lambda rows: rows and rows[0]["recipients"][0]["state"] == "deferred")
    with smtplib.SMTP(n.host, n.port, "client.example", timeout=30) as session:
        session.ehlo()
        session.mail("sender@example.net")
        assert session.rcpt("bob@new.example")[0] == 250
        n.write_config(via=f'via = "smtp://127.0.0.1:{second.port}"',
                       more='domain "new.example" { users = "any"  deliver = "maildir:mail/{domain}/{local}" }')
        n.process.send_signal(signal.SIGHUP)
        wait_until(lambda: n.events("reloaded"), 10, n.log)
        # The open transaction goes on; what waited takes the new way.
        assert session.data(text("during"))[0] == 250
        session.mail("sender@example.net")
        assert session.rcpt("cat@new.example")[0] == 250
        assert session.data(text("after"))[0] == 250
    n.await_mail("cat", domain="new.example")
    n.run("queue", "retry", "--all")
    wait_until(lambda: any(m.subject == "waits" for m in second.messages), 10, n.log)
    n.await_empty()
    # Only the mailbox begins anew, in order: what a process may reach is fixed for its life.
    ended = n.events("process-ended")
    assert [(e["process"], e.get("status")) for e in ended] in ([], [("mailbox", 0)]), ended


def test_reload__with_errors_keeps_the_old_configuration(node):
    n = node().start()
    good = n.conf.read_text()
    n.conf.write_text(good + "nonsense = 1\n")
    n.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("nonsense" in e["text"] for e in n.events("reload-failed")))
    send(n, ["ann@example.org"])
    n.await_mail("ann")
    n.conf.write_text(good)
    n.run("reload")
    wait_until(lambda: n.events("reloaded"))


def test_reload__listeners_come_and_go(node):
    n = node().start()
    other = free_port()
    n.write_config(more=f'listener "two" {{ address = {{"127.0.0.1:{other}"}} }}')
    n.run("reload")
    with socket.create_connection(("127.0.0.1", other), 5) as s:
        assert s.recv(100).startswith(b"220")
    n.write_config(more="")
    n.run("reload")

    def closed():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", other), 1) as s:
            return not s.recv(100)
        return True

    wait_until(closed)
    send(n, ["ann@example.org"])


def test_sigterm__lets_an_open_transaction_end(node):
    n = node().start()
    busy = smtplib.SMTP(n.host, n.port, "client.example", timeout=30)
    busy.ehlo()
    busy.mail("sender@example.net")
    busy.rcpt("ann@example.org")
    assert busy.docmd("DATA")[0] == 354
    n.process.send_signal(signal.SIGTERM)
    wait_until(lambda: n.events("draining"))
    with pytest.raises(ConnectionRefusedError):
        wait_until(lambda: send(n, ["bob@example.org"]) and False, 2)
    busy.send(text("last") + b".\r\n")
    assert busy.getreply()[0] == 250
    assert busy.docmd("NOOP")[0] == 421
    busy.close()
    assert n.process.wait(15) == 0
    n.start()
    n.await_mail("ann")


def test_sigterm__an_idle_session_does_not_hold_it(node):
    n = node().start()
    with socket.create_connection((n.host, n.port), 5) as idle:
        assert idle.recv(100).startswith(b"220")
        begun = time.monotonic()
        assert n.stop() == 0
        assert time.monotonic() - begun < 8
        assert idle.recv(100).startswith(b"421") or True


def test_supervisor_dies__nobody_outlives_it(node):
    n = node().start()
    n.deaths_expected = True
    pids = n.children()
    assert len(pids) >= 6
    n.process.kill()
    n.process.wait()
    wait_until(lambda: all((stat_of(p) or (0, "Z"))[1] == "Z" for p in pids), 5)
    n.start()
    send(n, ["ann@example.org"])
    n.await_mail("ann")


def test_second_server__on_the_same_data_folder_says_so(node):
    n = node().start()
    other = Node(n.folder, **{**n.values, "port": free_port()})
    status, said = other.refused_start()
    assert status == 75 and "another server is running" in said, (status, said)
    n.write_config()
    send(n, ["ann@example.org"])
    n.await_mail("ann")


def test_taken_port__says_which_and_what_to_do(node):
    n = node()
    with socket.socket() as s:
        s.bind(("127.0.0.1", n.port))
        s.listen()
        status, said = n.refused_start()
    assert status == 75 and str(n.port) in said and "another program listens there" in said, (status, said)


def test_unwritable_data_folder__says_so(root, public, program):
    data = public / "data"
    data.mkdir(mode=0o755)
    conf = public / "postrider.conf"
    conf.write_text(f'hostname = "mx.example.org"\ndata = "{data}"\n'
                    f'listener "mx" {{ address = {{"127.0.0.1:{free_port()}"}} }}\n'
                    'domain "example.org" { users = "any"  deliver = "discard:" }\n')
    for command in ("serve", "check"):
        done = subprocess.run([*AS_NOBODY, str(program), command, "-c", str(conf)], capture_output=True, text=True,
                              timeout=30)
        assert done.returncode == 78 and str(data) in done.stderr, done
        assert "writable" in done.stderr or "permission" in done.stderr, done


@pytest.fixture
def small_disk(root, public):
    folder = public / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0755", "tmpfs", folder]).returncode:
        pytest.skip("no mounts here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk__452_and_nothing_lost(node, sink, small_disk):
    """Mail is put off while the disk is low; what was taken stays; room makes it take mail again."""
    port = free_port()
    n = node(text=f'hostname = "mx.example.org"\ndata = "{small_disk}/data"\n'
             'listener "mx" { address = {"127.0.0.1:PORT"} }\n'
             f'relay {{ from = {{"127.0.0.0/8"}}  via = "smtp://127.0.0.1:{port}" }}\n'
             'spool { segment_size = "1M" }\nqueue { retry = {"1s"} }\nlog { format = "json" }\n').start()
    accepted, refused = [], None
    for i in range(400):
        try:
            send(n, ["ann@far.example"], f"m{i}", octets=200_000)
            accepted.append(f"m{i}")
        except smtplib.SMTPResponseException as e:
            refused = e.smtp_code, e.smtp_error
        except smtplib.SMTPRecipientsRefused as e:
            ((_, refused),) = [(k, v) for k, v in e.recipients.items()]
        if refused:
            break
    assert refused and refused[0] in (451, 452) and refused[1].startswith(b"4.3"), refused
    assert len(accepted) >= 5, accepted
    # Everything else goes on: the queue answers, a restart works on the full disk.
    assert len(n.queue()) == len(accepted)
    assert n.stop() == 0
    n.start()
    assert len(n.queue()) == len(accepted)
    s = sink(port=port)
    n.run("queue", "retry", "--all")
    await_messages(s, len(accepted), 30)
    n.await_empty(20)
    assert sorted(m.subject for m in s.messages) == sorted(accepted)
    wait_until(lambda: send_to(n, "room again"), 30, n.log)


def send_to(n, subject):
    with contextlib.suppress(smtplib.SMTPException):
        send(n, ["ann@far.example"], subject)
        return True
    return False


def test_disk_filled_by_others__452_then_again(node, small_disk):
    n = node(text=f'hostname = "mx.example.org"\ndata = "{small_disk}/data"\n'
             'listener "mx" { address = {"127.0.0.1:PORT"} }\n'
             'domain "example.org" { users = "any"  deliver = "discard:" }\n'
             'spool { segment_size = "1M" }\nlog { format = "json" }\n').start()
    send(n, ["ann@example.org"], "before")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"x" * 65536)

    def refuses():
        try:
            send(n, ["ann@example.org"], "full", octets=100_000)
        except smtplib.SMTPRecipientsRefused as e:
            return next(iter(e.recipients.values()))[0] == 452
        except smtplib.SMTPResponseException as e:
            return e.smtp_code == 452
        return False

    wait_until(refuses, 20, n.log)
    ballast.unlink()

    def takes():
        with contextlib.suppress(smtplib.SMTPException):
            send(n, ["ann@example.org"], "again")
            return True
        return False

    wait_until(takes, 20, n.log)


def flip(path, offset):
    with path.open("r+b") as f:
        f.seek(offset)
        octet = f.read(1)
        f.seek(offset)
        f.write(bytes([octet[0] ^ 0xFF]))


def test_flipped_octets_in_a_segment__reported_and_only_that_message(node, sink):
    port = free_port()
    n = node(via=f'via = "smtp://127.0.0.1:{port}"', queue='retry = {"1s"}').start()
    for i in range(10):
        send(n, ["ann@far.example"], f"m{i}", octets=3000)
    n.await_queue(lambda rows: len(rows) == 10)
    assert n.stop() == 0
    victim = b"Subject: m4\r\n"
    hits = [(p, at) for p in (n.folder / "data/spool").iterdir() if (at := p.read_bytes().find(victim)) >= 0]
    assert len(hits) == 1
    flip(hits[0][0], hits[0][1] + 400)
    n.start()
    s = sink(port=port)
    n.run("queue", "retry", "--all")
    await_messages(s, 9, 20)
    time.sleep(1.5)
    assert sorted(m.subject for m in s.messages) == sorted(f"m{i}" for i in range(10) if i != 4)
    assert all(m.data.endswith(text(m.subject, 3000)) for m in s.messages)
    # Never silent: the log has it, and the message is still there to be seen.
    bad = [e for e in n.events() if e["event"] in ("spool-damaged", "segment-unreadable")]
    assert bad, n.log()[-3000:]
    assert len(n.queue()) == 1


def test_flipped_octets_in_the_ledger__nothing_lost(node, sink):
    port = free_port()
    n = node(via=f'via = "smtp://127.0.0.1:{port}"', queue='retry = {"1s"}').start()
    for i in range(10):
        send(n, ["ann@far.example"], f"m{i}")
    n.await_queue(lambda rows: len(rows) == 10 and all(r["recipients"][0]["state"] == "deferred" for r in rows))
    assert n.stop() == 0
    ledgers = [p for p in (n.folder / "data/spool").iterdir() if "ledger" in p.name or "65535" in p.name or "ffff" in p.name]
    assert ledgers, list((n.folder / "data/spool").iterdir())
    # The spares hold nothing yet.
    used = [p for p in ledgers if any(p.read_bytes()[4096:4160])]
    flip(used[0], 4096 + 80)
    before = len(n.events("recovered"))
    n.start()
    wait_until(lambda: len(n.events("recovered")) > before, 10, n.log)
    assert any(e["event"] == "spool-damaged" for e in n.events()), n.log()[-3000:]
    s = sink(port=port)
    n.run("queue", "retry", "--all")
    wait_until(lambda: {m.subject for m in s.messages} == {f"m{i}" for i in range(10)}, 20, n.log)


def test_many_idle_connections__do_not_stop_mail(node):
    n = node().start()
    idle = []
    for _ in range(500):
        c = socket.create_connection((n.host, n.port), 5)
        idle.append(c)
    assert all(c.recv(100).startswith(b"220") for c in idle)
    send(n, ["ann@example.org"])
    n.await_mail("ann")
    for c in idle:
        c.close()


def test_evaluation_mode__as_make_run_starts_it(tmp_path):
    if any(port_taken(p) for p in (2525,)):
        pytest.skip("port 2525 is taken")
    with (tmp_path / "said").open("wb") as said:
        p = subprocess.Popen([PROGRAM, "serve"], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                             env={k: v for k, v in os.environ.items() if k != "POSTRIDER_CONFIG"})
    try:
        wait_until(lambda: port_taken(2525) and b"first mail" in (tmp_path / "said").read_bytes(), 20,
                   lambda: (tmp_path / "said").read_text())
        with smtplib.SMTP("127.0.0.1", 2525, timeout=20) as s:
            s.sendmail("me@localhost", ["You@localhost"], text("hello"))
        new = tmp_path / "postrider-data/mail/localhost/you/new"
        wait_until(lambda: new.is_dir() and len(list(new.iterdir())) == 1)
        with smtplib.SMTP("127.0.0.1", 2525, timeout=20) as s, pytest.raises(smtplib.SMTPRecipientsRefused):
            s.sendmail("me@localhost", ["you@example.com"], text("hello"))
        # The demo account, by the password that was printed; nothing leaves the machine.
        password = re.search(r"user demo, password (\S+)", (tmp_path / "said").read_text())[1]
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", 2587, timeout=20) as s:
            s.starttls(context=context)
            s.login("demo", password)
            s.sendmail("demo@localhost", ["you@localhost"], "Subject: hello again\r\n\r\nIt works.\r\n")
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                s.sendmail("demo@localhost", ["you@example.com"], text("hello"))
        wait_until(lambda: len(list(new.iterdir())) == 2)
    finally:
        p.terminate()
        assert p.wait(15) == 0


def port_taken(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_clients_that_vanish__leave_nothing(node):
    n = node().start()

    def vanish(i):
        s = socket.create_connection((n.host, n.port), 5)
        s.recv(100)
        s.sendall(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"[: 10 + i * 5])
        if i % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()

    threads = [threading.Thread(target=vanish, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_until(lambda: n.top()["connections_open"] == 0)
    assert n.mailbox("ann") == [] and n.queue() == []
