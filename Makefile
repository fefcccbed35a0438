# Each target sets up what it needs: Python packages in .venv, from the hashed lock, once per lock. Inside an activated
# conda environment made from environment.yml the same targets use that one instead.
#
#   make study [SCALE=smoke|default|masks|openpose|paper|cmu|pose2sim|my_study] [CORES=2]
SCALE ?= default
CORES ?= 2
SEEDS ?= 2 3
TIMES ?= 3

LOCK := $(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
FIND_PYTHON = for p in python3.11 python3 python; do \
  if $$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then echo $$p; exit; fi; done
IN_CONDA := $(shell test -n "$$CONDA_PREFIX" && "$$CONDA_PREFIX/bin/python" -c "import sys, importlib.util as u; \
  sys.exit(not all(map(u.find_spec, ['keras', 'papermill', 'snakemake', 'spm1d'])))" 2>/dev/null && echo yes)

ifeq ($(IN_CONDA),yes)
BIN := "$(CONDA_PREFIX)/bin"
READY := conda-ready
else
BIN := .venv/bin
READY := .venv/ready-$(LOCK)
endif

.PHONY: study report test test-lab test-faults lab benchmark check-results expected lock clean setup conda-ready

study: $(READY)
	@$(BIN)/studykit study $(SCALE) --cores $(CORES)

report: $(READY)
	@$(BIN)/studykit report $(SCALE)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	find notebooks -name '*.ipynb' -not -path '*/.*' -exec $(BIN)/nbstripout --verify {} +
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

# What wants a browser, a network or minutes: every notebook in a real JupyterLab, the walk through docs/own-data.md.
test-lab: $(READY)
	$(BIN)/python -m pytest -m lab

# What may go wrong while a study runs: kills, a full disk, damaged files and more. Some 20 minutes.
test-faults: $(READY)
	$(BIN)/python -m pytest -m faults

lab: $(READY)
	@$(BIN)/jupyter lab notebooks

# All scripts of benchmarks/, or those named: make benchmark [BENCHMARKS="anova paf"] [TIMES=3]
benchmark: $(READY)
	@$(BIN)/studykit benchmark $(BENCHMARKS) --times $(TIMES)

check-results: $(READY)
	@$(BIN)/studykit check-results $(SCALE)

# The study once more for each of SEEDS; what all of them found is what check-results expects.
expected: $(READY)
	@for seed in $(SEEDS); do other=$(SCALE)-seed$$seed; \
	  sed "s/^name: .*/name: $$other/; s/^seed: .*/seed: $$seed/" config/$(SCALE).yaml > config/$$other.yaml && \
	  $(BIN)/studykit study $$other --cores $(CORES) || exit 1; done
	@$(BIN)/studykit expect $(SCALE) $(SEEDS:%=$(SCALE)-seed%)

# Without index addresses, so that everybody's own package index serves it.
lock: $(READY)
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --extra dev --extra interop --extra jax pyproject.toml -o requirements.lock

clean:
	rm -rf "data/derived/$(SCALE)" "reports/$(SCALE)"

setup: $(READY)

.venv/ready-$(LOCK):
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "make: expected Python 3.11 as python3.11 or python3, found none" >&2; exit 1; fi; \
	echo "Setting up .venv from requirements.lock (once; 1 to 4 minutes)"; start=$$(date +%s); \
	.venv/bin/python -c '' 2>/dev/null || $$python -m venv --clear .venv || exit 1; \
	awk '/^uv==/ {found = 1} found; found && !/\\$$/ {exit}' requirements.lock > .venv/uv.txt; \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt && \
	.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes --compile-bytecode \
	  -r requirements.lock && \
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e . && \
	rm -f .venv/ready-* && echo $$(($$(date +%s) - start)) > .venv/setup_seconds && touch $@ && \
	echo "Set up in $$(cat .venv/setup_seconds) s"

conda-ready:
	@test -x $(BIN)/studykit || $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
