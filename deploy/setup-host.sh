#!/bin/sh
# What a workstation's system must have before the Python packages are installed. Silent and offline when all is there.
#   usage: deploy/setup-host.sh [PYTHON]
set -eu
python=${1:-python3}

fail() {
    echo "error: $*" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 || fail "$python: not found; install Python 3.11 or later, or give another: make PYTHON=python3.12"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is $("$python" --version); Python 3.11 or later is needed: make PYTHON=python3.12"

missing=
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
{ command -v pkg-config >/dev/null 2>&1 && pkg-config --exists libsystemd; } || missing="$missing libsystemd-dev"
"$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
    missing="$missing python3-dev"
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null 2>&1 || fail "missing:$missing (Debian's names); install them with this system's package manager"
if [ "$(id -u)" = 0 ]; then
    as_root="env DEBIAN_FRONTEND=noninteractive"
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo env DEBIAN_FRONTEND=noninteractive"
else
    fail "missing:$missing; ask an administrator for: apt-get install$missing"
fi
echo "installing from Debian:$missing"
# shellcheck disable=SC2086 # the list is meant to be split
if ! { $as_root apt-get -qq update && $as_root apt-get -qq install --no-install-recommends $missing >/dev/null; }; then
    fail "apt-get could not install:$missing"
fi
