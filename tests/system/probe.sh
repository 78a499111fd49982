#!/bin/sh
# Writes what a program can do where it runs, one line each, such as `read-home yes`. Run in place of a door opener, it probes the sandbox.
#   usage: probe.sh FILE
exec >"$1.new"
try() {
    what=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "$what yes"; else echo "$what no"; fi
}
try read-own cat /var/lib/facelatch/probe-own
try read-settings cat /etc/facelatch/edge.toml
try read-home cat /home/open
try read-root cat /root/open
try read-shadow cat /etc/shadow
try write-program touch /opt/facelatch/open/file
try see-init test -e /proc/1/stat
try see-tmp test -e /tmp/open
try network python3 -c 'import socket; socket.create_connection(("127.0.0.1", 8080), 5)'
try socket python3 -c 'import socket; socket.socket(socket.AF_INET)'
try namespace unshare --user true
for folder in /var/lib/facelatch /run/facelatch /tmp /dev/shm; do
    try "write-$folder" cp /bin/true "$folder/probe.program"
    try "run-from-$folder" "$folder/probe.program"
    rm -f "$folder/probe.program"
done
try map-code python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)'
try personality setarch --addr-no-randomize true
mv "$1.new" "$1"
