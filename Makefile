# On a machine with nothing but Python >= 3.11: `make sweep` answers a question, `make test` runs the suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# One thread a process; each test command says at its end how many CPU seconds all its processes took. ARGS='--sample-seed 7' chooses rows.
# Compiled modules are kept even where the environment says no: dozens of processes would compile the same files again.
export OMP_NUM_THREADS := 1
export PYTHONDONTWRITEBYTECODE :=
PYTEST = $(BIN)/python tests/cpu_seconds.py --name 'make $@' $(BIN)/python -m pytest $(ARGS)

.PHONY: sweep test test-slow test-all test-portable test-cluster test-gpu oracles docs lint format bench bench-population chaos study published notebook clean

# Installs once; again only when what is to be installed changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,postgresql,server,lightning,onnx]'
	touch $@

# What only the documentation needs. A sweep does without.
$(VENV)/.documented: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

# What takes jobs. With it every Ray starts a second later, so one machine does without.
$(VENV)/.clustered: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cluster]'
	touch $@

sweep: $(VENV)/.installed
	$(BIN)/lagrange sweep

# Of long tables (every λ in every place, every model) some rows, and of files of many trainings some tests, others every day.
# A file that is named runs whole: .venv/bin/python -m pytest tests/objectives/test_traced.py
test: $(VENV)/.installed
	$(PYTEST) -n 2 --dist loadfile  # a file's tests may share a Ray or a database

# What takes long: real sweeps of every family, kills at every point. Of long tables some rows, too; of classifiers' recipes a smaller size.
test-slow: $(VENV)/.installed
	$(PYTEST) -m 'slow and not whole' -n 2 --dist loadfile

# Both of the above with every row of every table, and with every recipe in its full size.
test-all: $(VENV)/.installed
	$(PYTEST) -m 'not gpu and not cluster' --whole-tables -n 2 --dist loadfile

# The tests that train, with the kernels of other processors, and with four busy processes beside them.
test-portable: $(VENV)/.installed
	$(BIN)/python -m tests.portable $(ARGS)

# The longest ones too, sixteen sweeps at once: make test-cluster CLUSTER=cluster
CLUSTER ?= cluster and not whole
test-cluster: $(VENV)/.clustered
	$(PYTEST) -m '$(CLUSTER)'

test-gpu: $(VENV)/.installed
	$(PYTEST) -m gpu

# Every answer that is known in closed form, the slow ones and the real searches among them.
oracles: $(VENV)/.installed
	$(PYTEST) -m "" --whole-tables tests/objectives/test_*oracles.py tests/objectives/test_sources.py tests/search/test_oracles.py tests/search/test_dirac.py

# The site, in build/docs. Nothing is fetched, and a warning is an error.
docs: $(VENV)/.documented
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env --builder html docs build/docs

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 search objectives infra  # nothing that only Linux has, without a way out

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks

# Packs against one member at a time: make bench-population ARGS='--rows vae,gan --data DIR --out FILE'. See docs/performance.md.
bench-population: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks.population $(ARGS)

# A sweep on a cluster of real servers, of which every ten seconds a part is killed, frozen or cut off. Linux, and PostgreSQL's programs.
chaos: $(VENV)/.installed
	$(BIN)/python -m tests.chaos $(ARGS)

# How good the answer is, by simulated sweeps: make study ARGS='--worlds valley,two --repeats 100'. See docs/certainty.md.
# Beside it: python -m tests.study.kills, python -m tests.study.noisy_linear, python -m tests.benchmarks.truth verdicts.
study: $(VENV)/.installed
	$(BIN)/python -m tests.study $(ARGS)

# Published numbers, measured again: DATA holds MNIST/raw, FOLDER keeps what is done, OUT takes the results as JSON. Hours; see docs/published.md.
published: $(VENV)/.installed
	$(BIN)/python -m tests.published $(SCRIPTS) $(if $(DATA),--data $(DATA)) $(if $(FOLDER),--folder $(FOLDER)) $(if $(OUT),--out $(OUT))

# docs/example.ipynb, executed: a sweep of a minute, and the figures as pictures beside the interactive ones.
notebook: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[notebook,figures]'
	$(BIN)/python docs/notebook.py

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
