# Every target calls a script; PG_CONFIG=/path/to/pg_config names the Postgres (14 to 18) to use.
# TEST=name picks one test, PROFILE=dev|release what `make test` installs.
.DEFAULT_GOAL := help
.PHONY: help demo psql demo-stop deps install dev test test-long core pgrx-test regress regress-accept \
	integration drivers bench lint schema schema-check

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: ## install what is missing, build, and show the extension on a cluster of its own
	@scripts/demo start
psql: ## open psql on the demo's cluster, as its superuser
	@scripts/demo psql
demo-stop: ## stop and remove the demo's cluster
	@scripts/demo stop

deps: ## install only what is missing (Debian packages, cargo-pgrx)
	@scripts/deps
install: ## build the release and install it into the Postgres of PG_CONFIG
	@scripts/install release
dev: ## the same with the dev profile: seconds, for edit, rebuild, test
	@scripts/install dev

test: deps ## every test; the last line sums up (PROFILE=dev: without the release build)
	@scripts/test
test-long: ## the integration tests that take long
	@scripts/test long
core: ## the rules that need no Postgres (TEST=name)
	@scripts/test core
pgrx-test: ## the tests that run inside the server (TEST=name)
	@scripts/test pgrx
regress: ## the psql sessions of tests/pg_regress against what is installed (TEST=name)
	@scripts/test regress
regress-accept: ## make the last result of the session TEST=name the expected one
	@tests/pg_regress/run --accept $(TEST)
integration: ## real clients and processes against what is installed (TEST=name)
	@scripts/test integration
drivers: ## the client libraries of several languages
	@scripts/test drivers
bench: ## what an event costs, as ratios
	@tests/bench/run

lint: ## formatting, clippy, shellcheck, and the SQL under pgspot
	@scripts/lint
schema: ## write the generated install script to sql/archive
	@scripts/schema write
schema-check: ## compare sql/archive with what the code generates
	@scripts/schema check
