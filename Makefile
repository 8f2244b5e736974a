# Two commands for a fresh machine: `make demo`, `make test`. Both set themselves up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev

.PHONY: demo test check cover chaos soak compat bench figures kafka clean help

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml .ci/venv
	$(PYTHON) .ci/venv $(VENV)
	@touch $@

$(DEV): pyproject.toml .ci/venv
	$(PYTHON) .ci/venv $(VENV) dev
	@touch $(READY) $@

demo: $(READY)  ## four nodes, four faults, an embedded broker; at most 90 s
	@$(BIN)/swarm-demo $(ARGS)

test: $(DEV)  ## all tests, a quarter of an hour on two cores; those on Apache Kafka need Java 17 and Maven
	@$(BIN)/python -m tests $(ARGS)

check: $(DEV)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

cover: $(DEV)  ## branch coverage of the modules that decide: 100 %
	@$(BIN)/coverage run -m pytest -q tests/unit
	@$(BIN)/coverage report

chaos: $(DEV)  ## a long run of faults: make chaos SEED=1 FAULTS=500 KAFKA=1 (with a ledger)
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) \
	  $(if $(FAULTS),--faults $(FAULTS)) $(if $(KAFKA),--kafka)

soak: $(DEV)  ## a long run on Kafka with a ledger: make soak SEED=1 KILLS=500 MINUTES= PROTOCOL=
	@$(BIN)/python -m tests.kafka.soak $(if $(SEED),--seed $(SEED)) \
	  $(if $(KILLS),--kills $(KILLS)) $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(PROTOCOL),--protocol $(PROTOCOL))

compat: $(DEV)  ## exchange a swarm's programs for an older version's, and back: make compat OLD=6cee99e
	@$(BIN)/python -m tests.compat $(if $(OLD),--old $(OLD))

bench: $(DEV)  ## speed and cost, side by side with peers, under 30 minutes: make bench QUICK=1 ONLY=1,6
	@$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(OUT),--out $(OUT))

figures: $(DEV)  ## size and shape of the code: lines, rooms, lengths, imports: make figures OF=DIR
	@$(BIN)/python -m tests.figures $(OF)

kafka: $(DEV)  ## Apache Kafka on 127.0.0.1:9092 for trials by hand
	@$(BIN)/python -m tests.kafka.broker $(ARGS)

clean:  ## remove what the other commands left in this folder
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache .coverage* .bench .compat
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
