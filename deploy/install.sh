#!/bin/sh
# Installs facelatch as a service on Raspberry Pi OS or another Debian 12 or 13, upgrades it, goes back, or takes it out again.
#
# /opt/facelatch/releases/NAME holds one whole release: a virtual environment and, under system/, the files for the rest of the
# system. /opt/facelatch/venv names the one in use, /opt/facelatch/previous the one before it. A release is made and tried beside
# the one in use; only then the link is changed, so that whatever breaks before leaves the old one running.
#
# shellcheck source-path=SCRIPTDIR
set -eu
# What is installed is for the service's user to read, whatever whoever called sudo lets others read.
umask 022

usage() {
    cat <<'EOT'
usage: sudo deploy/install.sh [--model FILE] [--wheels FOLDER] [--root DIR] [--dry-run]
       sudo deploy/install.sh --roll-back | --uninstall | --purge [--root DIR] [--dry-run]

  --model FILE      a model of your own, made by `python -m export tflite --quantize`, instead of the included one;
                    it is copied to /etc/facelatch/model.tflite, and edge.toml names it
  --wheels FOLDER   install the Python packages from this folder, without a network; deploy/wheels.sh FOLDER fills one
  --root DIR        install into another system, such as a mounted image; starts and stops nothing
  --dry-run         say what would be done, and do nothing
  --new-gallery     continue even if people must be enrolled again because the model is another one
  --roll-back       return to the release before this one, as it was; the same again returns to this one
  --uninstall       remove the service and the program; settings, model and templates stay
  --purge           remove everything, the templates too, and the service's user

To upgrade, give the same command again from the new sources: settings, model and templates stay. A release that is installed
already is left as it is.
EOT
}

fail() {
    echo "error: $*" >&2
    exit 1
}

# What was begun and is of no use, however this ends: half a release would keep a disk full, and a door that cannot count failures shut.
clean() {
    [ -z "$building" ] || rm -rf "$root$building"
    [ -z "$staged" ] || rm -f "$staged" "$root$settings/edge.toml.new"
    [ -z "$kept" ] || rm -f "$root$settings/model.tflite.old" "$root$settings/edge.toml.old"
}

wrong() {
    echo "error: $*" >&2
    usage >&2
    exit 2
}

here=$(cd "$(dirname "$0")/.." && pwd)
prefix=/opt/facelatch
settings=/etc/facelatch
state=/var/lib/facelatch
unfinished=$prefix/unfinished
enabled=/etc/systemd/system/multi-user.target.wants/facelatch.service
python=/usr/bin/python3

# shellcheck source=installer/arm32.sh
. "$here/deploy/installer/arm32.sh"
# shellcheck source=installer/machine.sh
. "$here/deploy/installer/machine.sh"
# shellcheck source=installer/release.sh
. "$here/deploy/installer/release.sh"
# shellcheck source=installer/system.sh
. "$here/deploy/installer/system.sh"

install_() {
    check_machine
    need_packages
    name_release
    resume
    current=$(readlink "$root$prefix/venv" || true)
    older=$(readlink "$root$prefix/previous" || true)
    if [ -e "$root$release/complete" ]; then
        echo "$(basename "$release") is there already"
    else
        build_release
    fi
    make_settings
    if [ -n "$model" ]; then
        stage_model
        try_release "$release" "--config $settings/edge.toml.new"
        use_model
    else
        try_release "$release" ''
        if [ "$current" = "$release" ] && unchanged "$release"; then
            echo "$(basename "$release") is in use; nothing was changed"
            return 0
        fi
    fi
    switch_to "$release"
    restart || fall_back
    forget_old_releases
    tell_next
}

# The release that does not start gives way to the one before it, with the model and the settings that it had.
fall_back() {
    new=$(basename "$release")
    give_back_model
    if [ -z "$current" ] || [ "$current" = "$release" ]; then fail "$new does not start: journalctl -u facelatch"; fi
    switch_to "$current"
    if [ -n "$older" ]; then do_ ln -sfn "$older" "$root$prefix/previous"; else do_ rm -f "$root$prefix/previous"; fi
    restart || fail "neither $new nor $(basename "$current") starts: journalctl -u facelatch"
    fail "$new does not start: journalctl -u facelatch; $(basename "$current") is in use again"
}

tell_next() {
    if [ -n "$current" ]; then
        echo "$(basename "$release") is in use; before it was $(basename "$current")"
        return 0
    fi
    cat <<'EOT'
next:
  sudo -u facelatch edge enroll ada --camera /dev/video0
  sudo systemctl enable --now facelatch
  journalctl -u facelatch -f
EOT
}

# Whether the system's files are still those of the release in use.
unchanged() {
    [ ! -e "$root$unfinished" ] || return 1
    [ -L "$root/usr/local/bin/edge" ] || return 1
    for file in $(files_of "$1"); do
        cmp -s "$root$1/system$file" "$root$file" || return 1
    done
}

forget_old_releases() {
    [ "$dry_run" = no ] || return 0
    for old in "$root$prefix"/releases/*; do
        case ${old#"$root"} in
        "$release" | "$(readlink "$root$prefix/previous" || true)") ;;
        *) rm -rf "$old" ;;
        esac
    done
}

roll_back() {
    begun=$(readlink "$root$prefix/previous" || true)
    resume
    [ -L "$root$prefix/previous" ] || fail "$root$prefix/previous: there is no release to go back to"
    target=$(readlink "$root$prefix/previous")
    # One that was broken off is finished.
    [ "$begun" != "$(readlink "$root$prefix/venv" || true)" ] || target=$begun
    [ -e "$root$target/complete" ] || fail "$root$target: not a whole release; install one again"
    try_release "$target" ''
    # Where the release that is left does not start, as after a roll-back to it, the service is to run with this one.
    ! live || ! systemctl is-failed --quiet facelatch.service || runs=yes
    switch_to "$target"
    restart || fail "$(basename "$target") does not start: journalctl -u facelatch; --roll-back again goes forward"
    echo "$(basename "$target") is in use"
}

take_out() {
    if [ ! -e "$root$prefix" ] && packaged; then
        fail "facelatch is installed as a Debian package, and nothing by this installer: apt-get remove facelatch, or apt-get purge facelatch"
    fi
    if live && systemctl cat facelatch.service >/dev/null 2>&1; then
        do_ systemctl disable --now facelatch.service
        # One that runs would write down its person all the same, and its user could not be removed.
        do_ systemctl stop 'facelatch-enroll@*.service'
    fi
    # Of all releases: where a switch was broken off, files of two are in the system.
    for old in "$root$prefix"/releases/*; do
        [ ! -d "$old" ] || remove_files "${old#"$root"}"
    done
    remove_links
    do_ rm -f "$root/usr/local/bin/edge"
    do_ rm -rf "$root$prefix" "$root/usr/share/doc/facelatch"
    # First what is a person's: no error of the rest may keep it.
    [ "$action" != purge ] || remove_state
    refresh
    if [ "$action" = purge ]; then
        do_ rm -rf "$root$settings" "$root/etc/systemd/system/facelatch.service.d" \
            "$root/etc/systemd/system/facelatch-enroll@.service.d" "$root/etc/polkit-1/rules.d/60-facelatch-unlock-session.rules"
        if in_root id facelatch >/dev/null 2>&1; then
            do_in_root userdel facelatch
        fi
        echo "facelatch, its settings, its model, all templates and its user are taken out; the journal keeps its entries"
    else
        echo "facelatch is taken out; $settings and $state stay (--purge removes them too)"
    fi
}

action=install_ model='' building='' staged='' kept='' runs=no wheels='' root='' dry_run=no new_gallery=no
while [ $# -gt 0 ]; do
    case $1 in
    --model | --wheels | --root)
        # An empty --root, as a script with an unset variable types it, would be this system.
        [ -n "${2-}" ] || wrong "$1 needs a value"
        case $1 in --model) model=$2 ;; --wheels) wheels=$2 ;; --root) root=$2 ;; esac
        shift
        ;;
    --dry-run) dry_run=yes ;;
    --new-gallery) new_gallery=yes ;;
    --roll-back) action=roll_back ;;
    --uninstall) action=uninstall ;;
    --purge) action=purge ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) wrong "$1: no such option" ;;
    esac
    shift
done

[ -z "$model" ] || [ -f "$model" ] || fail "$model: no such model file"
[ -z "$wheels" ] || [ -d "$wheels" ] || fail "$wheels: no such folder of wheels"
[ -z "$wheels" ] || wheels=$(cd "$wheels" && pwd)
[ -z "$root" ] || [ -d "$root/usr" ] || fail "$root: no system in it; mount the image there"
# The root itself is no other system.
[ -z "$root" ] || root=$(cd "$root" && pwd | sed 's|/$||')
[ "$dry_run" = yes ] && [ -z "$root" ] || [ "$(id -u)" = 0 ] || fail "must be root: sudo $0"

trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# One at a time: a second one would remove what the first is making. The lock ends with the process, whatever ends that.
if [ "$dry_run" = no ]; then
    exec 9<"$root/usr"
    flock --nonblock 9 || fail "another run of this installer is at work${root:+ in $root}"
fi

case $action in
install_) install_ ;;
roll_back) roll_back ;;
*) take_out ;;
esac
