# The front door. Every target installs what it needs first (tools/need.sh; Debian 12), and meson
# with ninja does the building underneath.
.DEFAULT_GOAL := all
SHELL := /bin/sh

PREFIX       ?= /usr/local
FUZZ_SECONDS ?= 60
SIM_SEEDS    ?= 1000
CRASH_ROUNDS ?= 20
PYTEST_ARGS  ?=
# Debian's own interpreter: the tests' modules are Debian packages.
PYTHON       := /usr/bin/python3
FUZZ_TARGETS := $(patsubst tests/fuzz/%_fuzz.c,%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))

.PHONY: all run test smtp interop crash sim lint asan asan-short valgrind fuzz bench install \
	clean help

help:
	@echo 'make            build the program: build/postrider'
	@echo 'make run        build it and start the evaluation mode (loopback only, Ctrl-C stops it)'
	@echo 'make test       unit tests, simulator, SMTP scripts, real clients and servers, crashes'
	@echo 'make smtp       of these the SMTP scripts; also: make interop, make crash, make sim'
	@echo 'make lint       formatting, clang-tidy, include arrows, warnings of gcc and clang'
	@echo 'make asan       everything under AddressSanitizer and UBSan (asan-short: unit tests)'
	@echo 'make valgrind   unit tests under valgrind'
	@echo 'make fuzz       each fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make bench      side by side with Postfix, Exim, Sendmail and OpenSMTPD (root; make bench-quick)'
	@echo 'make install    into DESTDIR and PREFIX=$(PREFIX)'

# ---- build ----

# The compiler's first look at the tree; ninja notices later changes of meson.build by itself.
define setup
	@test -f $(1)/build.ninja || $(3) meson setup $(1) $(2)
endef
# build/postrider is a link to what ninja builds, so that it is never older than that.
define program
	@ninja -C $(1) src/postrider
	@ln -sfn src/postrider $(1)/postrider
	@ln -sfn src/postrider $(1)/sendmail
endef

all:
	@tools/need.sh build
	$(call setup,build,)
	$(call program,build)

run: all
	@exec build/postrider serve

# ---- tests ----

test: all
	@tools/need.sh test
	@ninja -C build
	@tools/test.sh build unit sim smtp interop crash

smtp interop crash sim: all
	@tools/need.sh test
	@ninja -C build
	@CRASH_ROUNDS=$(CRASH_ROUNDS) SIM_SEEDS=$(SIM_SEEDS) PYTEST_ARGS="$(PYTEST_ARGS)" \
		tools/test.sh build $@

# The confinement rules do not know the sanitizers' system calls and are left out of these builds.
build-asan:
	@tools/need.sh build
	$(call setup,build-asan,-Db_sanitize=address$(comma)undefined)
	$(call program,build-asan)
	@ninja -C build-asan
comma := ,

asan: build-asan
	@tools/need.sh test
	@tools/test.sh build-asan unit sim smtp interop crash

asan-short: build-asan
	@tools/test.sh build-asan unit

valgrind: all
	@tools/need.sh valgrind
	@ninja -C build
	@tools/test.sh build valgrind

fuzz:
	@tools/need.sh build clang
	$(call setup,build-fuzz,-Dfuzz=true,CC=clang)
	@ninja -C build-fuzz
	@for t in $(FUZZ_TARGETS); do \
		mkdir -p build-fuzz/corpus/$$t && \
		build-fuzz/tests/fuzz/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			build-fuzz/corpus/$$t tests/corpus/$$t || exit 1; \
	done

# Instructions of a message in our own code, against tests/bench/budget.txt; no clock.
instructions: all
	@tools/need.sh valgrind
	@ninja -C build
	@tools/test.sh build instructions

# A release of its own beside the other servers, see bench/README.md.
build-bench:
	@tools/need.sh build bench
	$(call setup,build-bench,--buildtype=release -Dtests=disabled)
	@ninja -C build-bench src/postrider

bench: build-bench
	@$(PYTHON) bench/run.py build-bench/src/postrider build-bench/work

bench-quick: build-bench
	@$(PYTHON) bench/run.py build-bench/src/postrider build-bench/work --quick

# Postrider alone: many connections, queued messages, next hops; large messages; starts.
bench-scale: build-bench
	@$(PYTHON) bench/scale.py build-bench/src/postrider build-bench/work

# ---- lint ----

lint:
	@tools/need.sh build clang lint
	$(call setup,build-gcc,-Dwerror=true)
	$(call setup,build-clang,-Dwerror=true -Dfuzz=true,CC=clang)
	@tools/lint.sh build-gcc build-clang

# ---- install ----

install: all
	@tools/install.sh "$(DESTDIR)" "$(PREFIX)"

clean:
	rm -rf build build-asan build-gcc build-clang build-fuzz build-bench

.PHONY: build-asan build-bench bench-quick bench-scale instructions
