"""Other people's servers that want TLS and a login, as our smart hosts: Postfix and Exim, both with Dovecot's SASL. Each
mechanism has a port of its own with STARTTLS and one with TLS from the first octet, so that one server shows them all."""

import base64
import shutil

from node import free_port
from peers import Exim, Peer
from postfix import Postfix

USER, PASSWORD = "ann", "p:ss w0rd-nobody-may-see"

POSTFIX = """
smtpd_tls_security_level = may
smtpd_tls_chain_files = {pem}
smtpd_tls_loglevel = 1
virtual_mailbox_domains = static:all
smtpd_relay_restrictions = {who}
smtpd_recipient_restrictions = {who}
"""
POSTFIX_AUTH = """
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {socket}
smtpd_sasl_authenticated_header = yes
"""
EXIM = """\
tls_advertise_hosts = *
tls_certificate = {chain}
tls_privatekey = {key}
tls_on_connect_ports = {implicit}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
{main}
"""
EXIM_AUTHENTICATOR = """\
{name}:
  driver = dovecot
  public_name = {mechanism}
  server_socket = {socket}
  server_advertise_condition = ${{if or{{{{={{$received_port}}{{{starttls}}}}}{{={{$received_port}}{{{implicit}}}}}}}}}
  server_set_id = $auth1
"""

AUTH_MAIN = """\
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
protocols =
ssl = no
default_internal_user = dovecot
default_login_user = dovenull
auth_mechanisms = {mechanisms}
auth_verbose = yes
passdb {{
  driver = passwd-file
  args = username_format=%u {home}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={home}
}}
service auth {{
  unix_listener {home}/auth {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
auth_failure_delay = 0
"""


def ports_for(mechanisms):
    """{mechanism: (port with STARTTLS, port with TLS at once)}"""
    return {m: (free_port(), free_port()) for m in mechanisms}


class DovecotAuth(Peer):
    """Dovecot's SASL alone, at the socket home/auth, for other servers. users: {name: password}. Without its penalties: with
    them a third wrong password is answered later than Postfix waits."""

    MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")

    def __init__(self, users):
        super().__init__()
        self.socket = self.home / "auth"
        lines = [f"{name}:{{PLAIN.b64}}{base64.b64encode(word.encode()).decode()}\n" for name, word in users.items()]
        (self.home / "users").write_text("".join(lines))
        (self.home / "dovecot.conf").write_text(AUTH_MAIN.format(home=self.home, mechanisms=" ".join(self.MECHANISMS)))

    def start(self):
        return self.spawn("/usr/sbin/dovecot", "-F", "-c", str(self.home / "dovecot.conf"), ready=self.socket.exists)


def postfix(leaf, auth=None, ports=None, settings="", who="permit_sasl_authenticated, reject"):
    """Not started. leaf: of authority.Authority; auth: a DovecotAuth; ports: of ports_for; who: may hand mail in."""
    services = "tlsmgr unix - - n 1000? 1 tlsmgr\n"
    for mechanism, pair in (ports or {}).items():
        # Dovecot lists what it has; a port shows one of them.
        only = f"  -o smtpd_sasl_mechanism_filter={mechanism}\n"
        services += f"127.0.0.1:{pair[0]} inet n - n - - smtpd\n{only}"
        services += f"127.0.0.1:{pair[1]} inet n - n - - smtpd\n{only}  -o smtpd_tls_wrappermode=yes\n"
    p = Postfix(services=services)
    pem = p.home / "etc/server.pem"
    pem.write_bytes(leaf.key.read_bytes() + leaf.chain.read_bytes())
    pem.chmod(0o600)
    p.set(POSTFIX.format(pem=pem, who=who) + (POSTFIX_AUTH.format(socket=auth.socket) if auth else "") + settings)
    return p


def exim(leaf, auth=None, ports=None, main="", authenticators="", acl="  accept authenticated = *"):
    """Not started, as above."""
    ports = ports or {}
    for mechanism, (starttls, implicit) in ports.items():
        authenticators += EXIM_AUTHENTICATOR.format(name=mechanism.lower().replace("-", "_"), mechanism=mechanism,
                                                    socket=auth.socket, starttls=starttls, implicit=implicit)
    e = Exim(acl=acl, more="begin authenticators\n" + authenticators)
    for name in ("chain", "key"):
        shutil.copy(getattr(leaf, name), e.home / name)
        shutil.chown(e.home / name, e.user)
    every = [e.port, *(port for pair in ports.values() for port in pair)]
    text = e.conf.read_text().replace("tls_advertise_hosts =\n", EXIM.format(
        chain=e.home / "chain", key=e.home / "key", main=main,
        implicit=" : ".join(str(pair[1]) for pair in ports.values())), 1)
    text = text.replace(f"daemon_smtp_ports = {e.port}\n", f"daemon_smtp_ports = {' : '.join(map(str, every))}\n")
    e.conf.write_text(text)
    return e
