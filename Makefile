# The verbs of this repository. Each works from a clean clone with Python 3.11, a C++20 compiler and make.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
BUILD := build
# The tools of the environment come first, so that builds use its cmake and ninja.
export PATH := $(abspath $(BIN)):$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)

.PHONY: help setup build tiny test test-all test-isas test-cpp fuzz lint fix types cross bench sanitize demo clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ".[demo,onnxruntime]"
	@touch $@

$(VENV)/.setup: $(BIN)/python requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.setup ## make .venv with all tools and an editable install

build: setup ## compile the core into .venv (editable)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -C build-dir=$(BUILD)/python

demo: ## the first thing to try: the device half of the product at work, in about a minute
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -e $(VENV)/.setup && $(MAKE) --no-print-directory build || $(MAKE) --no-print-directory $(VENV)/.demo
	$(BIN)/sanderling demo device

tiny: build ## ten seconds that prove an install
	$(BIN)/python -m pytest -q tests/test_tiny.py

test: build lint test-cpp fuzz ## what CI runs: linters, C++ tests, a minute of fuzzing, the fast suite
	$(BIN)/python -m pytest -q -m "not slow" -rs

test-all: test cross sanitize ## also: slow tests, every ISA under emulation, Arm under qemu, sanitizers
	$(BIN)/python -m pytest -q -m slow -rs

test-cpp: setup ## the C++ tests that need no Python
	cmake -S . -B $(BUILD)/cpp -G Ninja -DSANDERLING_PYTHON=OFF -DSANDERLING_TESTS=ON
	cmake --build $(BUILD)/cpp
	ctest --test-dir $(BUILD)/cpp --output-on-failure -LE fuzz

fuzz: test-cpp ## a minute of hostile bytes for every parser, under the address sanitizer
	ctest --test-dir $(BUILD)/cpp --verbose -L fuzz

lint: setup ## formatters in check mode, ruff, mypy, and the arrows between rooms
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy
	git ls-files 'csrc/*.h' 'csrc/*.cc' 'tests/*.cc' 'tests/*.h' | xargs $(BIN)/clang-format --dry-run -Werror
	$(BIN)/gersemi --quiet --check CMakeLists.txt tests cmake

fix: setup ## let the formatters rewrite
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .
	git ls-files 'csrc/*.h' 'csrc/*.cc' 'tests/*.cc' 'tests/*.h' | xargs $(BIN)/clang-format -i
	$(BIN)/gersemi --quiet --in-place CMakeLists.txt tests cmake

clean: ## remove everything that was built
	rm -rf $(BUILD) $(VENV)
