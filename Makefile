# backhand: neural networks in JAX, backprop by hand.
# Every target makes .venv itself when it is missing or stale.

PYTHON ?= python3
VENV := .venv
# cpu, or an accelerator that jax is built for: cuda13, tpu. The last one installed stays.
ACCELERATOR ?= $(or $(patsubst $(VENV)/installed-%,%,$(firstword $(wildcard $(VENV)/installed-*))),cpu)
ifeq ($(filter $(ACCELERATOR),cpu cuda13 tpu),)
$(error ACCELERATOR should be cpu, cuda13 or tpu, got $(ACCELERATOR))
endif
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed-$(ACCELERATOR)
UV := $(shell command -v uv 2>/dev/null)

# What is set on make's command line becomes a flag of the experiment:
# make lab SEED=3 HIDDEN="64 32" runs lab.py --hidden='64 32' --seed='3'.
settings := $(foreach v,$(filter-out ACCELERATOR PYTHON UV VENV,$(.VARIABLES)),$(if $(filter command,$(origin $(v))),$(v)))
# A switch is true or false: make planar COMPARE=true runs planar.py --compare.
flag = $(shell printf %s '$(1)' | tr 'A-Z_' 'a-z-')
# Nothing in a value is expanded, neither by make nor by the shell.
quoted = '$(subst ','\'',$(value $(1)))'
is = $(if $(filter 1,$(words $(value $(1)))),$(filter $(2),$(value $(1))))
flags = $(foreach v,$(sort $(settings)),$(if $(call is,$(v),true),--$(call flag,$(v)),$(if $(call is,$(v),false),--no-$(call flag,$(v)),--$(call flag,$(v))=$(call quoted,$(v)))))

.DEFAULT_GOAL := help
.PHONY: help install lab planar regression diabetes losses explain overfitting lesson mnist lecun bench verify mutants costs reproduce reproduce-all soak test test-all lint types check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "An experiment's flags: make lab SEED=3 EPOCHS=20; all of them: $(BIN)/python experiments/lab.py --help"
	@echo "On an accelerator:     make lab ACCELERATOR=cuda13 (or tpu)"

install: $(INSTALLED) ## make .venv with what everything here needs

lab: $(INSTALLED) ## 1-, 2- and 3-layer perceptrons on handwritten digits, by hand and by autodiff
	@$(BIN)/python experiments/lab.py $(flags)

planar: $(INSTALLED) ## a decision boundary in the plane, bending as it learns
	@$(BIN)/python experiments/planar.py $(flags)

regression: $(INSTALLED) ## curves and surfaces: what outliers do to each of three losses
	@$(BIN)/python experiments/regression.py $(flags)

diabetes: $(INSTALLED) ## 442 patients, 25 folds: three losses against scikit-learn
	@$(BIN)/python experiments/diabetes.py $(flags)

losses: $(INSTALLED) ## the loss functions, their derivatives, and where the numbers break
	@$(BIN)/python experiments/losses.py $(flags)

explain: $(INSTALLED) ## back-propagation step by step: each value forward, each gradient back
	@$(BIN)/python experiments/explain.py $(flags)

overfitting: $(INSTALLED) ## capacity against data: under- and overfitting, early stopping, bias and variance
	@$(BIN)/python experiments/overfitting.py $(flags)

lesson: $(INSTALLED) ## the lesson, executed from start to end; it opens as a notebook, too
	@$(BIN)/python -m backhand.runs.notebook experiments/lesson.py $(flags)

mnist: $(INSTALLED) ## MNIST: does the activation matter, are more layers needed, what goes wrong, how do weights behave
	@$(BIN)/python experiments/mnist.py $(flags)

lecun: $(INSTALLED) ## LeCun's table: its perceptrons on MNIST, published error beside ours (over an hour)
	@$(BIN)/python experiments/lecun.py $(flags)

bench: $(INSTALLED) ## time the library against autodiff and against a raw JAX loop
	@$(BIN)/python experiments/bench.py $(flags)

verify: $(INSTALLED) ## check every layer, loss, net and training against autodiff
	@$(BIN)/python experiments/verify.py $(flags)

mutants: $(INSTALLED) ## wrong backward passes against check_backward, check_grads and chex (minutes)
	@$(BIN)/python experiments/mutants.py $(flags)

costs: $(INSTALLED) ## what each layer costs by hand and by autodiff: memory, FLOPs, time
	@$(BIN)/python experiments/costs.py $(flags)

reproduce: $(INSTALLED) ## run a run again and compare: make reproduce RUN=runs/lab/...
	@$(BIN)/python experiments/reproduce.py $(flags)

reproduce-all: $(INSTALLED) ## the same for a short run of every experiment (minutes)
	@$(BIN)/python experiments/reproduce.py --all $(flags)

soak: $(INSTALLED) ## one command in 20 processes, then killed and resumed 50 times (20 minutes)
	@$(BIN)/python experiments/soak.py $(flags)

test: $(INSTALLED) ## run the tests that are quick, every module's (two minutes)
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-all: $(INSTALLED) ## run all tests
	@$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(INSTALLED) ## ruff: style and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(INSTALLED) ## mypy, strict
	@$(BIN)/mypy

check: lint types test-all ## lint, types and all tests: what a change must pass

clean: ## remove .venv and caches; runs/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
	find src experiments tests -name __pycache__ -type d -prune -exec rm -rf {} +

# requirements.txt pins every package by hash; an accelerator's build of jax is added to that.
$(INSTALLED): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"backhand needs Python 3.11 or newer, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@echo "Installing into $(VENV) ..."
	@rm -rf $(VENV)
ifdef UV
	@$(UV) venv --quiet --python $(PYTHON) $(VENV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
else
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
endif
ifneq ($(ACCELERATOR),cpu)
	@$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet) -e '.[$(ACCELERATOR)]'
endif
	@touch $@
