# The everyday commands. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-hooks soak chaos chaos-disk chaos-network failpoints model fuzz lint fmt

# A reader of this file needs no network beyond what cargo fetches once.
CARGO ?= cargo
# In CI the tests run under the profile of that name (.config/nextest.toml).
NEXTEST_PROFILE := $(if $(CI),ci,default)

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

demo: ## Build, start a simulated CODING, load it into SQLite and follow its changes (ends with Ctrl-C)
	@echo "building; the first time takes some minutes"
	$(CARGO) run --package tributary -- demo

test: ## Run every test (installs a PostgreSQL server for them, where none is)
	@.ci/postgres
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --workspace --all-features --profile $(NEXTEST_PROFILE); \
	else \
		echo "cargo-nextest is not installed; running cargo test instead"; \
		$(CARGO) test --workspace --all-features --lib --bins --tests; \
	fi
	$(CARGO) test --workspace --all-features --doc

bench: ## Measure how fast it is: minutes (ARGS="--tiny" to try it out, "throughput --markdown", "--help")
	@.ci/postgres
	$(CARGO) build --release --package tributary --package bench
	$${CARGO_TARGET_DIR:-target}/release/bench $(ARGS)

bench-hooks: ## Measure hooks: from delivery to row, and how many deliveries a second are taken in durably
	@$(MAKE) --no-print-directory bench ARGS="hooks $(ARGS)"

soak: ## Half an hour of changes at the full rate: memory, files, state and lag must not grow (ARGS="--minutes 10")
	@$(MAKE) --no-print-directory bench ARGS="soak $(ARGS)"

# First the crash loop by itself, whose figures are published; then what mostly waits, side by side.
CHAOS := TRIBUTARY_CHAOS=full $(CARGO) test --package tributary --all-features --test main --

chaos: ## Kill tributary hundreds of times before a hostile source, then in storms of deliveries (a quarter of an hour)
	@.ci/postgres
	$(CHAOS) crash:: --nocapture
	$(CHAOS) storm:: hostile_hooks:: --nocapture

failpoints: ## Have every durable step fail before and after, at many moments, in every way (minutes)
	@.ci/postgres
	TRIBUTARY_CHAOS=full $(CARGO) test --package tributary --all-features --test main -- failpoints --nocapture

model: ## Do whatever may happen at the source in random order, and compare with a plain map (minutes; CASES=1000)
	@.ci/postgres
	TRIBUTARY_CHAOS=full $(if $(CASES),PROPTEST_CASES=$(CASES)) \
		$(CARGO) test --package connectors --all-features --test main -- model:: --nocapture

chaos-disk: ## Have each write, flush and making of a file fail in turn, and disks be full (a quarter of an hour)
	TRIBUTARY_CHAOS=full $(CARGO) test --package tributary --all-features --test main -- disk:: --include-ignored --nocapture

chaos-network: ## Cut the way to CODING and to the target at every exchange, and wait for real time-outs (minutes)
	@.ci/postgres
	TRIBUTARY_CHAOS=full $(CARGO) test --package connectors --all-features --lib --test main -- network:: lost:: --include-ignored --nocapture

fuzz: ## Fuzz the parsers of foreign input and of stored records, a minute each (SECONDS_EACH=10, ARGS="hook_body")
	fuzz/run $(ARGS)

lint: ## Check format, lints, documentation and (where cargo-deny is installed) dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-features --all-targets -- -D warnings
	$(CARGO) check --manifest-path fuzz/Cargo.toml --locked
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --no-deps --document-private-items
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --all-features check bans licenses sources; \
	else \
		echo "cargo-deny is not installed; dependencies are not checked"; \
	fi

fmt: ## Format the code
	$(CARGO) fmt --all
