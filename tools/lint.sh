#!/bin/sh
# make lint: formatting, both compilers without a warning, clang-tidy, and the rules of the tree.
# Usage: tools/lint.sh BUILD-GCC BUILD-CLANG (set up already, both with werror).
set -u
gcc=$1 clang=$2
cd "$(dirname "$0")/.." || exit 1
failed=

step() { # NAME COMMAND...
	name=$1
	shift
	start=$(date +%s)
	if "$@"; then
		echo "lint: $name: ok ($(($(date +%s) - start)) s)"
	else
		echo "lint: $name: FAILED"
		failed="$failed $name"
	fi
}

# The names of the files; clang-format -i mends them.
format() {
	find src tests \( -name '*.c' -o -name '*.h' \) -print0 |
		xargs -0 clang-format --dry-run -Werror 2>&1 |
		sed -n 's/^\([^:]*\):\([0-9]*\):.*error: code should be clang-formatted.*/\1:\2: clang-format/p' |
		sort -u -t: -k1,1 | grep . && return 1
	return 0
}

compile() {
	ninja -C "$1" -k 0 >"$1/lint.log" 2>&1 || {
		grep -E -A3 ': (fatal )?error|ninja: error' "$1/lint.log" | head -60
		return 1
	}
}

# tidy_some FOLDER OPTION...: the sources of the compile database that lie there, each once.
tidy_some() {
	folder=$1
	shift
	/usr/bin/python3 tests/tree.py --sources "$clang/compile_commands.json" |
		grep "^$(pwd -P)/$folder/" | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$clang" "$@" 2>/dev/null
}

# Tests go without the path-sensitive analyzer, which takes most of the time: what it would find in
# them, the sanitizers find when they run.
tidy() {
	tidy_some src >"$clang/tidy.log"
	status=$?
	tidy_some tests '--checks=-clang-analyzer-*' >>"$clang/tidy.log" && [ $status = 0 ] && return 0
	grep -E ': (fatal )?error: ' "$clang/tidy.log" | sed 's|^.*/\(src\|tests\)/|\1/|' | sort -u
	echo "(the ways that lead there: $clang/tidy.log)"
	return 1
}

step format format
step arrows /usr/bin/python3 tests/arrows.py
step tree /usr/bin/python3 tests/tree.py
step rfc-map /usr/bin/python3 tests/rfc_map.py
step gcc compile "$gcc"
step clang compile "$clang"
step clang-tidy tidy

if [ -n "$failed" ]; then
	echo "lint failed:$failed"
	exit 1
fi
