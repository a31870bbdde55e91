# Two commands do all the set-up: make run, make test.
#
#   make run     a log with receipts in it, one of them verified offline, then serving;
#                RUN_ONCE=1 ends after that, with an exit status
#   make test    all tests, then a table of what they ran against
#   make check   make test, the race detector, vet, staticcheck, every fuzz target for FUZZTIME
#   make bench   benchmarks of the packages

BIN         := $(CURDIR)/.bin
FUZZTIME    ?= 30s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
TESTTABLE   := go run ./cmd/internal/testtable

.PHONY: run test check race vet staticcheck fuzz bench clean

run:
	deployments/run.sh

# The bench module has the libraries of other logs, which are no dependency of ours.
test:
	@deployments/setup.sh
	@{ go test -json ./... ; cd bench && go test -json ./... ; } 2>&1 | $(TESTTABLE)

check: vet staticcheck test race fuzz

race:
	go test -race ./...

vet:
	go vet ./...
	cd bench && go vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l . ; echo "the files above want gofmt"; exit 1; }

$(BIN)/staticcheck:
	GOBIN=$(BIN) go install $(STATICCHECK)

staticcheck: $(BIN)/staticcheck
	$(BIN)/staticcheck ./...
	cd bench && $(BIN)/staticcheck ./...

fuzz:
	FUZZTIME=$(FUZZTIME) deployments/fuzz.sh

bench:
	go test -run '^$$' -bench . ./...

clean:
	rm -rf $(BIN) .run
