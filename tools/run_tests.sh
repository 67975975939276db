#!/usr/bin/env bash
# Installs what is missing, checks the style and the types of the code, builds
# the documentation and runs the tests.
#
#   bash tools/run_tests.sh [ARGUMENTS OF PYTEST]
#
# For instance `bash tools/run_tests.sh -k matcher -x`. Needs no GPU.
# `STACK=modern bash tools/run_tests.sh` does all of it on current PyTorch and
# NumPy 2; see `bash tools/install.sh --help`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$(bash tools/install.sh --dev)"

# A process per core, each with a thread: small tensors gain nothing from more.
cores="$("$python" -c 'import os; print(min(4, os.cpu_count() or 1))')"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

folders=()
for folder in projects configs tools benchmarks tests; do
    [ ! -d "$folder" ] || folders+=("$folder")
done

failed=()
lint() { # lint TOOL ARGUMENTS...
    echo "== $1"
    "$python" -m "$@" || failed+=("$1")
}
lint flake8 "${folders[@]}"
lint isort --check-only --diff "${folders[@]}"
lint yapf --diff --recursive "${folders[@]}"
lint mypy -p projects.grouppose
if [ ${#failed[@]} -gt 0 ]; then
    echo "run_tests.sh: the code does not pass: ${failed[*]}. isort and yapf" \
        "can repair theirs:" >&2
    echo "  $python -m isort ${folders[*]}" >&2
    echo "  $python -m yapf --in-place --recursive ${folders[*]}" >&2
    exit 1
fi

echo '== mkdocs'
"$python" -m mkdocs build --strict

echo '== pytest'
"$python" -m pytest --numprocesses="$cores" --dist=loadfile \
    --cov=projects/grouppose --cov=tools --cov=benchmarks --cov-report=term "$@"
