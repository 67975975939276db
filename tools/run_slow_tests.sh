#!/usr/bin/env bash
# Kills a training 20 times, watches the memory over 1000 training steps and
# 1000 images, takes real annotation files from their description to ONNX, and
# trains on three formats of labeling tools; prints the figures. Takes less
# than an hour on a CPU.
#
#   bash tools/run_slow_tests.sh [ARGUMENTS OF PYTEST]
#
# `SLOW_TESTS=0.1 bash tools/run_slow_tests.sh` does a tenth of it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$(bash tools/install.sh --dev)"
export SLOW_TESTS="${SLOW_TESTS:-1}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$python" -W ignore -m pytest -q tests/*/test_*_slow.py "$@"
