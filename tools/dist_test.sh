#!/usr/bin/env bash
# dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [ARGUMENTS OF test.py]
#
# Evaluates in several processes, one a GPU; without a GPU they share the CPU.
# On each of several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT.
source "$(dirname "${BASH_SOURCE[0]}")/misc/launch.sh"
require_arguments 3 "$@"
torchrun "$3" test.py "$1" "$2" "${@:4}"
