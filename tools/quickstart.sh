#!/usr/bin/env bash
# From a clone to an AP table: installs what is missing, draws a data set of
# people, trains a small Group Pose on it on the CPU, evaluates it on held-out
# images and draws the results. Takes at most 20 minutes on 2 cores after the
# installation. What an earlier run has finished is not done again.
#
#   bash tools/quickstart.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$(bash tools/install.sh)"

config=configs/body_2d_keypoint/grouppose/drawn/grouppose-fast_tiny-res18_1xb8-3e_drawn-128.py
data=data/drawn_calm
out=work_dirs/quickstart
# Threads wait for each other a little longer than tools/threads.py lets them,
# since nothing else should run meanwhile, see docs/performance.md.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc 2>/dev/null || echo 2)}"
started=$SECONDS

step() { echo && echo "== $* ($(((SECONDS - started) / 60)) min so far)"; }

# Runs a tool with all of its output in a log and what matters on the screen.
run() { # run LOG TOOL ARGUMENTS...
    local log="$out/$1" shown
    shown='Epoch\([a-z]+\).{0,120}|Average .*|[A-Za-z]*(Error|error): .*'
    shift
    "$python" -W ignore "$@" 2>&1 | tee "$log" |
        { grep --line-buffered -oE "$shown" || true; } || {
        echo "quickstart.sh: $1 failed; see the end of $log" >&2
        exit 1
    }
}

step 'Drawing 9,000 training and 300 validation images'
"$python" tools/dataset_converters/draw_people.py "$data" \
    --num-train 9000 --num-val 300 --size 128 --calm

mkdir -p "$out"
step "Training; the whole log is $out/train.log"
run train.log tools/train.py "$config" --work-dir "$out" --resume

checkpoint="$(cat "$out/last_checkpoint")"
step 'Evaluating on held-out images'
run test.log tools/test.py "$config" "$checkpoint" \
    --work-dir "$out/test" --out "$out/metrics.json"

step 'Drawing the results'
"$python" tools/analysis_tools/plot_curves.py "$out" "$out/curves.png"
"$python" -W ignore tools/analysis_tools/show_predictions.py "$config" "$checkpoint" \
    "$out/predictions.png"

cat <<END

Done in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s. Look at:
  $out/predictions.png   truth (left) and predictions (right)
  $out/curves.png        loss and AP while it learned
  $out/metrics.json      the AP table
  $checkpoint
Next, after \`. .venv/bin/activate\` if the installation made it:
  python tools/infer.py $data/val --out work_dirs/poses \\
    --config $config \\
    --checkpoint $checkpoint
  docs/your_own_data.md, a model of your own keypoints in four minutes
  with COCO in data/coco (see README.md): bash tools/dist_train.sh \\
    configs/body_2d_keypoint/grouppose/coco/grouppose_res50_8xb2-60e_coco-800x1333.py 8
END
