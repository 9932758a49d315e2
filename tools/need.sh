#!/bin/sh
# Installs the Debian packages that a target of the Makefile needs, and nothing when they are all
# there, so that a second run asks no network. Usage: tools/need.sh GROUP...
set -eu

build='gcc libc6-dev meson ninja-build pkg-config libconfuse-dev libjansson-dev libssl-dev
	libidn2-dev libcurl4-openssl-dev libseccomp-dev libboost-context-dev libcmocka-dev libcrypt-dev libgsasl-dev libsqlite3-dev libunbound-dev zlib1g-dev'
clang='clang libclang-rt-14-dev'
lint='clang clang-format clang-tidy python3'
clients='swaks libnet-ssleay-perl msmtp curl nodejs node-nodemailer postfix gsasl mutt s-nail sqlite3 openssl'
# Exim is unpacked, not installed (it conflicts with Postfix): its libraries are.
exim='libdb5.3 libgnutls-dane0 libidn12 libldap-2.5-0 libmariadb3 libnsl2 libpcre2-8-0 libpam0g libperl5.36 libpq5 libspf2-2'
# So are OpenSMTPD, and Sendmail, whose configuration m4 writes.
unpacked='libevent-2.1-7 libgnutls30 libldap-2.5-0 m4'
peers="dovecot-lmtpd dovecot-submissiond libsasl2-modules python3-aiosmtpd adduser $exim $unpacked"
# The smtp-server of nodemailer comes by npm; a Node.js of another origin has brought its own.
command -v npm >/dev/null 2>&1 || clients="$clients npm"
names='nsd ldnsutils unbound'
tests="python3 python3-pytest procps util-linux iproute2 gnuplot-nox $clients $peers $names"
memory='valgrind'
# The servers that bench/ compares with are unpacked, not installed; these are their libraries.
bench="python3 procps postfix gnuplot-nox util-linux $unpacked $exim"

wanted=
for group in "$@"; do
	case $group in
	build) wanted="$wanted $build" ;;
	clang) wanted="$wanted $clang" ;;
	lint) wanted="$wanted $lint" ;;
	test) wanted="$wanted $tests" ;;
	valgrind) wanted="$wanted $memory" ;;
	bench) wanted="$wanted $bench" ;;
	*) echo "need.sh: there is no group '$group'" >&2 && exit 64 ;;
	esac
done

missing=
for package in $wanted; do
	state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	as_root=sudo
elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then
	as_root=sudo
else
	cat >&2 <<-END
	These packages are missing, and neither root nor sudo is at hand to install them:
	   $missing
	Ask whoever runs this machine for:  apt-get install$missing
	END
	exit 1
fi
# A Postfix without configuration starts no service: the tests start one of their own.
case " $missing " in
*" postfix "*)
	echo 'postfix postfix/main_mailer_type select No configuration' |
		$as_root debconf-set-selections 2>/dev/null || true
	;;
esac
$as_root apt-get update -q
# shellcheck disable=SC2086 # words, on purpose
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
