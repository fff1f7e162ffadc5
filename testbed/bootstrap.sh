#!/bin/sh
# Makes the Python environment that everything else runs in, and prints the path of its python.
# Needs Python >= 3.11; installs what Debian lacks for it. It writes to the cache folder only, never into the clone.
set -eu

say() { echo "$*" >&2; }
fail() { say "setup: $*"; exit 1; }

here=$(cd "$(dirname "$0")/.." && pwd)
lock="$here/requirements/dev.txt"
python=$(command -v python3) || fail "python3 is missing: install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is too old: install Python 3.11 or newer"

version=$("$python" -c 'import platform; print(platform.python_implementation(), platform.python_version(), platform.machine())')
hash=$({ echo "$version"; cat "$lock"; } | sha256sum | cut -c1-16)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/headrace"
target="$cache/venv-$hash"
if [ -x "$target/bin/python" ] && [ -e "$target/complete" ]; then
    echo "$target/bin/python"
    exit
fi

install_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "please install, as root: apt-get install $*"
    fi
    say "installing Debian packages: $*"
    { apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "$@"; } \
        </dev/null >"$cache/apt.log" 2>&1 || fail "apt-get failed, see $cache/apt.log"
}

mkdir -p "$cache/locks"
exec 9>"$cache/locks/venv"
if ! "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'; then
    fail "cannot lock $cache/locks/venv"
fi
if [ ! -e "$target/complete" ]; then
    packages=""
    # Debian splits what `venv` needs off its Python; an interpreter from elsewhere has it
    "$python" -c 'import ensurepip, venv' 2>/dev/null || packages="python3-venv"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
    # shellcheck disable=SC2086  # a list of packages
    [ -z "$packages" ] || install_packages $packages
    say "making the Python environment (once): $target"
    # a venv cannot be moved, so the mark `complete` tells a finished one from one that was interrupted
    rm -rf "$target"
    "$python" -m venv "$target"
    "$target/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --requirement "$lock" >&2 \
        || fail "pip cannot install requirements/dev.txt"
    touch "$target/complete"
fi
echo "$target/bin/python"
