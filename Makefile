# On a machine with nothing but Python >= 3.11: `make sweep` answers a question, `make test` runs the suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: sweep test test-slow test-cluster test-gpu oracles lint format bench bench-population published clean

# Installs once; again only when what is to be installed changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,postgresql]'
	touch $@

sweep: $(VENV)/.installed
	$(BIN)/lagrange sweep

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile  # a file's tests may share a Ray or a database

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

test-cluster: $(VENV)/.installed
	$(BIN)/python -m pytest -m cluster

test-gpu: $(VENV)/.installed
	$(BIN)/python -m pytest -m gpu

# Every answer that is known in closed form, the slow ones and the real searches among them.
oracles: $(VENV)/.installed
	$(BIN)/python -m pytest -m "" tests/objectives/test_*oracles.py tests/objectives/test_sources.py tests/search/test_oracles.py tests/search/test_dirac.py

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32  # nothing that only Linux has, without a way out

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks

# Packs against one member at a time: make bench-population ARGS='--rows vae,gan --data DIR --out FILE'. See docs/performance.md.
bench-population: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks.population $(ARGS)

# Published numbers, measured again: DATA holds MNIST/raw, FOLDER keeps what is done, OUT takes the results as JSON. Hours; see docs/published.md.
published: $(VENV)/.installed
	$(BIN)/python -m tests.published $(SCRIPTS) $(if $(DATA),--data $(DATA)) $(if $(FOLDER),--folder $(FOLDER)) $(if $(OUT),--out $(OUT))

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
