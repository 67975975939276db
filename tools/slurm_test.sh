#!/usr/bin/env bash
# slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [ARGUMENTS OF test.py]
#
# Environment variables: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5) and
# SRUN_ARGS, further arguments of srun.
source "$(dirname "${BASH_SOURCE[0]}")/misc/launch.sh"
require_arguments 4 "$@"
slurm_run "$1" "$2" test.py "$3" "$4" "${@:5}"
