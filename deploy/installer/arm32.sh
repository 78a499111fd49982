# Of deploy/install.sh and deploy/wheels.sh: what is different on 32-bit ARM. Sourced, not run.
# shellcheck shell=sh
# shellcheck disable=SC2034 # variables are shared with what sources this

# For it the index has no wheels of OpenCV, numpy and cffi, but Debian has packages: older ones, which the device's tests pass with.
arm32_debian='python3-numpy python3-opencv python3-cryptography'
arm32_modules='cryptography, cv2, numpy'

# Nor has it one of dbus-fast, and Debian's is too old: this is built on the device as plain Python, which needs no compiler.
arm32_built=dbus-fast
arm32_builders='cython|packaging|poetry-core|wheel'
export SKIP_CYTHON=1

# A lock file's lines of some packages, and those of all others. NAMES are given with | between them.
lock_of() {
    awk -v names="^($1)\$" '/^[a-z]/ { name = $1; sub(/==.*/, "", name); found = name ~ names } found' "$2"
}

lock_without() {
    awk -v names="^($1)\$" '/^[a-z]/ { name = $1; sub(/==.*/, "", name); found = name ~ names } !found' "$2"
}

# The lock file less what Debian brings and what only that needs.
arm32_lock() {
    lock_without 'cffi|cryptography|numpy|opencv-python-headless|pycparser' "$1"
}
