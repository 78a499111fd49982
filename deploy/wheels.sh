#!/bin/sh
# Fills a folder with the Python packages of a device, for `install.sh --wheels` where there is no network.
#   usage: deploy/wheels.sh FOLDER [MACHINE [PYTHON]]      such as: deploy/wheels.sh wheels aarch64 3.13
# MACHINE: x86_64, aarch64 or armv7l, this machine's own where not given; PYTHON: the device's, 3.11 (Debian 12) where not given.
# For armv7l (32-bit ARM, Python 3.11 alone) what no wheel is for comes from Debian on the device.
set -eu

[ $# -ge 1 ] || {
    sed -n '2,5s/^# *//p' "$0" >&2
    exit 2
}
folder=$1 machine=${2:-$(uname -m)} version=${3:-3.11}
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
# shellcheck source=SCRIPTDIR/installer/arm32.sh
. "$here/deploy/installer/arm32.sh"
case $version in
3.[1-9][0-9]) ;;
*)
    echo "error: $version: a Python is named such as 3.11 (Debian 12) or 3.13 (Debian 13)" >&2
    exit 1
    ;;
esac
fetch() {
    "$python" -m pip --quiet --disable-pip-version-check download --dest "$folder" "$@"
}
locked=$(mktemp)
trap 'rm -f "$locked" "$locked".*' EXIT
case $machine in
x86_64 | aarch64) cat "$here/requirements-edge.lock" ;;
armv7l) arm32_lock "$here/requirements-tflite-runtime.lock" ;;
*)
    echo "error: $machine: a folder of wheels is for x86_64, aarch64 or armv7l" >&2
    exit 1
    ;;
esac >"$locked"

# pip reads `python_full_version < '3.12'` with its own Python, not the device's: here it is answered before.
"$python" - "$locked" "$version" <<'EOT'
import pathlib, re, sys

file, device = pathlib.Path(sys.argv[1]), tuple(map(int, sys.argv[2].split(".")[:2]))
holds = {"<": lambda than: device < than, ">=": lambda than: device >= than}


def answer(found):
    return "python_version >= '3'" if holds[found[1]]((int(found[2]), int(found[3]))) else "python_version < '3'"


text = re.sub(r"python_full_version (<|>=) '(\d+)\.(\d+)'", answer, file.read_text())
if "python_full_version" in text:
    sys.exit(f"error: {file}: a condition that this script cannot answer")
file.write_text(text)
EOT

platforms=
for libc in 2_34 2_31 2_28 2_27 2_17; do platforms="$platforms --platform manylinux_${libc}_$machine"; done
for_device="$platforms --platform manylinux2014_$machine --python-version $version --implementation cp --only-binary=:all:"
# shellcheck disable=SC2086 # words, meant to be split
{
    # What builds the package itself, on the device.
    builders=setuptools
    if [ "$machine" = armv7l ]; then
        lock_of "$arm32_built" "$locked" >"$locked.built"
        lock_without "$arm32_built" "$locked" >"$locked.new"
        mv "$locked.new" "$locked"
        # The sources, and what builds them.
        fetch --no-deps --no-binary=:all: --require-hashes -r "$locked.built"
        builders="$builders|$arm32_builders"
    fi
    fetch $for_device --no-deps --require-hashes -r "$locked"
    lock_of "$builders" "$here/requirements-build.lock" >"$locked.builders"
    fetch $for_device --no-deps --require-hashes -r "$locked.builders"
}
