# Of deploy/install.sh: a release's files in the system around it, the switch to it, and the settings. Sourced, not run.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are shared with install.sh and the other parts

# The files that a release has, or would have, in the system, as paths from the root.
files_of() {
    if [ -d "$root$1/system" ]; then
        (cd "$root$1/system" && find . -type f | sed 's/^\.//')
    elif [ -d "$root$1" ] && [ ! -e "$root$1/source" ]; then
        # Of the installers before releases had their own.
        printf '%s\n' /etc/systemd/system/facelatch.service /usr/lib/sysusers.d/facelatch.conf /usr/lib/systemd/catalog/facelatch.catalog
    elif [ "$dry_run" = yes ]; then
        system_files | cut -d ' ' -f 2
        local_files
    fi
}

remove_files() {
    files_of "$1" | while read -r file; do
        do_ rm -f "$root$file"
    done
}

# The links to its units that `systemctl enable` or an administrator made: in a system that does not run nobody else takes them
# away. Masks are links too, to /dev/null, and stay.
remove_links() {
    find "$root/etc/systemd/system" -type l 2>/dev/null | while read -r link; do
        case $(readlink "$link") in
        /usr/local/lib/systemd/system/facelatch*.service | /etc/systemd/system/facelatch*.service) do_ rm -f "$link" ;;
        facelatch*.service | ../facelatch*.service) do_ rm -f "$link" ;;
        esac
    done
}

# Puts a release in use; the one before it becomes the previous one. Until `restart` is done, $unfinished names the one before.
switch_to() {
    before=$(readlink "$root$prefix/venv" || true)
    [ "$dry_run" = yes ] || echo "$before" >"$root$unfinished"
    do_ ln -sfn "$1" "$root$prefix/venv.new"
    do_ mv -fT "$root$prefix/venv.new" "$root$prefix/venv"
    do_ install -d -m 0755 "$root/usr/local/bin"
    do_ ln -sfn "$prefix/venv/bin/edge" "$root/usr/local/bin/edge"
    if [ -n "$before" ] && [ "$before" != "$1" ]; then
        remove_files "$before"
    fi
    files_of "$1" | while read -r file; do
        do_ install -D -m 0644 "$root$1/system$file" "$root$file"
    done
    # Enabled by an installer that kept the unit elsewhere.
    if [ -L "$root$enabled" ]; then do_ ln -sfn /usr/local/lib/systemd/system/facelatch.service "$root$enabled"; fi
    do_in_root systemd-sysusers facelatch.conf
    do_in_root systemd-tmpfiles --create facelatch.conf
    refresh
    [ -z "$before" ] || [ "$before" = "$1" ] || do_ ln -sfn "$before" "$root$prefix/previous"
}

# After a switch that was broken off: what it left becomes the previous release, as it would have. The rest is done by the next
# switch, which must not take the same release for one that is wholly in use.
resume() {
    [ -e "$root$unfinished" ] || return 0
    left=$(cat "$root$unfinished")
    if [ -n "$left" ] && [ "$left" != "$(readlink "$root$prefix/venv")" ]; then
        remove_files "$left"
        do_ ln -sfn "$left" "$root$prefix/previous"
    fi
}

# Tells the system of changed files.
refresh() {
    do_in_root journalctl --update-catalog
    live || return 0
    do_ systemctl daemon-reload
    ! systemctl is-active --quiet dbus.service || do_ systemctl reload dbus.service
    ! systemctl is-active --quiet systemd-udevd.service || do_ udevadm control --reload
}

give_back_model() {
    [ -n "$kept" ] || return 0
    for file in model.tflite edge.toml; do
        if [ -e "$root$settings/$file.old" ]; then
            do_ mv -f "$root$settings/$file.old" "$root$settings/$file"
        else
            do_ rm -f "$root$settings/$file"
        fi
    done
}

# Restarts a service that runs; fails where it does not come up again. Not try-restart: where a release before this one has just
# failed to start, the service does not run any more, and that would do nothing.
restart() {
    restarted=0
    if live; then
        case $(systemctl is-active facelatch.service || true) in active | activating | reloading) runs=yes ;; esac
        [ $runs = no ] || do_ systemctl restart facelatch.service || restarted=$?
    fi
    do_ rm -f "$root$unfinished"
    return $restarted
}

# All keys as comments: what nobody has set follows the release's own defaults.
make_settings() {
    do_ install -d -m 0755 "$root$settings"
    [ -e "$root$settings/edge.toml" ] && return 0
    if [ "$dry_run" = yes ]; then
        echo "would: write $root$settings/edge.toml, every key as a comment"
        return 0
    fi
    shown=$(in_root "$release/bin/edge" config show) || fail "$(basename "$release") does not start; what is in use is untouched"
    printf '%s\n' "$shown" | sed -n -e 's/^[a-z_]* = /# &/p' -e '/^\[/p' -e '/^$/p' >"$root$settings/edge.toml.new"
    mv -f "$root$settings/edge.toml.new" "$root$settings/edge.toml"
}

# The content of the state folder goes also where that is a link, or a disk of its own, of which the folder itself stays.
remove_state() {
    if in_root test -d "$state/"; then do_in_root find "$state/" -mindepth 1 -delete; fi
    do_ rm -rf "$root$state" 2>/dev/null || echo "$state stays, empty: it is a disk of its own"
}

# Puts a model of the administrator's own beside the one in use, once the release has read it, and settings that name it.
stage_model() {
    staged=$root$settings/model.tflite.new
    do_ install -m 0644 "$model" "$staged"
    do_in_root "$release/bin/edge" model show "$settings/model.tflite.new" >/dev/null || fail "$model: not a model that this release takes"
    [ "$dry_run" = yes ] || name_model "$settings/model.tflite.new"
}

# edge.toml.new is edge.toml with a model's file in it, whatever else is there. A form of TOML that this does not know is told by
# the release, which reads it before it is in use.
name_model() {
    toml=$root$settings/edge.toml line="path = \"$1\""
    # With its owner and rights: the service's user must read it, and others perhaps must not.
    cp -p "$toml" "$toml.new"
    if ! grep -q '^[[:space:]]*\[model\]' "$toml.new"; then
        printf '\n[model]\n%s\n' "$line" >>"$toml.new"
    elif sed -n '/^[[:space:]]*\[model\]/,/^[[:space:]]*\[[^m]/p' "$toml.new" | grep -q '^[[:space:]]*path *='; then
        sed -i "/^[[:space:]]*\[model\]/,/^[[:space:]]*\[[^m]/ s|^[[:space:]]*path *=.*|$line|" "$toml.new"
    else
        sed -i "/^[[:space:]]*\[model\]/a $line" "$toml.new"
    fi
}

# Takes both; the ones before are kept until the release has started with these.
use_model() {
    [ "$dry_run" = yes ] || kept=yes
    for file in model.tflite edge.toml; do
        [ ! -e "$root$settings/$file" ] || do_ cp -p "$root$settings/$file" "$root$settings/$file.old"
    done
    do_ mv -f "$staged" "$root$settings/model.tflite"
    staged=''
    [ "$dry_run" = no ] || return 0
    name_model "$settings/model.tflite"
    mv -f "$toml.new" "$toml"
}
