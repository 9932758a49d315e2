#!/bin/sh
# make install: the program, its other names, manual pages, an example configuration and the unit.
# Usage: tools/install.sh DESTDIR PREFIX
set -eu
root=$1 prefix=$2
cd "$(dirname "$0")/.."
sbin=$prefix/sbin
# An MTA that is there keeps /usr/sbin/sendmail; link it to these when Postrider is to take over.
names=$prefix/lib/postrider
conf=/etc/postrider

install -d "$root$sbin" "$root$names" "$root$conf" "$root$prefix/share/man/man1" \
	"$root$prefix/share/man/man5" "$root$prefix/lib/systemd/system"
install -m 0755 build/src/postrider "$root$sbin/postrider"
for name in sendmail mailq newaliases; do
	ln -sfn ../../sbin/postrider "$root$names/$name"
done
install -m 0644 docs/man/postrider.1 docs/man/postrider-bench.1 "$root$prefix/share/man/man1/"
install -m 0644 docs/man/postrider.conf.5 "$root$prefix/share/man/man5/postrider.conf.5"
install -m 0644 packaging/postrider.conf "$root$conf/postrider.conf.example"
sed "s|/usr/local/sbin|$sbin|" packaging/postrider.service \
	>"$root$prefix/lib/systemd/system/postrider.service"
chmod 0644 "$root$prefix/lib/systemd/system/postrider.service"

echo "installed $sbin/postrider; copy $conf/postrider.conf.example to $conf/postrider.conf and edit it"
