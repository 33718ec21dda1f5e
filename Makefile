# make run [FAQ=path]  sets everything up and serves on http://127.0.0.1:8000
# make test            sets everything up and runs the checks and the tests
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PYTHONUTF8 := 1
ifdef FAQ
export SMARTSTORE_CORPUS__FAQ := $(abspath $(FAQ))
endif

.PHONY: run test lint check-deploy lock clean

run: $(VENV)/core
	@$(BIN)/smartstore index build
	@$(BIN)/smartstore serve

test: lint
	$(BIN)/pytest

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check-deploy: $(VENV)/dev
	$(BIN)/python -m tests.deploy.check_deploy

$(VENV)/core: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/dev: $(VENV)/core requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

lock:
	$(BIN)/uv pip compile -q pyproject.toml -o requirements.lock --no-header --no-annotate --python-version 3.11
	$(BIN)/uv pip compile -q pyproject.toml --extra dev -o requirements-dev.lock -c requirements.lock --no-header --no-annotate --python-version 3.11

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
