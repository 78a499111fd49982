#!/bin/sh
# Installs facelatch as a service on Raspberry Pi OS or another Debian 12 or 13, upgrades it, or takes it out again.
set -eu

usage() {
    cat <<'EOF'
usage: sudo deploy/install.sh [--model FILE] [--wheels FOLDER] [--dry-run]
       sudo deploy/install.sh --uninstall | --purge [--dry-run]

  --model FILE      a model of your own, made by `python -m export tflite --quantize`, instead of the one that comes along;
                    goes to /etc/facelatch/model.tflite, and edge.toml names it
  --wheels FOLDER   install the Python packages from this folder, without a network; filled elsewhere by
                    pip download -d FOLDER -r requirements-edge.lock 'setuptools>=77'
  --dry-run         say what would be done, and do nothing
  --uninstall       take out the service and the program; settings, model and templates stay
  --purge           take out everything, templates too, and the service's user

An upgrade is the same command again: settings, model and templates stay, and the program before it is kept as /opt/facelatch/previous.
EOF
}

fail() {
    echo "error: $*" >&2
    exit 1
}

# Runs a command that changes the system, or only shows it.
do_() {
    if [ "$dry_run" = yes ]; then
        echo "would: $*"
    else
        "$@"
    fi
}

here=$(cd "$(dirname "$0")/.." && pwd)

# Names the administrator's own model in edge.toml, whatever else is there.
use_model() {
    toml=$settings/edge.toml line="path = \"$settings/model.tflite\""
    cp "$toml" "$toml.new"
    if ! grep -q '^\[model\]' "$toml.new"; then
        printf '\n[model]\n%s\n' "$line" >>"$toml.new"
    elif sed -n '/^\[model\]/,/^\[[^m]/p' "$toml.new" | grep -q '^path *='; then
        sed -i "/^\[model\]/,/^\[[^m]/ s|^path *=.*|$line|" "$toml.new"
    else
        sed -i "/^\[model\]/a $line" "$toml.new"
    fi
    mv -f "$toml.new" "$toml"
}

action=install model='' wheels='' dry_run=no
while [ $# -gt 0 ]; do
    case $1 in
    --model | --wheels)
        [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; usage >&2; exit 2; }
        if [ "$1" = --model ]; then model=$2; else wheels=$2; fi
        shift
        ;;
    --dry-run) dry_run=yes ;;
    --uninstall) action=uninstall ;;
    --purge) action=purge ;;
    -h | --help) usage; exit 0 ;;
    *) echo "error: $1: no such option" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

prefix=/opt/facelatch
settings=/etc/facelatch
unit=/etc/systemd/system/facelatch.service
python=/usr/bin/python3

[ "$dry_run" = yes ] || [ "$(id -u)" = 0 ] || fail "must be root: sudo $0"
[ -z "$model" ] || [ -f "$model" ] || fail "$model: no such model file"
[ -z "$wheels" ] || [ -d "$wheels" ] || fail "$wheels: no such folder of wheels"

take_out() {
    if [ -e "$unit" ] && [ -d /run/systemd/system ]; then
        do_ systemctl disable --now facelatch.service
    fi
    do_ rm -f "$unit" /usr/lib/sysusers.d/facelatch.conf /usr/lib/systemd/catalog/facelatch.catalog /usr/local/bin/edge
    do_ journalctl --update-catalog
    [ ! -d /run/systemd/system ] || do_ systemctl daemon-reload
    do_ rm -rf "$prefix"
    if [ "$action" = purge ]; then
        do_ rm -rf "$settings" /var/lib/facelatch
        if id facelatch >/dev/null 2>&1; then
            do_ userdel facelatch
        fi
        echo "facelatch, its settings, its model, all templates and its user are taken out"
    else
        echo "facelatch is taken out; $settings and /var/lib/facelatch stay (--purge removes them too)"
    fi
}

if [ "$action" != install ]; then
    take_out
    exit 0
fi

[ -x "$python" ] || fail "$python: not found; apt-get install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$("$python" --version) is too old; Debian 12 or later has 3.11"
case $(uname -m) in
x86_64 | aarch64) lock=requirements-edge.lock ;;
armv7l | armv6l)
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] > (3, 11))' ||
        fail "32-bit ARM needs Python 3.11 (Debian 12): the only runtime with wheels for it is built for that; or use a 64-bit system"
    lock=requirements-tflite-runtime.lock
    ;;
*) fail "$(uname -m): no TFLite runtime has wheels for this machine" ;;
esac

# Debian's own systemd-python spares a compiler; the environment sees it as a system package.
missing=
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
"$python" -c 'import systemd.journal' 2>/dev/null || missing="$missing python3-systemd"
if [ -n "$missing" ]; then
    echo "installing from Debian:$missing"
    # shellcheck disable=SC2086 # the list is meant to be split
    do_ env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing ||
        fail "apt-get could not install:$missing; try apt-get update first"
fi

echo "user facelatch"
do_ install -D -m 0644 "$here/deploy/facelatch.sysusers" /usr/lib/sysusers.d/facelatch.conf
do_ systemd-sysusers facelatch.conf
do_ install -D -m 0644 "$here/deploy/facelatch.catalog" /usr/lib/systemd/catalog/facelatch.catalog
do_ journalctl --update-catalog
do_ install -d -m 0700 -o facelatch -g facelatch /var/lib/facelatch
do_ install -d -m 0755 "$settings"

# A release is made whole beside the one in use, then the link is switched: a broken download leaves the old one running.
release=$prefix/releases/$(date -u +%Y%m%dT%H%M%SZ)
echo "program in $release"
do_ "$python" -m venv --system-site-packages "$release"
offline=''
[ -z "$wheels" ] || offline="--no-index --find-links $wheels"
# shellcheck disable=SC2086 # options, meant to be split
if ! { do_ "$release/bin/pip" install --quiet --disable-pip-version-check --ignore-installed $offline --require-hashes -r "$here/$lock" &&
    do_ "$release/bin/pip" install --quiet --disable-pip-version-check --no-deps $offline "$here"; }; then
    rm -rf "$release"
    fail "the Python packages could not be installed; what was installed before is untouched"
fi
if [ "$dry_run" = no ]; then
    "$release/bin/edge" config show >"$release/edge.toml" || { rm -rf "$release"; fail "the new program does not start; the old one is untouched"; }
fi
if [ -e "$prefix/venv" ]; then
    do_ ln -sfn "$(readlink "$prefix/venv")" "$prefix/previous"
fi
do_ ln -sfn "$release" "$prefix/venv.new"
do_ mv -fT "$prefix/venv.new" "$prefix/venv"
do_ ln -sf "$prefix/venv/bin/edge" /usr/local/bin/edge
if [ "$dry_run" = no ]; then
    for old in "$prefix"/releases/*; do
        [ "$old" = "$release" ] || [ "$old" = "$(readlink "$prefix/previous" 2>/dev/null)" ] || rm -rf "$old"
    done
fi

[ -e "$settings/edge.toml" ] || do_ install -m 0644 "$release/edge.toml" "$settings/edge.toml"
if [ -n "$model" ]; then
    do_ install -m 0644 "$model" "$settings/model.tflite.new"
    do_ "$release/bin/edge" model show "$settings/model.tflite.new" || { rm -f "$settings/model.tflite.new"; fail "$model: not a model that this program takes"; }
    do_ mv -f "$settings/model.tflite.new" "$settings/model.tflite"
    [ "$dry_run" = yes ] || use_model
fi
do_ install -m 0644 "$here/deploy/facelatch.service" "$unit"
if [ -d /run/systemd/system ]; then
    do_ systemctl daemon-reload
    do_ systemctl try-restart facelatch.service
fi

cat <<'EOF'
next:
  sudo -u facelatch STATE_DIRECTORY=/var/lib/facelatch edge enroll ada --camera /dev/video0
  sudo systemctl enable --now facelatch
  journalctl -u facelatch -f
EOF
