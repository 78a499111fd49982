# One command each; `make help` lists them. Every target sets up what it needs.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
DISTRIBUTION ?= bookworm
DEVICE_TESTS := tests/unit/edge tests/property tests/e2e/edge
COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

.PHONY: help setup demo test test-device test-system test-deb test-arm64 lint bench arm64 deb lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(READY) ## Make the environment of a workstation in .venv, with what the system lacks

demo: $(READY) ## The main job on drawn people, no camera and no data set: three to ten minutes
	$(VENV)/bin/trainer demo --folder demo

test: $(READY) ## All tests
	PYTHON=$(VENV)/bin/python tests/system/needs.sh
	$(VENV)/bin/pytest -n 2 tests

test-system: $(READY) ## The service on a booted systemd, installed offline: as root, four minutes
	PYTHON=$(VENV)/bin/python tests/system/needs.sh
	$(VENV)/bin/pytest tests/system

test-device: .venv-edge/.ready .venv-tflite-runtime/.ready ## The device's tests where TensorFlow is not: LiteRT with numpy 2, tflite-runtime with numpy 1
	.venv-edge/bin/pytest -q -n 2 $(DEVICE_TESTS)
	.venv-tflite-runtime/bin/pytest -q -n 2 $(DEVICE_TESTS)

lint: $(READY) ## ruff, mypy, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(READY) ## Cost of the line against a peer's, in one run
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	OMP_NUM_THREADS=1 $(VENV)/bin/python benchmarks/line.py
	$(VENV)/bin/python -m benchmarks.inference

arm64: $(READY) .venv-tflite-runtime/.ready ## The default model on emulated ARM processors against the recorded reference: five minutes
	command -v qemu-aarch64 >/dev/null && command -v mmdebstrap >/dev/null || apt-get -qq install --no-install-recommends qemu-user mmdebstrap gcc libc6-dev >/dev/null
	$(VENV)/bin/python -m benchmarks.arm64

deb: $(READY) ## Debian packages for arm64 and amd64 in dist/; DISTRIBUTION=bookworm (Debian 12) or trixie (13)
	for tool in dh lintian readelf; do command -v $$tool >/dev/null || apt-get -qq install --no-install-recommends dpkg-dev debhelper lintian binutils >/dev/null; done
	$(VENV)/bin/python -m deploy.package --distribution $(DISTRIBUTION)

test-deb: $(READY) ## The package on a fresh Debian: build, install, use, upgrade, purge; minutes, as root
	for tool in mmdebstrap dpkg-dev:dpkg-buildpackage debhelper:dh lintian binutils:readelf; do \
		command -v $${tool#*:} >/dev/null || apt-get -qq install --no-install-recommends $${tool%:*} >/dev/null; done
	FACELATCH_DEB=$(DISTRIBUTION) $(VENV)/bin/pytest -q tests/system/test_debian.py

test-arm64: $(READY) ## Installer and package on emulated arm64, Debian 12 and 13: half an hour, as root; DISTRIBUTION=trixie
	for tool in mmdebstrap arch-test qemu-user-static:qemu-aarch64-static dpkg-dev:dpkg-buildpackage debhelper:dh lintian binutils:readelf; do \
		command -v $${tool#*:} >/dev/null || apt-get -qq install --no-install-recommends $${tool%:*} >/dev/null; done
	FACELATCH_ARM64="$(if $(filter command% environment%,$(origin DISTRIBUTION)),$(DISTRIBUTION),bookworm trixie)" $(VENV)/bin/pytest -v tests/system/test_arm64.py

lock: $(READY) ## Resolve the packages anew
	$(COMPILE) pyproject.toml --extra edge --extra trainer --extra journal --extra dev -o requirements.lock
	$(COMPILE) pyproject.toml --extra edge -o requirements-edge.lock
	$(COMPILE) pyproject.toml --extra tflite-runtime -o requirements-tflite-runtime.lock
	$(COMPILE) --group test -o requirements-test.lock
	$(COMPILE) --group build -o requirements-build.lock
	$(COMPILE) --group bench -o requirements-bench.lock

clean: ## Remove what these targets made; runs/ and data/ stay
	rm -rf .arm64 .wheels .venv .venv-edge .venv-tflite-runtime demo build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache

$(READY): requirements.lock pyproject.toml
	deploy/setup-host.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.venv-%/.ready: requirements-%.lock requirements-test.lock pyproject.toml
	deploy/setup-host.sh $(PYTHON)
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-$*.lock
	.venv-$*/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	.venv-$*/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@
