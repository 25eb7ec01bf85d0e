# Every target first sets up what it needs in .venv; a set-up that still holds costs no time.
# More arguments go through ARGS: make test ARGS="-k expressions"

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
setup = @$(or $(PYTHON),$(error archspec needs Python 3.11 or newer; none is on the PATH)) tools/setup_venv.py

.PHONY: help demo app test check docs bench fuzz screenshots clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: ## build a sentence encoder from its spec and use it
	$(setup) demo
	$(BIN)/python examples/demo.py $(ARGS)

app: ## open the inspector in a browser: http://127.0.0.1:7860
	$(setup) app
	$(BIN)/archspec app $(ARGS)

# One thread for each process of the tests: as many processes as cores run at once. What is compiled
# is kept even where the environment says not to: hundreds of processes import the same modules.
# A browser may have to be installed: that begins beside the set-up, and is waited for after it.
test: ## run every test, the checks included
	@$(firstword $(wildcard $(BIN)/python) $(PYTHON)) tools/find_browser.py </dev/null >/dev/null 2>&1 &
	$(setup) dev
	@$(BIN)/python tools/find_browser.py >/dev/null
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

check: ## lint, formatting, types, import directions, JavaScript
	$(setup) dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/oxlint -c app/.oxlintrc.json --ignore-pattern *_libraries.js app archspec/drawing/assets tests/app/assets
	$(BIN)/oxfmt -c app/.oxfmtrc.json --check app archspec/drawing/assets tests/app/assets !**/*_libraries.js

docs: ## build the documentation: build/docs/index.html
	$(setup) dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --config-file tools/docs/mkdocs.yml $(ARGS)

bench: ## measure side by side with transformers and torchvision
	$(setup) dev
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: ## mutate specs and run them through everything; ARGS="--minutes 30"
	$(setup) dev
	$(BIN)/python -m tools.fuzz $(ARGS)

screenshots: ## take pictures of the inspector; ARGS=FOLDER for those of every tab
	$(setup) dev
	$(BIN)/python -m tools.screenshots $(ARGS)

clean: ## remove .venv, caches and build outputs
	rm -rf .venv build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
