#!/bin/bash
# journald.sh COMMAND...: runs it with a real journald of its own, which nothing outside sees: own mounts, own /run.
exec unshare --mount --propagation private bash -c '
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
if ! [ -s /etc/machine-id ]; then
    tr -d - </proc/sys/kernel/random/uuid >/run/machine-id
    [ -e /etc/machine-id ] || touch /etc/machine-id
    mount --bind /run/machine-id /etc/machine-id
fi
SYSTEMD_LOG_TARGET=console /lib/systemd/systemd-journald 2>/run/journald.err &
journald=$!
for _ in $(seq 200); do [ -S /run/systemd/journal/socket ] && break; sleep 0.02; done
code=0
"$@" || code=$?
kill $journald
wait $journald 2>/dev/null || true
exit $code' bash "$@"
