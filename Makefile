# `make help` lists what there is. Everything runs in .venv, which is made when first needed.

PYTHON ?= python3
VENV ?= .venv
# What pip is asked for. On Linux PyPI's torch is the CUDA build, which also runs without a GPU. For the small CPU build:
#   make env TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

SCENE := data/synthetic
DEMO := out/demo
DEMO_ITERATIONS ?= 3000
FUZZ_SECONDS ?= 120
# Tests in as many processes as there are cores, at most four; whole files of them, see tests/helpers/sharing.py.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4
CPP_FILES = $(shell find submodules tests -path '*/build/*' -prune -o \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print)

.PHONY: help env demo test test-fast check check-browser check-sfm check-barriers check-nvcc instruction-sets lint format fuzz bench bench-gpu clean

help:
	@echo "make env      the Python environment in $(VENV), with torch and everything else; PYTHON=... and TORCH=... choose"
	@echo "make demo     makes a scene, trains on it, renders and measures it: under 10 minutes on 2 cores"
	@echo "make test     the tests"
	@echo "make test-fast  those that take less than a second each: what to run while working; under a minute on 2 cores"
	@echo "make check    formatters, linters, types, then the tests with each instruction set: what CI runs"
	@echo "make check-browser  opens the pages in Chromium, where there is one; the live viewer where viser is installed"
	@echo "make check-sfm  the tests of photos without poses, for which pycolmap is installed"
	@echo "make check-barriers  deletes each barrier of the CUDA kernels: each time a race must be found; no GPU"
	@echo "make check-nvcc  compiles the CUDA kernels with a newer nvcc from PyPI, 350 MB in out/nvcc; no GPU"
	@echo "make format   formats the Python and C++ files"
	@echo "make fuzz     damaged datasets, FUZZ_SECONDS of them: each gives a valid scene or an error; out/fuzz keeps others"
	@echo "make bench    times the rasterizer; JSON lines"
	@echo "make bench-gpu  all that needs a GPU, in nine minutes: tests, sanitizers, speed, training; SCENES=... to train on"
	@echo "make clean    removes what was built; data/, out/ and $(VENV) stay"

env: $(READY)

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

# torch comes first and by itself: the extension is compiled against its headers, and nothing may replace it afterwards.
$(READY): $(BIN)/pip pyproject.toml setup.py submodules/diff-gaussian-rasterization/build_commands.py
	@echo "installing $(TORCH) and the rest into $(VENV): a minute or more"
	$(PIP_INSTALL) $(TORCH)
	$(PIP_INSTALL) "setuptools>=77" ninja
	$(PIP_INSTALL) -e ".[dev]" --no-build-isolation
	@touch $@

demo: env
	$(BIN)/python -m scene.synthetic $(SCENE)
	$(BIN)/python train.py -s $(SCENE) -m $(DEMO) --eval --overwrite --iterations $(DEMO_ITERATIONS) \
	  --test_iterations 250 500 1000 1500 2000 2500
	$(BIN)/python render.py -m $(DEMO)
	$(BIN)/python metrics.py -m $(DEMO)
	@echo "The pictures are in $(DEMO): contact_sheet.png first, then test/ours_$(DEMO_ITERATIONS)/"

test: env
	$(PYTEST)

test-fast: env
	$(PYTEST) -m "not slow"

check: lint
	$(PYTEST)
	$(MAKE) instruction-sets

check-browser: env
	CHECK_BROWSER=1 $(BIN)/python -m pytest -rs tests/browser

check-sfm: env
	$(PIP_INSTALL) "pycolmap>=4.2"
	$(BIN)/python -m pytest tests/scene/sfm

check-barriers: env
	$(BIN)/python -m tests.rasterizer.cuda.barrier_mutants

check-nvcc: env
	$(BIN)/python -m tests.rasterizer.cuda.other_nvcc out/nvcc

# The tests above ran with the widest vectors that this processor has. Here are the narrower ones.
ISA_OF = $(BIN)/python -c 'import diff_gaussian_rasterization as d; print(d.instruction_set())'
instruction-sets: env
	@widest="$$($(ISA_OF))"; for isa in v1 v3; do \
	  if [ "$$isa" = "$$widest" ]; then echo "$$isa is what this processor runs by itself"; \
	  elif [ "$$(DGR_ISA=$$isa $(ISA_OF) 2>&1)" = $$isa ]; \
	  then echo "with DGR_ISA=$$isa:"; DGR_ISA=$$isa $(PYTEST) -q --durations=0 --no-header tests/rasterizer --ignore tests/rasterizer/cuda || exit 1; \
	  else echo "this processor cannot run $$isa"; fi; \
	done

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CPP_FILES)
	$(BIN)/mypy

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP_FILES)

fuzz: env
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS) --keep out/fuzz

bench: env
	$(BIN)/python benchmarks/bench_raster.py

bench-gpu: env
	$(BIN)/python benchmarks/gpu_run.py $(SCENES)

clean:
	rm -rf build submodules/*/build *.egg-info submodules/*/*.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
