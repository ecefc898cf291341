# The everyday commands. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-hooks chaos-hooks fuzz lint fmt

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

chaos-hooks: ## Kill tributary in the middle of storms of deliveries; everything acknowledged must be there (minutes)
	TRIBUTARY_CHAOS=full $(CARGO) test --package tributary --test main -- storm hostile_hooks --nocapture

fuzz: ## Fuzz the parsers of foreign input, a minute each (SECONDS_EACH=10, ARGS="hook_body")
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
