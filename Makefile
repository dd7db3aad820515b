# Thin: each target calls scripts/. Paths are relative: make -C /path/to/project works anywhere.
#
# Variables, from the environment or as make VARIABLE=value:
#   SCALE          demo, bench: small (default), medium, large; bench: several, SCALE="small large"
#   SEED           demo, bench: another seed makes other data
#   RELOAD         demo: RELOAD=1 loads the data again in any case
#   REPLICA        demo: REPLICA=1 starts two servers, of which one follows the other
#   ORIGINS        demo: ORIGINS=2 starts two operational servers, and one that follows both
#   DATABASE_URL   migrate, status, doctor, indexes, uninstall: the database
#   SOURCE_SCHEMA  migrate: schema of the operational tables, if it can't be found
#   HUB            demo: HUB=1 starts two sites and a hub; migrate: HUB=1 installs a hub over
#                  other installations (scripts/hub.py)
#   SERVER         psql, token, logs: which server of the demo, demo (default) or as it was named
#   ENVIRONMENT    development (default) or production
#   PUBLISH        bench: PUBLISH=1 writes the results into docs/performance.*
#   DRY_RUN        migrate, indexes, uninstall: DRY_RUN=1 changes nothing
#   UPGRADE        lock: UPGRADE=1 takes the newest versions
#   ROLE, TTL, SUB token: analytics_lector (default) or analytics_operador; seconds; for whom
#   CIUDADES       token: the token reads figures of these cities alone, CIUDADES=Bogotá,Cali
#   POSTGREST      demo, test: another PostgREST than the one from npm
#   VERSION        release: the version, such as 0.1.0
#   CHECKS         release: what is run before: all (default), lint, none
#   MINUTES        test-soak: how long, 10 (default)
#   GATEWAY_PORT   demo: port of the HTTP API, 8002 where it is free
# make passes DATABASE_URL, SOURCE_SCHEMA and ENVIRONMENT on to the scripts by itself.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory --no-builtin-rules

SCALE ?= small
SEED ?=
RELOAD ?=
REPLICA ?=
ORIGINS ?=
HUB ?=
DRY_RUN ?=
PUBLISH ?=
UPGRADE ?=
ROLE ?= analytics_lector
TTL ?= 3600
SUB ?=
CIUDADES ?=
SERVER ?= demo
MINUTES ?= 10
VERSION ?=
CHECKS ?= all

PYTHON := .local/venv/bin/python
yes = $(filter-out 0 no false,$(1))
dry_run = $(if $(call yes,$(DRY_RUN)),--dry-run)
LOCK := .local/venv/bin/uv pip compile --universal --generate-hashes --python-version 3.11 \
	--no-header -q $(if $(call yes,$(UPGRADE)),--upgrade)

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^[a-z][a-z-]*:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
	@echo
	@sed -n 's/^#   //p' Makefile

.PHONY: install
install: ## install what is missing: PostgreSQL, pg_cron, nginx, PostgREST, .local/venv
	@scripts/install.sh

.PHONY: demo
demo: ## start the demo: a cluster in .local, a marketplace (SCALE), the KPIs, the HTTP API
	@scripts/install.sh
	@$(PYTHON) scripts/demo.py --scale $(SCALE) $(if $(SEED),--seed $(SEED)) \
		$(if $(call yes,$(RELOAD)),--reload) $(if $(call yes,$(REPLICA)),--replica) \
		$(if $(call yes,$(ORIGINS)),--origins $(ORIGINS)) $(if $(call yes,$(HUB)),--hub)

.PHONY: psql
psql: ## open psql on the demo
	@[ -x $(PYTHON) ] || { echo "there is no demo here; start it: make demo" >&2; exit 1; }
	@$(PYTHON) scripts/cluster.py psql --name "$(SERVER)"

.PHONY: stop
stop: ## stop the demo, all its servers; its data stays
	@if [ -x $(PYTHON) ]; then for location in .local/demo/ .local/demo-*/location; do \
		name="$$(basename "$${location%/location}")"; \
		[ $$name = demo ] || [ -e "$$location" ] || continue; \
		[ $$name = demo ] || echo "$$name:" >&2; \
		$(PYTHON) scripts/gateway.py stop --name "$$name"; \
		$(PYTHON) scripts/cluster.py stop --name "$$name"; done; \
		else echo "no demo here: .local/venv is not there"; fi

.PHONY: logs
logs: ## where the demo's logs are, and their last lines
	@[ -x $(PYTHON) ] || { echo "there is no demo here; start it: make demo" >&2; exit 1; }
	@$(PYTHON) scripts/gateway.py logs --name "$(SERVER)"

.PHONY: scheduler
scheduler: ## without pg_cron: run the schedule of DATABASE_URL every minute, until Ctrl-C
	@scripts/install.sh --venv-only
	@$(PYTHON) scripts/scheduler.py

.PHONY: notifier
notifier: ## deliver the alerts of DATABASE_URL (ALERT_WEBHOOK_URL, ALERT_SMTP_URL), until Ctrl-C
	@scripts/install.sh --venv-only
	@$(PYTHON) scripts/notifier.py

.PHONY: token
token: ## print a token of the demo's HTTP API (ROLE, TTL, SUB, CIUDADES)
	@[ -x $(PYTHON) ] || { echo "there is no demo here; start it: make demo" >&2; exit 1; }
	@$(PYTHON) scripts/jwt_token.py "$(ROLE)" --name "$(SERVER)" --ttl "$(TTL)" \
		$(if $(SUB),--sub "$(SUB)") $(if $(CIUDADES),--ciudades "$(CIUDADES)")

.PHONY: clean
clean: ## remove the demo with its data, .local and all caches
	@for location in .local/*/location; do \
		[ -e "$$location" ] || continue; \
		name="$$(basename "$$(dirname "$$location")")"; \
		scripts/install.sh --venv-only || exit; \
		echo "cluster $$name:"; \
		$(PYTHON) scripts/gateway.py stop --name "$$name" || exit; \
		$(PYTHON) scripts/cluster.py remove --name "$$name" || exit; \
	done
	@rm -rf .local .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: migrate
migrate: ## bring the database of DATABASE_URL to the current version (DRY_RUN=1: only try)
	@scripts/install.sh --venv-only
	@$(PYTHON) scripts/migrate.py $(dry_run) $(if $(call yes,$(HUB)),--hub)

.PHONY: status
status: ## what is applied to the database of DATABASE_URL and what is pending
	@scripts/install.sh --venv-only
	@$(PYTHON) scripts/migrate.py status

.PHONY: doctor
doctor: ## check everything about the installation of DATABASE_URL; print what mends it
	@scripts/install.sh --venv-only
	@$(PYTHON) scripts/doctor.py

.PHONY: indexes
indexes: ## build the source indexes that a refresh needs, without blocking writers (DRY_RUN=1: list)
	@scripts/install.sh --venv-only
	@$(PYTHON) scripts/source_indexes.py $(if $(call yes,$(DRY_RUN)),--list)

.PHONY: uninstall
uninstall: ## take teloo-analytics out of the database of DATABASE_URL
	@scripts/install.sh --venv-only
	@$(PYTHON) scripts/uninstall.py $(dry_run)

.PHONY: test
test: ## run all checks and tests, on clusters of their own
	@scripts/install.sh --test
	@$(PYTHON) scripts/run_tests.py

.PHONY: test-fast
test-fast: ## linters, pgTAP, golden data and a few marketplaces: two minutes
	@scripts/install.sh --test
	@$(PYTHON) scripts/run_tests.py --fast

.PHONY: reference
reference: ## write docs/reference anew, from what a new installation says
	@scripts/install.sh
	@$(PYTHON) scripts/reference.py

.PHONY: release
release: ## check everything, then write releases/teloo-analytics--VERSION.sql and META.json
	@[ -n "$(VERSION)" ] || { echo "which version? make release VERSION=0.1.0" >&2; exit 2; }
	@scripts/install.sh --test
	@$(PYTHON) scripts/release.py "$(VERSION)" --checks "$(CHECKS)"

.PHONY: test-long
test-long: ## daily slots over 10 years, each kill 25 times, all turns of tests (hours)
	@scripts/install.sh --test
	@$(PYTHON) scripts/run_tests.py --long

.PHONY: test-soak
test-soak: ## everything at the same time for MINUTES (10), then every number
	@scripts/install.sh --test
	@MINUTES="$(MINUTES)" $(PYTHON) -m pytest -n0 -q -s -o timeout=0 tests/faults/soak.py

.PHONY: lint
lint: ## run the linters and the type checkers only
	@scripts/install.sh --test
	@$(PYTHON) scripts/run_tests.py --lint-only

.PHONY: bench
bench: ## measure against full recomputation and the bars (SCALE, PUBLISH=1)
	@scripts/install.sh
	@$(PYTHON) scripts/bench.py --scales $(SCALE) $(if $(SEED),--seed $(SEED)) \
		$(if $(call yes,$(PUBLISH)),--publish)

.PHONY: bench-api
bench-api: ## measure the HTTP API against pgbench and against FastAPI
	@scripts/install.sh --test
	@$(PYTHON) scripts/bench_api.py

.PHONY: format
format: ## format Python, SQL and JavaScript
	@scripts/install.sh --test
	@.local/venv/bin/ruff format .
	@.local/venv/bin/ruff check --fix .
	@.local/venv/bin/sqlfluff fix --nocolor --disable-progress-bar sql
	@.local/node/node_modules/.bin/prettier --config config/web/prettier.json --write \
		--log-level warn web config/web

.PHONY: screenshots
screenshots: ## write docs/images anew: the page as the running demo shows it
	@scripts/install.sh --test
	@$(PYTHON) scripts/screenshots.py

.PHONY: lock
lock: ## write config/requirements*.txt anew from pyproject.toml (UPGRADE=1: newest versions)
	@scripts/install.sh --venv-only
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check uv
	@$(LOCK) pyproject.toml -o config/requirements.txt
	@$(LOCK) --group test -c config/requirements.txt pyproject.toml \
		-o config/requirements-test.txt
