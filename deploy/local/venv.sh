# Sourced by deploy/up and tests/run: a virtual environment from the hashed requirements, touched only when they
# change. Bash, because nothing of ours can run before it.

fail() {
    echo "$1" >&2
    exit 1
}

# The newest Python that runs (a shim of a version manager may exist and not run) and is new enough.
find_python() {
    local candidate
    for candidate in ${LIFEOS_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed and none is on the PATH. Install it (Debian, Ubuntu: sudo apt-get install -y python3 python3-venv), or set LIFEOS_PYTHON to one."
}

# Debian ships venv without pip unless python3-venv is there; then root installs it and others are told.
make_venv() {
    local python=$1 directory=$2 package said
    rm -rf "$directory"
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$directory"
        return
    fi
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    command -v apt-get >/dev/null || fail "$python has no venv and ensurepip: install Python's venv module for it."
    [ "$(id -u)" = 0 ] || fail "$python has no venv and ensurepip. Run: sudo apt-get install -y $package"
    echo "Installing $package" >&2
    export DEBIAN_FRONTEND=noninteractive
    said=$(apt-get update -qq 2>&1 && apt-get install -y -qq --no-install-recommends "$package" 2>&1) ||
        fail "$package could not be installed: $said"
    "$python" -m venv "$directory"
}

# What the environment was made from: another of these, and it is brought up to date.
stamp_of() {
    echo "$(cat "$2" "$1/pyproject.toml" | cksum) $1"
}

is_current() {
    local requirements
    for requirements in "$2" "$1/deploy/requirements-dev.txt"; do # the developers' file holds all of the other
        [ "$(cat "$1/.venv/lifeos.stamp" 2>/dev/null)" = "$(stamp_of "$1" "$requirements")" ] && return 0
    done
    return 1
}

# prepare ROOT REQUIREMENTS: ROOT/.venv holds REQUIREMENTS (hashes enforced) and this project.
prepare() {
    is_current "$1" "$2" && return
    # Two starts at once in one clone: the second waits, and finds the work done.
    exec 9<"$1"
    if command -v flock >/dev/null; then flock 9; fi
    is_current "$1" "$2" || build "$1" "$2"
    exec 9<&-
}

build() {
    local root=$1 requirements=$2 venv=$1/.venv python
    python=$(find_python) || exit 1
    # Its scripts name its place, so a clone that was moved starts again.
    if [ "$(cat "$venv/lifeos.root" 2>/dev/null)" != "$root" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        make_venv "$python" "$venv" || fail "$python could not make $venv."
        echo "$root" >"$venv/lifeos.root"
    fi
    rm -f "$venv/lifeos.stamp"
    pip_install "$venv" "$(grep -c '^[a-z]' "$requirements") pinned dependencies" --require-hashes -r "$requirements"
    pip_install "$venv" "this project" --no-deps --no-build-isolation -e "$root"
    stamp_of "$root" "$requirements" >"$venv/lifeos.stamp"
}

# pip_install VENV WHAT ARGUMENTS...: a counter where somebody watches, and pip's words where it fails.
pip_install() {
    local venv=$1 what=$2 log=$1/lifeos.log status=0
    shift 2
    [ -t 2 ] || echo "Installing $what" >&2
    # Joined by ||, or set -e would end us here, before a word of why.
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@" 2>&1 | tee "$log" |
        count "$what" || status=${PIPESTATUS[0]}
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    [ "$status" = 0 ] && return
    tail -n 15 "$log" >&2
    fail "The dependencies could not be installed; all of what pip said is in $log."
}

# count WHAT: what pip says, as one line that grows no wider than the terminal.
count() {
    local count=0 line said columns
    columns=$(stty size <&2 2>/dev/null) || true
    columns=${columns#* }
    [ "${columns:-0}" -gt 0 ] || columns=80
    while read -r line; do
        case $line in Collecting*) count=$((count + 1)) ;; Installing\ *) ;; *) continue ;; esac
        printf -v said 'Installing %s: %d, %s' "$1" "$count" "${line% (from *}"
        if [ -t 2 ]; then printf '\r\033[K%s' "${said:0:columns-1}" >&2; fi
    done
}
