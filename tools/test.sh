#!/bin/sh
# Runs the named stages against the build folder $1, all of them even when one fails, and ends with
# a summary of what passed. Usage: tools/test.sh BUILD STAGE...
# Environment: CRASH_ROUNDS, SIM_SEEDS, PYTEST_ARGS.
set -u
build=$1
shift
cd "$(dirname "$0")/.." || exit 1
results=$build/results
mkdir -p "$results"
failed=
ran=

# meson leaves one report for each kind of run.
run_meson() { # NAME ARGUMENTS...
	name=$1
	shift
	meson test -C "$build" --no-rebuild --print-errorlogs "$@"
	status=$?
	log=testlog
	case " $* " in *' --wrap '*) log="testlog-valgrind" ;; esac
	cp "$build/meson-logs/$log.junit.xml" "$results/$name.xml" 2>/dev/null || true
	return $status
}

# Seeds 1 to SIM_SEEDS, half of them in each of two processes. Many must also come by every place.
run_sim() {
	all=${SIM_SEEDS:-1000}
	half=$((all / 2))
	ranges="1:$half $((half + 1)):$((all - half))"
	[ "$half" -gt 0 ] || ranges="1:$all"
	coverage=
	[ "$all" -lt 1000 ] || coverage=--coverage
	pids=
	seeds=0
	for range in $ranges; do
		# shellcheck disable=SC2086 # a word or none
		"$build/tests/sim/sim" --seeds "${range%:*}" "${range#*:}" $coverage \
			>"$results/sim-${range%:*}.log" 2>&1 &
		pids="$pids $!"
		seeds=$((seeds + ${range#*:}))
	done
	status=0
	for pid in $pids; do
		wait "$pid" || status=1
	done
	failure=
	[ $status = 0 ] || failure='<failure/>'
	echo "<testsuite><testcase name=\"$seeds seeds\">$failure</testcase></testsuite>" \
		>"$results/sim.xml"
	return $status
}

run_pytest() { # FOLDER
	# Nothing to collect is no failure while a folder is still empty.
	ls "tests/$1"/test_*.py >/dev/null 2>&1 || return 0
	# shellcheck disable=SC2086 # words, on purpose
	POSTRIDER="$PWD/$build/postrider" PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest \
		-p no:cacheprovider -q -rfEs --durations=5 --junitxml="$results/$1.xml" \
		${PYTEST_ARGS:-} "tests/$1"
}

for stage in "$@"; do
	printf '\n==== %s\n' "$stage"
	rm -f "$results/$stage.xml"
	ran="$ran $results/$stage.xml"
	case $stage in
	unit) run_meson unit ;;
	sim) run_sim ;;
	valgrind)
		run_meson valgrind --timeout-multiplier 20 --wrap \
			'valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'
		;;
	instructions)
		/usr/bin/python3 tests/bench/budget.py "$build/tests/bench/hot_path" \
			--junit "$results/instructions.xml"
		;;
	smtp | interop | crash) run_pytest "$stage" ;;
	*) echo "test.sh: there is no stage '$stage'" >&2 && exit 64 ;;
	esac || failed="$failed $stage"
done

# shellcheck disable=SC2086 # words, on purpose
/usr/bin/python3 tools/summary.py $ran || failed="$failed summary"
[ -z "$failed" ] || echo "failed stages:$failed"
[ -z "$failed" ]
