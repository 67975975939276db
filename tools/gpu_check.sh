#!/usr/bin/env bash
# Checks and measures the project on a machine with one GPU, in at most seven
# minutes: golden numbers, tests, precision, speed, memory, training, resuming.
#
#   bash tools/gpu_check.sh OUT [ARGUMENTS OF benchmarks/gpu_check.py]
#
# OUT gets gpu_check.md, gpu_check.json and gpu_check.log, written as it goes.
# `bash tools/gpu_check.sh OUT --rehearse` runs the same steps on the CPU with
# tiny models. Needs the plugin's requirements and pytest.
set -euo pipefail

if [ $# -lt 1 ] || [[ $1 == -* ]]; then
    echo 'usage: bash tools/gpu_check.sh OUT [--rehearse] [--limit SECONDS]' \
        '[--steps STEP ...]' >&2
    exit 2
fi
mkdir -p "$1"
out="$(cd "$1" && pwd)"
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$(command -v python || command -v python3)"
exec "$python" -W ignore benchmarks/gpu_check.py --out "$out" "$@"
