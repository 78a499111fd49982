#!/bin/sh
# Installs what the rig needs from Debian, and fills .wheels with the device's packages; silent if all is there. Only root can have a rig.
# If something cannot be installed, as without a network, it says so and succeeds: the tests are skipped, and each says why.
set -eu
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then exit 0; fi

missing=
for pair in systemd:systemd systemd-nspawn:systemd-container dbus-daemon:dbus unshare:util-linux shellcheck:shellcheck \
    sudo:sudo pamtester:pamtester pkttyagent:polkitd fprintd-verify:fprintd; do
    command -v "${pair%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
# PAM modules are not in PATH. Installing pam_fprintd does not put it to use: Debian's profile for it is off by default.
for pair in pam_systemd.so:libpam-systemd pam_fprintd.so:libpam-fprintd; do
    [ -n "$(find /usr/lib/*/security -name "${pair%:*}" 2>/dev/null)" ] || missing="$missing ${pair#*:}"
done
/usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
/usr/bin/python3 -c 'import systemd.journal' 2>/dev/null || missing="$missing python3-systemd"
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || exit 0
    echo "installing from Debian:$missing"
    # Without a network, the update only warns and succeeds.
    # shellcheck disable=SC2086 # the list is meant to be split
    if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing; } >/dev/null; then
        echo "not to be had:$missing: the tests of the service that need them will be skipped" >&2
    fi
fi
if [ ! -x /usr/bin/python3 ]; then exit 0; fi

version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
stamp=$(cat requirements-edge.lock requirements-build.lock | sha256sum | cut -d ' ' -f 1)-$version
if [ "$(cat .wheels/.ready 2>/dev/null)" != "$stamp" ]; then
    rm -rf .wheels
    if deploy/wheels.sh .wheels "$(uname -m)" "$version"; then
        echo "$stamp" >.wheels/.ready
    else
        echo "no packages to install offline: the tests of the service will be skipped" >&2
    fi
fi
