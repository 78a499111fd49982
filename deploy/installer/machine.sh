# Of deploy/install.sh: doing or only saying, in this system or another; and what a machine must have. Sourced, not run.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are shared with install.sh and the other parts

# Runs a command that changes the system, or only shows it.
do_() {
    if [ "$dry_run" = yes ]; then
        echo "would: $*"
    else
        "$@"
    fi
}

# Runs a command in the system that is installed into, whose own Python and Debian it is. The mounts end with the command.
in_root() {
    if [ -z "$root" ]; then
        "$@"
    else
        # shellcheck disable=SC2016 # expanded by the inner shell
        unshare --mount --propagation private sh -euc '
            root=$1 wheels=$2
            shift 2
            mount --rbind /dev "$root/dev"
            mount -t proc proc "$root/proc"
            mount -t tmpfs tmpfs "$root/run"
            if [ -f "$root/etc/resolv.conf" ] && [ -f /etc/resolv.conf ]; then mount --bind /etc/resolv.conf "$root/etc/resolv.conf"; fi
            if [ -n "$wheels" ]; then mkdir "$root/run/wheels" && mount --bind "$wheels" "$root/run/wheels"; fi
            exec chroot "$root" "$@"' in_root "$root" "$wheels" "$@"
    fi
}

do_in_root() {
    if [ "$dry_run" = yes ]; then
        echo "would${root:+ in $root}: $*"
    else
        in_root "$@"
    fi
}

# Whether there is a running system to talk to: not in an image, not in a container without systemd.
live() {
    [ -z "$root" ] && [ -d /run/systemd/system ]
}

# Whether Debian's package of the same name is installed, or half so, which has the same units, folders and user.
packaged() {
    # shellcheck disable=SC2016 # dpkg-query's own variable
    in_root dpkg-query --show --showformat='${Status}' facelatch 2>/dev/null | grep -Eqv ' (not-installed|config-files)$'
}

check_machine() {
    [ -x "$root$python" ] || fail "$root$python: not found; apt-get install python3"
    in_root "$python" -c '' 2>/dev/null || fail "$root: its programs do not run here; for another kind of processor apt-get install qemu-user-static"
    in_root "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$(in_root "$python" --version) is too old; Debian 12 or later has 3.11"
    machine=$(in_root uname -m)
    # A 64-bit kernel under a 32-bit system, as Raspberry Pi OS has it: the interpreter counts.
    [ "$machine" != aarch64 ] || in_root "$python" -c 'import sys; sys.exit(sys.maxsize < 2**32)' || machine=armv7l
    case $machine in
    x86_64 | aarch64) lock=requirements-edge.lock ;;
    armv7l)
        in_root "$python" -c 'import sys; sys.exit(sys.version_info[:2] > (3, 11))' ||
            fail "32-bit ARM needs Python 3.11 (Debian 12): the only runtime with wheels for it is built for that; or use a 64-bit system"
        lock=requirements-tflite-runtime.lock
        ;;
    armv6l) fail "a processor of ARMv6 (Raspberry Pi 1, Zero, Zero W): no TFLite runtime has wheels for it" ;;
    *) fail "$machine: no TFLite runtime has wheels for this machine" ;;
    esac
    if packaged; then
        fail "the Debian package facelatch is installed; upgrade that by apt, or first: apt-get remove facelatch"
    fi
}

# Debian's own systemd-python spares a compiler; the environment sees it as a system package.
need_packages() {
    missing=
    in_root "$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
    in_root "$python" -c 'import systemd.journal' 2>/dev/null || missing="$missing python3-systemd"
    if [ "$machine" = armv7l ] && ! in_root "$python" -c "import $arm32_modules" 2>/dev/null; then missing="$missing $arm32_debian"; fi
    [ -n "$missing" ] || return 0
    echo "installing from Debian:$missing"
    # shellcheck disable=SC2086 # the list is meant to be split
    do_in_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing ||
        fail "apt-get could not install:$missing; try apt-get update first"
}
