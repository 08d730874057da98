# The commands of the house. Each is a few lines; what they run is in tools/ and fuzz/run.sh.
#
#   make demo    one promise proven end to end, on this machine
#   make test    everything that must hold before a change is merged
#   make fuzz    a longer run of every fuzz target (FUZZ_SECONDS each, default 60)
#   make mutants every check of the appraisal crate removed or inverted in turn (hours)
#   make image   the flashable disk image, in target/image (IMAGE="--config FILE ...", see agent/image/build.sh)
#   make package the agent's Debian package, in target/package
#   make probe   the probe guest of bare-metal SEV-SNP hosts, in target/probe, and its package, in target/package
#                (PROBE="--kernel PACKAGE ...", see agent/image/probe/build.sh)
#   make setup   only installs what the others need

FUZZ_SECONDS ?= 60
DEMO_PACKAGES = assay-agent assay-hypernode assay-bridge assay-cli assay-testbed

# rustup's programs, also where no login shell has put them on the path.
export PATH := $(PATH):$(HOME)/.cargo/bin
# On a terminal cargo shows its progress bar, elsewhere it is silent.
QUIET = $(if $(shell test -t 2 && echo terminal),,--quiet)

.DEFAULT_GOAL := help
.PHONY: help setup demo test image package probe fuzz mutants clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@tools/setup.sh

demo: setup
	@echo "==> building the programs (release profile; some ten minutes the first time)"
	@cargo build --release --locked $(QUIET) --bins $(addprefix -p ,$(DEMO_PACKAGES))
	@target/release/assay-demo

test: setup
	@tools/test.sh

image: setup
	@cargo build --release --locked $(QUIET) -p assay-agent -p assay-init -p assay-image-values
	@agent/image/build.sh --out target/image $(IMAGE)

package: setup
	@cargo build --release --locked $(QUIET) -p assay-agent
	@agent/package/build.sh target/package

probe: setup
	@cargo build --release --locked $(QUIET) -p assay-agent -p assay-init -p assay-image-values -p assay-probe
	@agent/image/probe/build.sh --out target/probe $(PROBE)
	@agent/package/probe/build.sh target/package target/probe

fuzz: setup
	@fuzz/run.sh $(FUZZ_SECONDS)

mutants: setup
	@tools/mutants.sh all

clean:
	cargo clean
	rm -rf fuzz/target fuzz/corpus fuzz/artifacts demo-out
