# `make demo` and `make test` do all of the set-up themselves. Override with: make test PY=python3.12 VENV=/tmp/venv
PY ?= python3
VENV ?= .venv
DEMO ?= demo

# Nothing of an outer environment may leak into ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX
# Relative, because pip splits the value at spaces. The second name is the one that newer pips read for isolated builds.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

# `make demo CPU=1`: PyTorch without CUDA. It is fetched once from an index that has only that, which pip would
# otherwise ask for every package; a folder of files comes first for builds in environments of their own, too.
CPU ?=
CPU_INDEX ?= https://download.pytorch.org/whl/cpu
ifneq ($(CPU),)
export PIP_FIND_LINKS := build/cpu
endif
define FETCH_CPU
	$(VENV)/bin/pip download --no-deps --retries 1 --timeout 20 --dest build/cpu --index-url $(CPU_INDEX) torch || \
		{ echo "make: no PyTorch from $(CPU_INDEX): is it blocked? Then leave CPU=1 out, or name another as CPU_INDEX" >&2; exit 1; }
endef

# Folders count too: their time changes when a file goes away.
SOURCES := $(shell find apnt benchmarks csrc kernels -not -path '*/__pycache__*') setup.py pyproject.toml constraints.txt MANIFEST.in README.md LICENSE
INSTALLED := $(VENV)/.apnt-installed

# For `make sanitize`.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SANITIZE_FLAGS := -O1 -g1 -w -fno-omit-frame-pointer $(SANITIZE)
RUNTIMES = $(shell g++ -print-file-name=libasan.so) $(shell g++ -print-file-name=libubsan.so)

# Tests in processes side by side, one thread each: their work is too small to share out further.
PYTEST = OMP_NUM_THREADS=1 $(VENV)/bin/pytest --numprocesses auto --maxprocesses 4 --dist worksteal

# For `make torture`: the share of the whole bench, which takes hours.
SCALE ?= 1

.PHONY: demo test lint site gallery sanitize cuda ptx triton torture audit clean

demo: $(INSTALLED)
	$(VENV)/bin/apnt demo --out $(DEMO) --force
	@echo "apnt is $(VENV)/bin/apnt; '. $(VENV)/bin/activate' puts it on your path"

# The installed package is tested, not the source tree: bin/pytest does not put this folder on the path.
test: lint
	$(PYTEST)

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy apnt

# The pages of docs/ as a site, in build/site; a link that leads nowhere is an error. (With --quiet, MkDocs
# counts no warning, and --strict passes everything.)
site: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

# The pictures of the gallery; DATA=path/to/hdr/val adds scenes of CC0 radiance maps.
gallery: $(INSTALLED)
	$(VENV)/bin/python benchmarks/gallery.py $(if $(DATA),--data $(DATA))

# The C++, and the CUDA kernels on the CPU, with AddressSanitizer and UndefinedBehaviorSanitizer: the tests of the ops.
sanitize: $(INSTALLED)
	APNT_CUDA=0 CFLAGS="$(SANITIZE_FLAGS)" CXXFLAGS="$(SANITIZE_FLAGS)" LDFLAGS="$(SANITIZE)" \
		$(VENV)/bin/python setup.py -q build --build-base build/sanitize --build-lib build/sanitize/lib
	nm -D build/sanitize/lib/apnt/lib/libapnt_cpu.so | grep -q __asan_init
	LD_PRELOAD="$(RUNTIMES)" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=build/sanitize/lib APNT_CUDA_ON_CPU_SANITIZE=1 \
		$(PYTEST) -k "(cpp or cuda-on-cpu or cuda_on_cpu) and not planted" tests/ops/test_window_match.py \
		tests/ops/test_window_match_tiles.py tests/ops/test_patch_swap.py tests/ops/test_fuzz.py tests/ops/test_cuda_on_cpu.py

# Hostile files, kills, full disks, threads, and the ops against the reference; writes the table of docs/reliability.md.
torture: $(INSTALLED)
	nice $(VENV)/bin/python -W ignore tests/torture --scale $(SCALE) --write docs/reliability.md

# 300 random questions for the PTX of the CUDA kernels, interpreted; takes nvcc and no GPU.
ptx: $(INSTALLED)
	$(VENV)/bin/python tests/ptx/fuzz.py --cases 300

# The whole suite of the ops with the Triton kernels interpreted, every derivative by finite differences among it, of
# which `make test` runs a part; takes up to an hour and no GPU.
triton: $(INSTALLED)
	TRITON_INTERPRET=1 CUDA_VISIBLE_DEVICES= $(PYTEST) -k triton tests/kernels/test_triton_kernels.py tests/ops/test_fuzz.py \
		tests/ops/test_derivatives.py tests/ops/test_window_match.py tests/ops/test_patch_swap.py

# Known vulnerabilities of what is installed; fails too where a package could not be asked about. The auditor has an
# environment of its own, and asks the package index.
audit: $(INSTALLED)
	test -x build/audit/bin/pip-audit || { $(PY) -m venv build/audit && build/audit/bin/pip install -q pip-audit; }
	$(VENV)/bin/pip freeze --exclude apnt | sed 's/+.*//' > build/audit/installed.txt
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r build/audit/installed.txt

# The library of the CUDA kernels built by nvcc, and loaded; takes no GPU.
cuda: $(INSTALLED)
	APNT_TEST_CUDA_LIBRARY=1 $(VENV)/bin/pytest tests/ops/test_cuda_build.py

# build/lib is cleared because setuptools would put modules deleted since into the wheel.
$(INSTALLED): $(SOURCES)
	test -x $(VENV)/bin/pip || $(PY) -m venv $(VENV)
	rm -rf build/lib* build/bdist*
	$(if $(CPU),$(FETCH_CPU))
	$(VENV)/bin/pip install '.[dev]'
	touch $@

clean:
	rm -rf build dist *.egg-info $(VENV) $(DEMO) .mypy_cache .pytest_cache .ruff_cache .hypothesis
