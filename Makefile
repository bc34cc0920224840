# Two commands do everything on a machine with Python 3.11 to 3.13 and make:
#   make demo     the main job, end to end        (DEMO_ARGS=--exit ends when the run is printed)
#   make test     every check

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO_ARGS ?=
LONG_ARGS ?=
TRUST_ARGS ?=
CUT_ARGS ?=
FUZZ_ARGS ?=
ATTACK_ARGS ?=

.PHONY: demo test lint types unit tools compiled-off test-long attacks trust fuzz bench-profiles bench-ingest bench-allocation bench-close bench-preview bench-review bench-settle bench-series bench-footprint bench-edge bench-ocr bench-api scale test-cluster screenshots lock clean help

help:
	@sed -n '1,4p' Makefile

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Metertree needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) -V). Set PYTHON=/path/to/python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m allocation_engine.warm_up
	$(BIN)/python -m ingest.warm_up
	@touch $(READY)

demo: $(READY)
	$(BIN)/metertree demo $(DEMO_ARGS)

test: lint types unit compiled-off

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

unit: $(READY) tools
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

# Programs that some tests need, unpacked from Debian's packages below .metertree; where they cannot be had, these tests
# are skipped and say so.
tools:
	@command -v mosquitto >/dev/null || [ -x .metertree/mosquitto/usr/sbin/mosquitto ] || \
	  scripts/install_mosquitto.sh >/dev/null 2>&1 || echo "no Mosquitto here: its tests are skipped"
	@[ -e /usr/lib/softhsm/libsofthsm2.so ] || [ -e .metertree/softhsm/usr/lib/softhsm/libsofthsm2.so ] || \
	  scripts/install_softhsm.sh >/dev/null 2>&1 || echo "no SoftHSM2 here: its tests are skipped"
	@command -v promtool >/dev/null || [ -x .metertree/prometheus/usr/bin/promtool ] || \
	  scripts/install_promtool.sh >/dev/null 2>&1 || echo "no promtool here: its tests are skipped"
	@command -v chromium >/dev/null || [ -x .metertree/chromium/chromium ] || \
	  scripts/install_chromium.sh >/dev/null 2>&1 || echo "no Chromium here: its tests are skipped"
	@$(BIN)/python -c 'from provisioning.paper.fonts import chinese_font; chinese_font()' 2>/dev/null || \
	  scripts/install_fonts.sh --small >/dev/null 2>&1 || echo "no Chinese font here: tests of PDF papers are skipped"

# The kernels once more as plain Python: there an overflow or a bad index is an error instead of a silent wrong number.
compiled-off: $(READY)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q tests/unit/allocation_engine tests/golden

# A million random divisions and the allocation's property tests with twenty times their examples, on two processes.
# LONG_ARGS="--seed 7" repeats a run. What it gave is in docs/reliability.md.
test-long: $(READY)
	$(BIN)/python -m tests.long.run $(LONG_ARGS)

# A hundred gateways revoked while they send, 20,000 guessed claims, an audit log of 100,000 entries verified and changed:
# five minutes. ATTACK_ARGS="--seed 7" repeats a run, "--revocations 5 --guesses 500" shortens it.
attacks: $(READY)
	$(BIN)/python -m tests.long.attacks $(ATTACK_ARGS)

# PostgreSQL, broker and intake workers killed hundreds of times in the middle of the stream: 45 minutes. TRUST_ARGS="--seed 7"
# repeats a run, "--database 20 --broker 20 --workers 4" shortens it, --write puts what it gave into docs/reliability.md.
# Then 20,000 modelled power cuts of the gateway's outbox, two minutes; CUT_ARGS takes --cuts, --normal, --seed and --write.
trust: $(READY)
	$(BIN)/python -m tests.trust.run $(TRUST_ARGS)
	$(BIN)/python -m tests.trust.power_cuts_run $(CUT_ARGS)

# Every decoder of the gateway tried with changed octets, ten minutes each, two beside one another: an hour and a half.
# FUZZ_ARGS="--seconds 60 --only mbus dlms-hdlc --seed 7" shortens or repeats it, --write puts the table into docs/reliability.md.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.run $(FUZZ_ARGS)

bench-profiles: $(READY)
	$(BIN)/python tests/bench/device_profiles_speed.py

# From the broker to the receipt, against nothing but COPY: five minutes on a machine that does nothing else. Writes
# docs/performance.md; SCALE=0.1 tries it and writes nothing.
bench-ingest: $(READY)
	$(BIN)/python -m tests.bench.ingest.run
	$(BIN)/python scripts/scale.py

# Compares with programs of the extra `bench`, which nothing else needs, so they are not in the lock. Takes ten minutes.
bench-allocation: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation -e '.[bench]'
	$(BIN)/python -m tests.bench.allocation.run

# Whole closes of four sizes, up to 100,000 meters: half an hour and 15 GiB of disk. UNITS=500,2000 measures these only.
bench-close: $(READY)
	$(BIN)/python -m tests.bench.whole_close.run
	$(BIN)/python scripts/scale.py

# A changed rule on a loaded month of 10,000 units, and sharing at 10,000 and 40,000. Takes two minutes.
bench-preview: $(READY)
	$(BIN)/python -m tests.bench.preview_speed

# Writes docs/performance-review.md; a minute. Needs a Chromium for its second half.
bench-review: $(READY)
	$(BIN)/python -m tests.bench.review_speed

# Octets of a row and of the log, in PostgreSQL and in columns; CPU of TLS at Mosquitto. Takes two minutes; writes
# docs/performance-footprint.md. SCALE=0.1 tries it and writes nothing.
bench-footprint: $(READY)
	$(BIN)/python -m tests.bench.footprint.run
	$(BIN)/python scripts/scale.py

# Three NATS nodes on this machine, one of them killed. Half a minute to two.
test-cluster: $(READY)
	METERTREE_TEST_CLUSTER=1 $(BIN)/python -m pytest -q tests/integration/test_nats_cluster.py

# docs/scale.md, computed from the pages that the benches write.
scale: $(READY)
	$(BIN)/python scripts/scale.py

# A year of one metering point, over HTTP: by points, sums, page and CSV. Takes two minutes; writes docs/performance-series.md.
bench-series: $(READY)
	$(BIN)/python -m tests.bench.series_speed

# 100,000 meter-days from stored readings to settled days, and a month of 10,000 meters as a matrix: five minutes and 6 GiB
# of disk. Writes docs/performance-settlement.md; SCALE=0.1 tries it and writes nothing.
bench-settle: $(READY)
	$(BIN)/python -m tests.bench.settle.run
	$(BIN)/python scripts/scale.py

# The gateway: lines against the wire, a dead meter, eight lines, a thousand meters a minute, memory, outbox. Seven minutes;
# writes docs/performance-edge.md.
bench-edge: $(READY)
	$(BIN)/python -m tests.bench.edge.run

# Billing: the feed and files in lines a second, and 200 readers at once. Five minutes; writes docs/performance-api.md;
# SCALE=0.1 tries it and writes nothing.
bench-api: $(READY)
	$(BIN)/python -m tests.bench.api_speed

# How well photos of displays are read (after scripts/install_ocr.sh); two minutes; writes docs/photo-reading.md.
bench-ocr: $(READY)
	$(BIN)/python tests/bench/photo_reading.py --write

# A line of 32 meters that nobody wrote down, scanned on a wire that takes time, beside mbmd's order: nine minutes; writes
# docs/performance-scan.md.
bench-scan: $(READY)
	$(BIN)/python -m tests.bench.scan.run

# 1,000 statements of a park of 1,150 units as PDF, in both languages; three minutes. Writes docs/performance-statements.md;
# UNITS=200 COUNT=100 tries it and writes nothing.
bench-statements: $(READY)
	$(BIN)/python -m tests.bench.statement_speed

# Remakes the lock file for all supported Pythons and platforms; run after a change of dependencies in pyproject.toml.
lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra edge --extra central --extra dev --generate-hashes \
	  --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	for extra in central,bulk,pdf:centre edge:gateway; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  $$(echo ,$${extra%%:*} | sed 's/,/ --extra /g') --generate-hashes --no-emit-index-url --no-header --constraint requirements.lock \
	  pyproject.toml -o deploy/$${extra##*:}.lock; done

# Every page as desktop and telephone, Chinese and English, light and dark: pictures below .metertree/screenshots, with an
# index.html to leaf through. Five minutes.
screenshots: $(READY) tools
	METERTREE_SCREENS=$(CURDIR)/.metertree/screenshots $(BIN)/python -m pytest -q tests/integration/test_every_page.py

clean:
	rm -rf $(VENV) .metertree .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
