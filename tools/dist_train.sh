#!/usr/bin/env bash
# dist_train.sh CONFIG NUM_PROCESSES [ARGUMENTS OF train.py]
#
# Trains in several processes, one a GPU; without a GPU they share the CPU.
# On each of several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT.
source "$(dirname "${BASH_SOURCE[0]}")/misc/launch.sh"
require_arguments 2 "$@"
torchrun "$2" train.py "$1" "${@:3}"
