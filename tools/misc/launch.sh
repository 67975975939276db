# Sourced by the scripts that start jobs. Exports a PYTHONPATH on
# which projects.grouppose is found.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

# The active Python if it has MMPose, else the one of tools/install.sh.
find_python() {
    local name
    for name in python python3 "$root"/.venv{,-modern}/bin/python; do
        if "$name" -c 'import importlib.util as util, sys
sys.exit(util.find_spec("mmpose") is None)' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "$0: no Python with MMPose found: activate its environment, or run" \
        "'bash tools/install.sh' first" >&2
    return 1
}

# Checks the number of arguments; the usage is the caller's second line.
require_arguments() { # require_arguments MINIMUM ARGUMENTS...
    if [ $(($# - 1)) -lt "$1" ]; then
        sed -n '2s/^# /usage: /p' "$0" >&2
        exit 2
    fi
}

# Runs one of tools/*.py in several processes on this machine, or on each of
# NNODES machines.
torchrun() { # torchrun NUM_PROCESSES TOOL ARGUMENTS...
    local processes="$1" tool="$2" nodes="${NNODES:-1}" port="${PORT:-}"
    local python
    shift 2
    if ! [[ $processes =~ ^[1-9][0-9]*$ ]]; then
        echo "$0: NUM_PROCESSES must be a positive number, not '$processes'" >&2
        exit 2
    fi
    python="$(find_python)"
    if [ -z "$port" ] && [ "$nodes" -eq 1 ]; then
        port="$("$python" -c 'import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])')"
    fi
    # Several machines must agree on the port without asking each other.
    OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" \
        exec "$python" -m torch.distributed.run \
        --nnodes "$nodes" \
        --node_rank "${NODE_RANK:-0}" \
        --master_addr "${MASTER_ADDR:-127.0.0.1}" \
        --master_port "${port:-29500}" \
        --nproc_per_node "$processes" \
        "$root/tools/$tool" "$@" --launcher pytorch
}

# Runs one of tools/*.py in GPUS tasks of a Slurm job.
slurm_run() { # slurm_run PARTITION JOB_NAME TOOL ARGUMENTS...
    local partition="$1" job="$2" tool="$3" gpus="${GPUS:-8}"
    local per_node="${GPUS_PER_NODE:-8}" options python
    shift 3
    python="$(find_python)"
    [ "$per_node" -le "$gpus" ] || per_node="$gpus"
    read -ra options <<<"${SRUN_ARGS:-}"
    set -x
    exec srun -p "$partition" \
        --job-name="$job" \
        --gres="gpu:$per_node" \
        --ntasks="$gpus" \
        --ntasks-per-node="$per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        ${options[@]+"${options[@]}"} \
        "$python" -u "$root/tools/$tool" "$@" --launcher slurm
}
