# `make demo` and `make test` do everything on a fresh Debian or Ubuntu with Python >= 3.11, make and a network.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
SOURCES := artstore fuse daemon bench tests packaging
KERNEL := $(wildcard artstore/chunking/*.[ch])
UV := uv==0.13.9

export PYTHON

.PHONY: help
help:  ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r a b; do printf '%-16s %s\n' "$$a" "$$b"; done

# Re-created when the lock changes; made anew when its interpreter is gone.
$(VENV)/.lock: requirements.lock packaging/bootstrap.sh $(BIN)/python
	@packaging/bootstrap.sh dev $(VENV)

$(BIN)/python: ;

# The checkout itself, with its kernel compiled.
$(VENV)/.built: $(VENV)/.lock pyproject.toml $(KERNEL)
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: $(VENV)/.built  ## show the main job on real data in a temporary store: make demo [DIR=~/my/model] [ENCRYPT=1]
	@ENCRYPT=$(ENCRYPT) $(BIN)/python packaging/demo.py $(if $(DIR),"$(DIR)")

.PHONY: format
format: $(VENV)/.built  ## format the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lint
lint: $(VENV)/.built  ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright

.PHONY: test
test: lint  ## check format, lint and types, then run the tests
	$(BIN)/python -m pytest -n auto

.PHONY: tests
tests: $(VENV)/.built  ## run the tests alone, also with another Python: make tests PYTHON=python3.13 VENV=.venv-3.13
	$(BIN)/python -m pytest -n auto

.PHONY: test-long
test-long: $(VENV)/.built  ## run the tests that take minutes
	$(BIN)/python -m pytest -n auto -m long --timeout 3600

.PHONY: test-encrypted
test-encrypted: $(VENV)/.built  ## run the tests of stores, faults and commands on encrypted stores
	$(BIN)/python -m pytest -n auto --encrypted tests/unit/store tests/faults tests/e2e

.PHONY: test-keeping
test-keeping: $(VENV)/.built  ## eight pushers and two collectors on a real service: make test-keeping [SECONDS=300]
	ARTSTORE_LONG_S=$(or $(SECONDS),300) $(BIN)/python -m pytest -s -m long --timeout 3600 tests/faults/test_many_collectors.py

.PHONY: bench
bench: $(VENV)/.built  ## measure against the peers found on this machine
	$(BIN)/artstore bench

.PHONY: install
install:  ## put `artstore` on PATH: make install [EXTRAS=bench]
	@packaging/install.sh "$(EXTRAS)"

.PHONY: mount-extra
mount-extra: $(VENV)/.lock  ## try again to build what the mount needs
	@packaging/bootstrap.sh mount $(VENV)

.PHONY: wheel
wheel: $(VENV)/.lock  ## build the wheel and try it in an environment of its own
	@packaging/smoke.sh $(BIN)/python

.PHONY: deb
deb:  ## build dist/artstore_VERSION_ARCH.deb for this machine's Debian or Ubuntu
	@packaging/deb/build.sh dist

.PHONY: try-deb
try-deb:  ## build the .deb; install, use and purge it in a fresh root: needs root and debootstrap
	@packaging/deb/try.sh "$$(packaging/deb/build.sh dist)"

.PHONY: try-units
try-units:  ## the same, and have systemd run its units in a root that is booted
	@packaging/deb/try.sh --units "$$(packaging/deb/build.sh dist)"

.PHONY: man
man: $(VENV)/.built  ## write the manual pages into dist/man
	@$(BIN)/python packaging/man.py dist/man

.PHONY: lock
lock:  ## resolve the dependencies anew: make lock [UPGRADE=1]
	@test -x .cache/uv/bin/uv || { python3 -m venv .cache/uv && .cache/uv/bin/pip install -qq $(UV); }
	.cache/uv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate \
		--all-extras --group dev --python-version 3.11 --custom-compile-command 'make lock' \
		$(if $(UPGRADE),--upgrade) pyproject.toml --output-file requirements.lock

.PHONY: clean
clean:  ## remove what was made, the environment too
	rm -rf .venv .venv-* .cache build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +
	rm -f artstore/chunking/*.so
