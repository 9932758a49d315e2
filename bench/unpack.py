"""Packages that conflict with installed ones run without being installed: unpacked into a root of their own, with the
libraries that they are linked to, and entered by chroot. The measurements and tests/interop share this."""

import os
import pathlib
import shutil
import subprocess

DEVICES = (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9))
ETC = {"hosts": "127.0.0.1 localhost\n", "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
       "resolv.conf": "", "services": "smtp 25/tcp\nsubmission 587/tcp\n"}


def download(cache, package):
    """The package's file; OSError or CalledProcessError where it cannot be had."""
    cache.mkdir(parents=True, exist_ok=True)
    if not list(cache.glob(f"{package}_*.deb")):
        subprocess.run(["apt-get", "download", "-q", package], cwd=cache, check=True, capture_output=True)
    return next(cache.glob(f"{package}_*.deb"))


def libraries(home, binary):
    """What ldd names, at the same places."""
    out = subprocess.run(["ldd", str(home / binary)], capture_output=True, text=True, check=True).stdout
    for word in out.split():
        if word.startswith("/") and not (home / word[1:]).exists():
            (home / word[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, home / word[1:])


def root(home, cache, packages, binaries, accounts, ours=()):
    """accounts: (name, uid); ours: programs of this machine that go along."""
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", str(download(cache, package)), str(home)], check=True)
    for program in ours:
        (home / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pathlib.Path("/") / program, home / program)
    for binary in (*binaries, *ours):
        libraries(home, binary)
    users = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
    groups = "root:x:0:\nmail:x:8:\nnogroup:x:65534:\n"
    for name, uid in accounts:
        users += f"{name}:x:{uid}:{uid}::/var/empty:/bin/false\n"
        groups += f"{name}:x:{uid}:\n"
    (home / "etc").mkdir(exist_ok=True)
    for name, text in ({"passwd": users, "group": groups} | ETC).items():
        (home / "etc" / name).write_text(text)
        (home / "etc" / name).chmod(0o644)
    for name in ("dev", "tmp", "run", "var/empty", "var/run", "var/mail"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "tmp").chmod(0o1777)
    for name, minor in DEVICES:
        if not (home / "dev" / name).exists():
            os.mknod(home / "dev" / name, 0o20666, os.makedev(1, minor))
        (home / "dev" / name).chmod(0o666)
