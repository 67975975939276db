#!/usr/bin/env bash
# Finds or makes the Python environment that the project runs in.
#
#   python="$(bash tools/install.sh)"         to run the model
#   python="$(bash tools/install.sh --dev)"   and tests, formatters, documentation
#   bash tools/install.sh --stack modern      on current PyTorch and NumPy 2
#
# Prints the path of the Python to use on stdout, and progress on stderr.
#
# - An active environment in which MMPose works is used as it is. Nothing is
#   ever installed into it: what it lacks for --dev goes to .install/overlay,
#   a virtual environment that sees the active one's packages.
# - Otherwise a pinned stack is installed into a virtual environment. It can be
#   interrupted at any moment and goes on when it is run again.
#     classic  .venv, Python 3.9 to 3.11: torch 2.1 and NumPy 1, the versions
#              that MMPose was released for (requirements/); the default
#     modern   .venv-modern, Python 3.11 or 3.12: torch 2.11, NumPy 2 and the
#              maintained forks onedl-mm* (requirements/modern/)
# - With --stack, an active environment of the other stack is not used.
#
# Environment variables:
#   STACK           the same as --stack, for scripts that call this one
#   PYTHON          makes the virtual environment (default: the first one found)
#   PIP_FIND_LINKS  places with built wheels, for instance of mmcv (and
#                   whatever else pip listens to)
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
state="$root/.install" # logs, the lock, marks of what has been checked
overlay="$state/overlay"
environment="$root/tools/misc/environment.py"
dev_requirements=(requirements/dev.txt requirements/docs.txt
    requirements/deployment.txt requirements/labeling.txt)
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

usage_error() {
    echo "install.sh: $* (see --help)" >&2
    exit 2
}

dev=false
wanted="${STACK:-}" # empty: whichever works
while [ $# -gt 0 ]; do
    case "$1" in
        --dev) dev=true ;;
        --stack)
            wanted="${2:-}"
            [ -n "$wanted" ] || usage_error '--stack needs classic or modern'
            shift
            ;;
        -h | --help)
            sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
            exit 0
            ;;
        *) usage_error "unknown argument '$1'" ;;
    esac
    shift
done
# Once activated, the modern environment need not be asked for.
[ -n "$wanted" ] || ! [ "${VIRTUAL_ENV:-}" -ef "$root/.venv-modern" ] ||
    wanted=modern

stack="${wanted:-classic}"
case "$stack" in
    classic)
        venv="$root/.venv"
        pins=requirements
        pythons=(3.11 3.10 3.9)
        ;;
    modern)
        venv="$root/.venv-modern"
        pins=requirements/modern
        pythons=(3.11 3.12)
        ;;
    *) usage_error "no stack '$stack': it is classic or modern" ;;
esac
requirements=("$pins/runtime.txt" "$pins/openmmlab.txt"
    "${dev_requirements[@]}")

exec 3>&1 1>&2 # keep stdout for the answer

say() { echo "[install] $*"; }

die() { # die MESSAGE [REMEDY]
    say "FAILED: $1"
    [ -z "${2:-}" ] || say "  remedy: $2"
    exit 1
}

interrupted() {
    echo
    say 'interrupted; run it again to go on from here'
    exit 130
}
trap interrupted INT TERM

# Runs a command with its output in a log and reports the time it took.
stage() { # stage LOG TEXT COMMAND...
    log="$state/$1.log"
    local text="$2" start=$SECONDS
    shift 2
    printf '[install] %s ... ' "$text"
    if "$@" >"$log" 2>&1 </dev/null; then
        echo "$((SECONDS - start)) s"
    else
        echo "no, after $((SECONDS - start)) s"
        return 1
    fi
}

# Ends with the few lines of the last stage's log that say what went wrong.
die_of_log() { # die_of_log WHAT
    local remedy
    say "FAILED: $1"
    { grep -E '^ *([A-Za-z.]*(ERROR|Error)|error|fatal error)\b' "$log" ||
        tail -n 3 "$log"; } | grep -v 'ERROR: Ignored' | tail -n 3 | cut -c 1-160 | sed 's/^ */[install]   /'
    if grep -q 'No space left' "$log"; then
        remedy='free some disk space (all of it takes 6 GB) and run it again'
    elif grep -q 'Python.h: No such file' "$log"; then
        remedy="install Python's headers (package python3-dev), run it again"
    elif grep -qE 'No matching distribution|Could not fetch|Connection' \
        "$log"; then
        remedy='see that pip reaches a package index that has it; run it again'
    elif grep -qE "command .*(gcc|g\+\+|cc|c\+\+|ninja).* failed" "$log"; then
        remedy='see that a C++ compiler works (package g++), run it again'
    else
        remedy='see the log; what is installed is kept for the next run'
    fi
    say "  remedy: $remedy"
    say "  log: $log"
    exit 1
}

# One installation at a time: a second one waits, then finds the work done.
lock() {
    mkdir -p "$state"
    command -v flock >/dev/null || return 0
    exec 9>"$state/lock"
    if ! flock -n 9; then
        say 'another installation is running in this clone; waiting for it'
        flock 9
    fi
}

try_import() { # try_import PYTHON
    "$1" -c 'import mmcv.ops, mmpose.apis, mmpose.datasets, mmpose.evaluation
import mmpose.models, xtcocotools.coco, pycocotools.coco'
}

# --- An active environment -------------------------------------------------

# Sets `active` to the Python of a working MMPose environment on PATH.
find_active() {
    local name candidate prefix absent mark tried=' '
    active=''
    for name in python python3; do
        candidate="$("$name" -c 'import sys; print(sys.executable)' \
            2>/dev/null)" || continue
        prefix="$("$candidate" -c 'import sys; print(sys.prefix)')"
        # The project's own do not count.
        case " $root/.venv $root/.venv-modern $overlay $tried" in
            *" $prefix "*) continue ;;
        esac
        tried="$tried$prefix "
        absent="$("$candidate" "$environment" missing 2>/dev/null)" || continue
        case "$absent" in
            '') ;;
            *mmpose*) continue ;; # not an environment for MMPose at all
            *)
                say "not using $prefix: it has MMPose, but lacks $absent"
                continue
                ;;
        esac
        if [ -n "$wanted" ] &&
            [ "$("$candidate" "$environment" stack)" != "$wanted" ]; then
            say "not using $prefix: it is not of the $wanted stack"
            continue
        fi
        mark="$state/works-$("$candidate" "$environment" fingerprint)"
        if [ ! -e "$mark" ]; then
            mkdir -p "$state"
            if ! stage active "trying the active environment $prefix" \
                try_import "$candidate"; then
                say "not using it: $(tail -n 1 "$log" | cut -c 1-160)"
                continue
            fi
            touch "$mark"
        fi
        active="$candidate"
        return
    done
}

# Adds what the active environment lacks for --dev, outside of it. Sets
# `answer` to the Python that has both.
add_dev_tools() {
    local mark
    answer="$active"
    [ -n "$("$active" "$environment" unmet "${dev_requirements[@]}")" ] ||
        return 0
    answer="$overlay/bin/python"
    mark="$("$active" "$environment" fingerprint "${dev_requirements[@]}")"
    [ "$(cat "$overlay/mark" 2>/dev/null)" != "$mark" ] || return 0
    lock
    [ "$(cat "$overlay/mark" 2>/dev/null)" != "$mark" ] || return 0
    stage overlay 'test tools, beside the active environment' make_overlay ||
        die_of_log "cannot install ${dev_requirements[*]}"
    echo "$mark" >"$overlay/mark"
}

make_overlay() {
    local pip=() packages folders
    rm -rf "$overlay" || return
    # The active environment's pip serves both, where it has one.
    ! "$active" -m pip --version || pip=(--without-pip)
    "$active" -m venv ${pip[@]+"${pip[@]}"} "$overlay" || return
    packages="$("$answer" -c \
        'import sysconfig; print(sysconfig.get_path("purelib"))')" || return
    folders="$("$active" "$environment" site-folders)" || return
    echo "import site; list(map(site.addsitedir, $folders))" \
        >"$packages/active.pth"
    "$answer" -m pip install "${dev_requirements[@]/#/-r}"
}

# --- The project's own environment -----------------------------------------

# Sets `base` to a Python that can make the virtual environment.
find_base() {
    local name version seen='' range="${pythons[*]}" remedy
    for name in ${PYTHON:-${pythons[@]/#/python} python3 python}; do
        version="$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' \
            2>/dev/null)" || continue
        case " $range " in
            *" $version "*)
                base="$name"
                return
                ;;
        esac
        seen="$seen, $name is $version"
    done
    remedy='install Python 3.11, or name one: PYTHON=/path/to/python3.11'
    [ "$stack" = modern ] || remedy="$remedy; --stack modern takes 3.12, too"
    die "the $stack stack needs Python ${range// / or }, and none was \
found${seen:+ (${seen#, })}" "$remedy"
}

make_venv() {
    # .making says that this folder is ours, also when the next step is cut.
    if [ -e "$venv/.making" ]; then
        rm -rf "$state/unfinished"
        mv "$venv" "$state/unfinished"
        rm -rf "$state/unfinished"
    fi
    [ ! -e "$venv/.made-by-installer" ] || return 0
    [ ! -e "$venv" ] ||
        die "$venv exists, was not made by this script and MMPose does not work in it" \
            'move it away'
    find_base
    # Atomic, so that .venv never exists without its mark.
    rm -rf "$state/new"
    mkdir -p "$state/new"
    touch "$state/new/.making"
    mv "$state/new" "$venv"
    stage venv "a virtual environment in ${venv##*/}, of $base" \
        "$base" -m venv "$venv" || {
        tail -n 3 "$log"
        die "$base cannot make a virtual environment" \
            "install its venv module (Debian, Ubuntu: apt-get install $(
                "$base" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')-venv)"
    }
    mv "$venv/.making" "$venv/.made-by-installer"
}

pip() { "$own" -m pip "$@"; }

lacks() { # lacks MODULE: is it not installed, or without its operators?
    case ", $("$own" "$environment" missing)" in
        *", $1"*) return 0 ;;
        *) return 1 ;;
    esac
}

install_mmcv() {
    local mmcv name torch cuda places
    mmcv="$(grep -E '^(onedl-)?mmcv==' "$pins/openmmlab.txt")"
    name="${mmcv%%==*}"
    "$own" "$environment" unmet "$pins/openmmlab.txt" | grep -q "$mmcv" ||
        lacks mmcv || return 0

    stage mmcv-wheel "$mmcv, from a wheel that pip finds" \
        pip install --no-deps --only-binary "$name" --force-reinstall "$mmcv" &&
        return

    torch="$("$own" -c 'import torch; print(torch.__version__.split("+")[0])')"
    cuda="$("$own" -c 'import torch; print(torch.version.cuda or "")')"
    cuda="${cuda:+cu${cuda//./}}"
    cuda="${cuda:-cpu}"
    # The two publish theirs in different ways.
    if [ "$name" = mmcv ]; then
        places=(--no-index --find-links "https://download.openmmlab.com/mmcv/\
dist/$cuda/torch${torch%.*}/index.html")
    else
        places=(--index-url \
            "https://mmwheels.onedl.ai/$cuda-torch${torch//./}/simple/")
    fi
    stage mmcv-published "$mmcv, from its makers' wheels for torch $torch, $cuda" \
        pip install --no-deps --only-binary "$name" --force-reinstall \
        --timeout 15 --retries 1 "${places[@]}" "$mmcv" && return

    build_mmcv "$mmcv"
}

# Builds in a folder that stays, so that what is compiled is not compiled
# again after an interruption.
build_mmcv() { # build_mmcv NAME==VERSION
    local folder="$state/mmcv" module source problem
    module="${1%%==*}"
    module="${module//-/_}" # what it is called in the names of files
    source="$folder/$module-${1##*==}"
    problem="$("$own" - 2>"$state/mmcv-needs.log" <<'PYTHON'
import shutil, sysconfig
from pathlib import Path
import torch
from torch.utils.cpp_extension import CUDA_HOME
if not any(map(shutil.which, ('c++', 'g++', 'clang++'))):
    print('a C++ compiler (package g++)')
elif not Path(sysconfig.get_path('include'), 'Python.h').exists():
    print('the headers of Python (package python3.11-dev or the like)')
elif torch.cuda.is_available() and CUDA_HOME is None:
    print(f'the CUDA {torch.version.cuda} toolkit (nvcc), for this GPU')
PYTHON
)"
    [ -z "$problem" ] || die "$1 must be built from source, which needs \
$problem" 'install that, or let pip reach its makers'\'' wheels'
    mkdir -p "$folder"
    stage mmcv-tools 'tools to build mmcv' pip install ninja psutil wheel ||
        die_of_log 'cannot install ninja and psutil'
    if [ ! -e "$source" ]; then
        stage mmcv-source "the source of $1" fetch_mmcv "$1" ||
            die_of_log "cannot download the source of $1"
    fi
    say "building $1 takes about half an hour on 2 cores; watch it with"
    say "  tail -f $state/mmcv-build.log"
    stage mmcv-build "$1, from source" env MMCV_WITH_OPS=1 \
        "$own" -m pip wheel --verbose --use-pep517 --no-deps \
        --no-build-isolation --wheel-dir "$folder" "$source" ||
        die_of_log "cannot build $1"
    stage mmcv "$1, as built" \
        pip install --no-deps --force-reinstall "$folder/$module"-*.whl ||
        die_of_log "cannot install $1"
    say "  its wheel is kept in $folder; name that folder in PIP_FIND_LINKS"
    say '  to spare another clone the build'
}

fetch_mmcv() {
    rm -rf "$folder/download"
    pip download --no-deps --no-binary "${1%%==*}" --no-build-isolation \
        --dest "$folder/download" "$1" || return
    tar -xzf "$folder"/download/*.tar.gz -C "$folder/download" || return
    mv "$folder/download/${source##*/}" "$source"
}

install_venv() {
    local started=$SECONDS
    lock
    ! venv_is_ready || return 0
    say "no environment with a working MMPose is active: installing the" \
        "$stack stack into ${venv##*/}"
    # What else is on these paths must not pass for installed.
    unset PYTHONPATH PYTHONHOME
    make_venv
    "$own" "$environment" drop-incomplete >"$state/dropped.log"
    stage base 'torch, MMEngine and the rest (2.5 GB if pip has none cached)' \
        pip install -r "$pins/runtime.txt" "${dev_requirements[@]/#/-r}" ||
        die_of_log "cannot install $pins/runtime.txt, ${dev_requirements[*]}"
    install_mmcv
    stage openmmlab 'mmdet and mmpose' \
        pip install --no-deps --no-build-isolation -r "$pins/openmmlab.txt" ||
        die_of_log "cannot install $pins/openmmlab.txt"
    stage import 'trying them' try_import "$own" ||
        die_of_log "MMPose is in ${venv##*/} now, but importing it fails"
    venv_mark >"$venv/.installed"
    say "ready in $((SECONDS - started)) s: $own"
}

venv_mark() { "$own" "$environment" fingerprint "${requirements[@]}"; }

venv_is_ready() {
    [ -e "$venv/.made-by-installer" ] && [ -e "$venv/.installed" ] &&
        [ "$(cat "$venv/.installed")" = "$(venv_mark)" ]
}

# ---------------------------------------------------------------------------

own="$venv/bin/python"
find_active
if [ -n "$active" ]; then
    answer="$active"
    ! $dev || add_dev_tools
else
    venv_is_ready || install_venv
    answer="$own"
fi
echo "$answer" >&3
