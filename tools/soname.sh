#!/bin/sh
# The name by which a program finds the shared library that -lNAME links ("libcurl.so.4").
# Usage: tools/soname.sh NAME COMPILER...
set -eu
name=$1
shift
file=$("$@" -print-file-name="lib$name.so")
found=$(objdump -p "$file" | awk '$1 == "SONAME" { print $2 }')
[ -n "$found" ] || { echo "soname.sh: $file says no name" >&2; exit 1; }
echo "$found"
