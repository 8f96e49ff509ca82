# One environment for everything, in the checkout, made once and used again while pyproject.toml is the same.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
# The newest versions that pyproject.toml allows; `make venv CONSTRAINTS=constraints.txt` installs those of the last release.
CONSTRAINTS ?=
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

.PHONY: demo test test-all test-browser coverage lint format docs venv clean

venv: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	# The pip that comes with Python 3.11 may look through every old release before it finds the answer.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
	$(INSTALL) --editable '.[all,dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/edgevit convert demo --precision fp16,w8a8 -o dist/demo --overwrite

WORKFLOWS := $(wildcard .github/workflows/*.yml examples/ci/.github/workflows/*.yml)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports --no-logo
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.gitlab-ci ci/gitlab/edgevit-gate.yml examples/ci/.gitlab-ci.yml
	$(BIN)/zizmor --offline --quiet --no-progress action.yml .github examples/ci
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

# Two processes: more share what they wait for on two cores, and each takes some GB.
PYTEST := $(BIN)/python -m pytest -n 2 --no-loadscope-reorder

test: lint
	$(PYTEST) -m "not family" tests/

# Lines that the tests execute, in steps of their own processes too. It takes longer than `make test`, which it leaves
# as it is; TESTS=tests/edgevit/core measures a part.
TESTS ?= tests/

coverage: $(STAMP)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not family" $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# TensorFlow is installed for these only; edgevit keeps it out of every process that imports coremltools.
KERAS := .venv/.keras

$(KERAS): $(STAMP)
	$(INSTALL) --editable '.[all,keras,dev]'
	touch $@

test-all: lint $(KERAS)
	$(PYTEST) tests/

# The pages in a real browser; pip brings what drives it, and no browser of its own. What they look like is then in
# build/browser.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
BROWSER := .venv/.browser

$(BROWSER): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group browser
	touch $@

test-browser: $(STAMP)
	@test -n "$(CHROMIUM)" || { \
		echo "no Chromium here: apt-get install chromium, or make test-browser CHROMIUM=/path/to/chrome" >&2; exit 1; }
	$(MAKE) $(BROWSER)
	CHROMIUM="$(CHROMIUM)" SCREENSHOTS=build/browser $(BIN)/python -m pytest tests/edgevit/report/check_in_browser.py

# The generator has an environment of its own: the site is built from text and docstrings, without the libraries.
DOCS := .venv-docs

$(DOCS)/.installed: pyproject.toml
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --group docs
	touch $@

docs: $(DOCS)/.installed
	$(DOCS)/bin/python docs/_site.py build/docs
	$(DOCS)/bin/zensical build --strict --clean --config-file mkdocs.yml

clean:
	rm -rf .venv $(DOCS) .cache site build dist *.egg-info
