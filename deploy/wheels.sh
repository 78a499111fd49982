#!/bin/sh
# Fills a folder with the Python packages of a device, for `install.sh --wheels` where there is no network.
#   usage: deploy/wheels.sh FOLDER [MACHINE [PYTHON]]      such as: deploy/wheels.sh wheels aarch64 3.13
# MACHINE: x86_64 or aarch64, this machine's own where not given; PYTHON: the device's, 3.11 (Debian 12) where not given.
# 32-bit ARM has no such folder: numpy and OpenCV have no wheels for it but those that Raspberry Pi OS itself is set up to find.
set -eu

[ $# -ge 1 ] || {
    sed -n '2,5s/^# *//p' "$0" >&2
    exit 2
}
folder=$1 machine=${2:-$(uname -m)} version=${3:-3.11}
here=$(cd "$(dirname "$0")/.." && pwd)
pip="${PYTHON:-python3} -m pip --quiet --disable-pip-version-check download --dest $folder --only-binary=:all:"
case $machine in
x86_64 | aarch64) ;;
*)
    echo "error: $machine: a folder of wheels is for x86_64 or aarch64" >&2
    exit 1
    ;;
esac
platforms=
for libc in 2_34 2_28 2_27 2_17; do platforms="$platforms --platform manylinux_${libc}_$machine"; done
# shellcheck disable=SC2086 # words, meant to be split
{
    $pip $platforms --platform "manylinux2014_$machine" --python-version "$version" --implementation cp --require-hashes -r "$here/requirements-edge.lock"
    # What builds the package itself, on the device.
    $pip "$(sed -n 's/^requires = \["\(.*\)"\]/\1/p' "$here/pyproject.toml")"
}
