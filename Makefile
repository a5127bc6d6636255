# Every target sets up .venv first, if needed (setup.sh); nothing has to be done before `make demo`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Without .pyc files every import of TFX takes three times as long.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Beam's external workers start programs of the environment by name.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help:  ## Lists the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

.PHONY: setup
setup:  ## Makes .venv from requirements.lock, or brings it up to date
	@bash setup.sh

.PHONY: demo
demo: setup  ## Trains, evaluates and pushes a small BERT, ELMo and GPT, and compares them
	python -m pipeline corpus sotu
	@TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_FORCE_GPU_ALLOW_GROWTH=true \
	  $(MAKE) --no-print-directory --jobs 3 bert_demo elmo_demo gpt_demo
	python -m pipeline predict fill-mask --name bert_demo \
	  'The people of the United [MASK] are free.' \
	  'Congress should pass this [MASK] without delay.' \
	  'We must protect the health of our [MASK].'
	python -m pipeline compare bert_demo elmo_demo gpt_demo

# Parts of `demo`, which runs them at the same time: one small model does not keep two cores busy.
.PHONY: bert_demo elmo_demo gpt_demo
bert_demo elmo_demo gpt_demo:
	python -m pipeline run $@ --input 'corpora/sotu/sotu-{SPAN}.jsonl' --span 1 2>&1 \
	  | sed --unbuffered 's/^/$@  /'

.PHONY: test
test: setup  ## Runs the fast tests, then the end-to-end tests
	@$(MAKE) --no-print-directory test-fast
	@$(MAKE) --no-print-directory e2e

.PHONY: test-fast
test-fast: setup  ## Runs the fast tests
	python -m pytest -n 2 -m "not e2e" --dist=worksteal --durations=20

E2E ?= e2e
.PHONY: e2e
e2e: setup  ## Runs the end-to-end tests, or those of them that E2E= names by their marks
	python -m pytest -n 2 -m "$(E2E)" --no-loadscope-reorder --durations=20

.PHONY: flink
flink:  ## Fetches Apache Flink for the end-to-end tests; needs Java 17 and Maven
	@cache=$${XDG_CACHE_HOME:-$$HOME/.cache}/polyseme/flink; \
	if ! cmp -s tests/flink/pom.xml "$$cache/complete"; then \
	  rm -rf "$$cache"; \
	  mvn --batch-mode --quiet --file tests/flink/pom.xml dependency:copy-dependencies \
	    -DoutputDirectory="$$cache" -DincludeScope=runtime; \
	  cp tests/flink/pom.xml "$$cache/complete"; \
	fi

.PHONY: format
format: setup  ## Formats the code
	ruff format .
	ruff check --fix --select I .

.PHONY: lint
lint: setup  ## Checks style and format, and looks for unsafe code
	ruff check .
	ruff format --check .
	bandit --quiet --configfile pyproject.toml --recursive models components pipeline

.PHONY: audit
audit: setup  ## Looks for known vulnerabilities of the locked packages; needs a package index with advisories
	pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

.PHONY: types
types: setup  ## Checks types
	mypy

.PHONY: hooks
hooks: setup  ## Installs checks that git runs before each commit (.pre-commit-config.yaml)
	uvx pre-commit install

.PHONY: bazel
bazel: setup  ## Builds and runs the fast tests with Bazel, which enforces the dependencies between folders
	bash tests/bazel/run.sh test //:fast

BENCH ?= *
.PHONY: bench
bench: setup  ## Runs the benchmarks, or those that BENCH= names, for example BENCH=training
	python -m pipeline corpus sotu
	@failed=(); \
	for file in benchmarks/$(BENCH)_benchmark.py; do \
	  name=$$(basename "$$file" .py); \
	  echo "== $$name"; \
	  python -m "benchmarks.$$name" || failed+=("$$name"); \
	done; \
	if (($${#failed[@]})); then echo "failed: $${failed[*]}"; exit 1; fi

.PHONY: lock
lock: setup  ## Resolves the dependencies of pyproject.toml again into requirements.lock
	uv pip compile --universal --python-version 3.10 --group dev --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" pyproject.toml -o requirements.lock
