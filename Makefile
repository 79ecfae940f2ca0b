# The front door. Each target is one line that calls a preset or a tool; CI runs the same ones.
# `make` builds build/bin/carillond, build/bin/carillon and build/lib/libcarillon.*
SHELL := /bin/bash
.DEFAULT_GOAL := all
.PHONY: all demo test check sim asan tsan cov bench fuzz fmt format tidy lint layers docs symbols docs-run nightly install clean help

all: ## build what is shipped and run the unit tests, in under a minute
	@tools/setup.sh build && tools/build.sh release && tools/run_tests.sh --preset release unit

demo: ## real orders through a real node that is killed in the middle
	@tools/setup.sh demo && tools/build.sh release && tools/demo.sh

test: ## install packages, build, run every test; last line: N passed, N failed, N skipped
	@tools/setup.sh test && tools/run_tests.sh

check: ## all that CI asks and needs no service: format, house rules, layers, lint, docs, symbols, hardening
	@tools/setup.sh test && tools/check.sh

sim: ## simulator: make sim SEED=n for one seed, make sim SEEDS=n for many
	@tools/setup.sh build && tools/build.sh dev sim && tools/sim.sh

asan: ## unit, contract, fuzz corpora and simulator under address and undefined sanitizers
	@tools/setup.sh test && tools/run_tests.sh --preset asan unit contract fuzz sim

tsan: ## unit tests and simulator under the thread sanitizer
	@tools/setup.sh test && tools/run_tests.sh --preset tsan unit sim

cov: ## line coverage by folder
	@tools/setup.sh test && tools/run_tests.sh --preset cov unit contract fuzz sim && tools/coverage.py

bench: ## the table of figures: must, aim, measured
	@tools/setup.sh test && tools/build.sh release && tools/bench-all.sh

fuzz: ## make fuzz T=name [FUZZ_SECONDS=60]: one fuzz target; without T each in turn
	@tools/setup.sh test && tools/build.sh fuzz tests_fuzz && tools/fuzz.sh "$(T)"

fmt: ## format all C files in place
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

format: ## fail on a file that `make fmt` would change
	@git ls-files '*.c' '*.h' | xargs clang-format-14 --dry-run -Werror

tidy: ## house rules: first include, lengths, numbers, dead files, records
	@tools/tidy.py

lint: ## clang-tidy on what changed since it was last found clean
	@tools/build.sh dev && tools/lint.py

layers: ## floors of the building: who may include whom
	@tools/check_layers.py

docs: ## write docs/reference and conf/carillond.yaml from the tables
	@tools/build.sh dev gen_docs && tools/docs.sh write

docs-run: ## run every command of README and tutorial in a fresh clone
	@tools/setup.sh test && tools/docs_run.py

symbols: ## prove by nm what is inside the simulator and what is not
	@tools/build.sh dev && tools/check_symbols.sh

nightly: ## many seeds, the stores compared under calls together, then 30 minutes for each fuzz target
	@tools/setup.sh test && tools/build.sh dev sim && SEEDS=8000 tools/sim.sh && CARILLON_DIFF_TOGETHER=1 tools/run_tests.sh contract && tools/build.sh fuzz tests_fuzz && FUZZ_SECONDS=1800 tools/fuzz.sh

install: ## PREFIX as in DESTDIR=/tmp/x make install
	@tools/build.sh release && cmake --install build/release

clean: ## remove everything that was built
	@rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12
