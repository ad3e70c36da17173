# The moderation workbench: type `make` to see what there is.
#
# Every target that needs Python first makes .venv and installs the package in it; the stamp file .venv/.installed is
# written last, so an interrupted installation is taken up again, and a changed pyproject.toml installs what is new.

STUDY = experiments/quickstart.yaml
DEVICE = auto
JOBS = 2
TESTS = tests
ARGS =
CAMPAIGN = shift-media shift-time activations exclusive augmentation-real
VENV = .venv
# PYTHON=/path/to/python chooses the interpreter that .venv is made with; left empty, the first suitable one is taken.
PYTHON =

PY = $(VENV)/bin/python
STAMP = $(VENV)/.installed
# The versions in pyproject.toml's `requires-python`; tests/test_environment.py holds the two together.
SUITABLE = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
# One thread a process: JOBS processes share the cores, and thread pools on top of them only get in each other's way.
# Bytecode is written, whatever the environment says: each of the hundreds of processes that tests start would compile
# the workbench anew.
QUIET_CORES = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.DEFAULT_GOAL := help
# Targets run one after another even under `make -j`: they share one environment and two cores.
.NOTPARALLEL:
.PHONY: help setup compare zoo bench-gpu test test-all campaign-core campaign-mission mutants lint app lab clean

help: ## Show this list
	@echo "The moderation workbench: which model should moderate your site, and does a multimodal one win?"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '  make %-13s %s\n' "$$name" "$$what"; \
	done
	@echo
	@echo "Settings, with what they are now (write them behind the target, as in: make compare DEVICE=cuda):"
	@printf '  %-42s %s\n' \
		"STUDY=$(STUDY)" "the study that compare runs" \
		"DEVICE=$(DEVICE)" "auto, cpu, cuda or mps" \
		"JOBS=$(JOBS)" "processes at once, for runs and for tests" \
		"TESTS=$(TESTS)" "which tests to run" \
		"ARGS=$(ARGS)" "more arguments for workbench run, pytest, mutants or JupyterLab" \
		"PYTHON=$(PYTHON)" "the Python that makes $(VENV) (empty: the first one from 3.11 to 3.13)"

setup: $(STAMP) ## Make .venv and install the workbench in it (other targets do this by themselves)

compare: $(STAMP) ## Run a study and print which model wins; a second time it redoes only what changed
	@$(VENV)/bin/workbench run "$(STUDY)" --jobs "$(JOBS)" --device "$(DEVICE)" $(ARGS)

zoo: $(STAMP) ## Run every model on one synthetic corpus; tiny random models take the place of pretrained ones
	@$(VENV)/bin/workbench random-models
	@$(VENV)/bin/workbench run experiments/zoo.yaml --jobs "$(JOBS)" --device "$(DEVICE)" $(ARGS)

bench-gpu: $(STAMP) ## Measure every family of models, at full size with random weights, on a CUDA GPU and the CPU (10 minutes)
	@mkdir -p out
	@$(VENV)/bin/workbench bench gpu --out out/bench-gpu.json $(ARGS)

test: $(STAMP) ## Run the tests that need no browser and no long simulation (under 20 minutes on two cores)
	@$(QUIET_CORES) $(PY) -m pytest -m "not slow and not campaign" -n "$(JOBS)" --dist loadfile --no-loadscope-reorder $(ARGS) $(TESTS)

test-all: $(STAMP) ## Run every test, long simulations in a short form (up to half an hour on two cores)
	@$(QUIET_CORES) $(PY) -m pytest -n "$(JOBS)" --dist loadfile --no-loadscope-reorder $(ARGS) $(TESTS)

campaign-core: $(STAMP) ## Run the full forms of those: hundreds of kills, simulated worlds, broken clips
	@$(QUIET_CORES) $(PY) -m pytest -m campaign -n "$(JOBS)" --dist load $(ARGS) $(TESTS)

# tests/experiments/test_campaign.py runs a small form of each.
campaign-mission: $(STAMP) ## Run the studies that docs/mission.md names and no test runs whole (15 minutes on two cores)
	@set -e; for study in $(CAMPAIGN); do $(VENV)/bin/workbench run $$study --jobs "$(JOBS)" --device "$(DEVICE)" $(ARGS); done

mutants: $(STAMP) ## Make one line of the numbers' code wrong, 300 times, and see that a test dies of it (under an hour on two cores)
	@$(QUIET_CORES) $(PY) tests/mutants.py --jobs "$(JOBS)" $(ARGS)

lint: $(STAMP) ## Check style: ruff on Python files and notebooks, and no outputs stored in notebooks
	@failed=0; $(PY) -m ruff check . || failed=1; \
	$(PY) -m ruff format --check . || failed=1; \
	for notebook in notebooks/*.ipynb; do \
		[ -e "$$notebook" ] || continue; \
		$(PY) -m nbstripout --verify "$$notebook" >/dev/null || { \
			echo "$$notebook holds outputs or execution counts; remove them with: $(PY) -m nbstripout $$notebook"; \
			failed=1; \
		}; \
	done; \
	[ $$failed -eq 0 ] && echo "Style and notebooks are in order."

app: $(STAMP) ## Serve demo and API at http://127.0.0.1:7860 (runs the smoke study first where there is none)
	@$(PY) app.py $(ARGS)

lab: $(STAMP) ## Open the notebooks in JupyterLab
	@$(PY) -m ipykernel install --sys-prefix --name python3 --display-name "Python 3 (workbench)"
	@PATH="$$PWD/$(VENV)/bin:$$PATH" $(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks $(ARGS)

clean: ## Remove caches and results; studies, LOG.md and .venv stay
	@find . -path "./$(VENV)" -prune -o -path ./.git -prune -o -type d \
		\( -name __pycache__ -o -name .pytest_cache -o -name .ruff_cache -o -name .hypothesis \
		-o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	@rm -rf out artifacts build data/cache
	@if [ -d experiments ]; then find experiments -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +; fi
	@echo "Removed caches (data/cache too) and the results of all studies."
	@echo "Left as they were: experiments/*.yaml, experiments/LOG.md, data, notebooks and $(VENV) (rm -r $(VENV) removes it)."

# 1. Find a Python that is new enough and has venv with pip, unless .venv already works.
# 2. Install, showing of pip's many lines those that tell a person where it stands; all of them go to install.log.
# 3. Write the stamp.
$(STAMP): pyproject.toml
	@if ! { $(PY) -c "$(SUITABLE)" && { $(PY) -m pip --version || $(PY) -m ensurepip; }; } >/dev/null 2>&1; then \
		found=; bare=; \
		for name in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
			"$$name" -c "$(SUITABLE)" >/dev/null 2>&1 || continue; \
			if "$$name" -c "import ensurepip, venv" >/dev/null 2>&1; then found=$$name; break; fi; \
			bare=$${bare:-$$name}; \
		done; \
		if [ -z "$$found" ] && [ -n "$$bare" ]; then \
			echo "$$bare has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv), then run make again." >&2; \
			exit 1; \
		elif [ -z "$$found" ]; then \
			seen=; name=$(or $(PYTHON),python3); \
			if command -v "$$name" >/dev/null; then seen=$$("$$name" -V 2>&1 | head -n 1); fi; \
			echo "The workbench needs Python 3.11, 3.12 or 3.13, but found $${seen:-none}: install one of them, or name it with make PYTHON=/path/to/python3." >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$("$$found" -V 2>&1)."; \
		"$$found" -m venv --clear "$(VENV)"; \
	fi
	@echo "Installing the workbench into $(VENV): several GB (PyTorch is most of it), some minutes the first time."
	@{ PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 $(PY) -m pip install --progress-bar off -e '.[dev]' 2>&1; \
		echo "pip ended with $$?"; } | { \
		: > "$(VENV)/install.log"; \
		while IFS= read -r line; do \
			printf '%s\n' "$$line" >> "$(VENV)/install.log"; \
			case $$line in \
				"pip ended with 0") exit 0 ;; \
				"pip ended with "*) \
					echo "Nothing is lost: run make again to go on; all that pip said is in $(VENV)/install.log." >&2; exit 1 ;; \
				*Downloading*GB\)*|*Downloading*[0-9][0-9][0-9]*.[0-9]\ MB\)*) echo "  $${line#"$${line%%[! ]*}"}" ;; \
				"Installing collected packages"*) echo "  Unpacking the packages; this takes a while and says nothing." ;; \
				*ERROR*|*error:*) printf '%s\n' "$$line" >&2 ;; \
			esac; \
		done; exit 1; }
	@touch "$(STAMP)"
	@echo "Installed."
