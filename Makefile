# `make help` lists the targets. Everything runs from .venv, installed from requirements.lock.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
PACKAGES := clients/python libs/contracts libs/mediameta libs/chassis services/gateway services/galleries services/identity services/media services/janitor deploy/embedded libs/testkit
STAMP  := $(VENV)/.installed
DOCS   ?= .tools/docs

.DEFAULT_GOAL := help
.PHONY: help install up test test-slow chaos coverage test-fast real-servers web web-dev web-check lint types fmt bench bench-peers lock schemas released examples pages release-data site docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(STAMP) ## install everything into .venv, pinned by hash

$(STAMP): requirements.lock pyproject.toml $(addsuffix /pyproject.toml,$(PACKAGES))
	@command -v $(PYTHON) >/dev/null || { echo "Kappi needs Python 3.11: install it, or say make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || .ci/venv-module $(PYTHON) $(VENV)
	@echo "Installing the locked packages (about a minute the first time) ..."
	@# pyvips would build itself against headers of the system's libvips, and then not use the one that is locked.
	@PKG_CONFIG=false $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

up: install ## start all of Kappi on this machine (Ctrl-C stops it)
	@exec $(BIN)/kappi up

test: install ## run the tests in parallel, except those that take minutes
	@$(BIN)/python .ci/test.py --slow=$(or $(SLOW),none)

test-slow: install ## run the tests that take minutes
	@$(BIN)/python .ci/test.py --slow=only

chaos: install ## run two processes of each role under faults; KAPPI_CHAOS_S=3600 for an hour
	@$(BIN)/python -m pytest -n 0 -m slow --slow=tests/chaos/test_chaos.py -o log_cli=true -o log_cli_level=INFO tests/chaos

coverage: install ## run the tests with branch coverage of all processes, which takes twice as long
	@rm -f .coverage .coverage.*
	@status=0; $(BIN)/coverage run .ci/test.py --slow=none || status=$$?; \
	  $(BIN)/coverage combine --quiet && $(BIN)/coverage report; exit $$status

real-servers: install ## fetch a real Kafka and a real S3 server for the tests, into .tools
	@.ci/real-servers

test-fast: install ## run the unit tests only
	@$(BIN)/python -m pytest -q -n auto -m "not integration and not e2e and not slow"

WEB := services/gateway/web
$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	@command -v npm >/dev/null || { echo "The pages are built with Node 20.19 or later: install nodejs and npm"; exit 1; }
	@cd $(WEB) && npm ci --silent && touch $(CURDIR)/$@

web: $(WEB)/node_modules/.package-lock.json ## build the web pages from services/gateway/web, after a change of them
	@cd $(WEB) && npm test --silent && npm run --silent build

web-dev: $(WEB)/node_modules/.package-lock.json ## serve the web pages with reload, in front of a running stack (KAPPI_URL)
	@cd $(WEB) && npm run --silent dev

web-check: web ## fail if the committed web pages are not what their sources build
	@test -z "$$(git status --porcelain -- services/gateway/kappi_gateway/web/assets)" || \
	  { echo "The built web pages differ from their sources: make web, and commit them"; git status --short -- services/gateway/kappi_gateway/web/assets; exit 1; }

lint: install ## ruff, format check, import contracts, house rules, licences of dependencies
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && \
	  $(BIN)/python -m pytest -q -p no:cacheprovider tests/contract/test_arrows.py \
    tests/contract/test_house_rules.py tests/contract/test_names.py && \
	  $(BIN)/python .ci/licences.py requirements.lock && \
	  $(BIN)/python .ci/licences.py services/gateway/web/package-lock.json

types: install ## mypy --strict
	@$(BIN)/mypy && $(BIN)/mypy .ci/*.py

fmt: install ## format and fix what can be fixed
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench-peers: install ## compare with tusd, nginx, sharp and others; PEERS="upload --mib 64" for a part
	@$(BIN)/python -m benchmarks.peers $(PEERS)

bench: install ## measure the running system; appends to benchmarks/results.jsonl
	@$(BIN)/python -m benchmarks

schemas: install ## regenerate event schemas, AsyncAPI, the settings page and the tables of docs/scale.md
	@$(BIN)/python -m kappi_contracts.generate
	@$(BIN)/python -m kappi_embedded.settings_reference docs/settings.md
	@PYTHONPATH=deploy/grafana $(BIN)/python -m dashboards deploy/k8s/components/grafana/dashboards
	@$(BIN)/python -m benchmarks.capacity --write

released: schemas ## make the contracts of this version those of the last release; a step of a release
	@$(BIN)/python -m kappi_contracts.release

RUNNING_OPENAPI := "tests/e2e/test_surface.py::test_the_committed_openapi_is_the_running_one[embedded]"
examples: install ## record the examples of the OpenAPI document again, from a running stack (minutes); then: make docs
	@KAPPI_TEST_REFRESH_OPENAPI=1 $(BIN)/python -m pytest -q -n0 $(RUNNING_OPENAPI)
	@KAPPI_TEST_REFRESH_EXAMPLES=1 $(BIN)/python -m pytest -q -n0 --slow=none -k embedded $(addprefix tests/e2e/test_,\
	  surface.py authorisation.py refusals.py accounts.py renditions.py moderation.py)

pages: schemas ## write every generated page: schemas, settings, formats, authorisation, OpenAPI, topics and users of Kafka, rules
	@KAPPI_TEST_REFRESH_FORMATS=1 KAPPI_TEST_REFRESH_AUTHORISATION=1 KAPPI_TEST_REFRESH_OPENAPI=1 \
	  KAPPI_TEST_REFRESH_TOPICS=1 KAPPI_TEST_REFRESH_RULES=1 $(BIN)/python -m pytest -q -n0 --slow=none \
	  $(RUNNING_OPENAPI) \
	  tests/contract/test_authorisation.py::test_the_page_is_generated_from_the_matrix \
	  tests/deploy/test_kafka_topics.py::test_the_file_is_generated_from_the_registry \
	  tests/deploy/test_watching.py::test_the_operator_s_resource_is_written_from_the_rules \
	  services/media/tests/corpus/test_corpus.py::test_the_page_about_formats_says_what_is_read

release-data: install ## keep the data of this release in tests/upgrade, for the test of later ones; once for each release
	@$(BIN)/python -m tests.upgrade.release_data

site: $(DOCS)/.installed ## build the site of the documentation in dist/site; a broken link fails
	@$(BIN)/python .ci/site_pages.py
	@$(DOCS)/bin/zensical build --strict
	@echo "The site is in dist/site."

docs: pages site ## pages and site; run it after a change of the surface, a setting or an event

$(DOCS)/.installed: .ci/docs.lock | install
	@rm -rf $(DOCS) && $(BIN)/python -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@$(BIN)/python .ci/licences.py $< $(DOCS)/lib/python3.*/site-packages
	@touch $@

# Each lock has all hashes for all platforms, and no index address. It is complete, so it is installed with
# --no-deps: pip's resolver would look up `coverage[toml]` again, choose a newer version, and fail without its hash.
PIN := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
OWN := $(shell sed -n 's/^name = "\(kappi-.*\)"/--no-emit-package \1/p' */*/pyproject.toml)
lock: install ## re-pin requirements.lock, and the locks of the image, the tests of deploy/ and the site (needs uv)
	@$(PIN) $(OWN) --group dev pyproject.toml -o requirements.lock
	@$(PIN) $(OWN) --no-annotate $(wildcard services/*/pyproject.toml) deploy/docker/requirements.in -o deploy/docker/requirements.lock
	@$(PIN) $(OWN) $(addprefix --no-emit-package ,boto3 botocore jmespath s3transfer) --no-annotate \
	  -c deploy/docker/requirements.lock $(addprefix services/,$(addsuffix /pyproject.toml,gateway identity galleries)) \
	  deploy/docker/requirements.in -o deploy/docker/slim.lock
	@$(PIN) --no-annotate deploy/docker/build.in -o deploy/docker/build.lock
	@$(PIN) --no-annotate .ci/deploy-tools.in -o .ci/deploy-tools.lock
	@$(PIN) --no-annotate --group docs -o .ci/docs.lock

clean: ## remove the environment and caches, not the data
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .coverage*
