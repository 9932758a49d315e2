#!/bin/sh
# Unpacks Debian's Exim into build/peers, for tests/interop/test_peers.py: as a package it conflicts with Postfix, which the
# tests need as well. Makes the user that it was built for. Needs root once, for that user.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p build/peers && cd build/peers
[ -x usr/sbin/exim4 ] || {
	apt-get download exim4-daemon-light
	for package in exim4-daemon-light_*.deb; do dpkg-deb -x "$package" .; done
	rm -f exim4-daemon-light_*.deb
}
id Debian-exim >/dev/null 2>&1 || adduser --system --group --quiet --home /var/spool/exim4 \
	--no-create-home --allow-bad-names Debian-exim
