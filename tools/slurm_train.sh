#!/usr/bin/env bash
# slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [ARGUMENTS OF train.py]
#
# Environment variables: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5) and
# SRUN_ARGS, further arguments of srun.
source "$(dirname "${BASH_SOURCE[0]}")/misc/launch.sh"
require_arguments 4 "$@"
slurm_run "$1" "$2" train.py "$3" --work-dir "$4" "${@:5}"
