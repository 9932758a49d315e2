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

format() {
	find src tests \( -name '*.c' -o -name '*.h' \) -print0 |
		xargs -0 clang-format --dry-run -Werror
}

compile() {
	ninja -C "$1" >"$1/lint.log" 2>&1 || {
		grep -E -A5 'error|FAILED|ninja:' "$1/lint.log" | head -60
		return 1
	}
}

tidy() {
	jobs=$(nproc)
	# The sources of the compile database that are ours, each once, smallest pieces first come
	# first served.
	/usr/bin/python3 tests/tree.py --sources "$clang/compile_commands.json" |
		xargs -P "$jobs" -n 4 clang-tidy --quiet -p "$clang" 2>/dev/null \
			>"$clang/tidy.log" && return 0
	grep -vE '^[0-9]+ warnings' "$clang/tidy.log" | head -80
	return 1
}

step format format
step arrows /usr/bin/python3 tests/arrows.py
step tree /usr/bin/python3 tests/tree.py
step gcc compile "$gcc"
step clang compile "$clang"
step clang-tidy tidy

if [ -n "$failed" ]; then
	echo "lint failed:$failed"
	exit 1
fi
