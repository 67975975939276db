#!/usr/bin/env bash
# Kills a training 20 times and watches the memory over 1000 training steps
# and 1000 images; prints the figures. Takes less than 30 minutes on a CPU.
#
#   bash tools/run_slow_tests.sh [ARGUMENTS OF PYTEST]
#
# `SLOW_TESTS=0.1 bash tools/run_slow_tests.sh` does a tenth of it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$(bash tools/install.sh --dev)"
export SLOW_TESTS="${SLOW_TESTS:-1}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$python" -W ignore -m pytest -q tests/faults/test_faults_slow.py "$@"
