# Of deploy/install.sh: makes one whole release, and tries it before it is in use. Sourced, not run.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are shared with install.sh and the other parts

# The same sources for the same Python are the same release.
name_release() {
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/pyproject.toml")
    digest=$(cd "$here" && {
        in_root "$python" --version
        echo "$machine"
        find pyproject.toml facelatch.py "$lock" requirements-build.lock edge export trainer deploy -type f ! -path '*/__pycache__/*' -exec sha256sum {} + | LC_ALL=C sort
    } | sha256sum | cut -c1-12)
    release=$prefix/releases/$version-$digest
}

# The files for the rest of the system, each with its place from the root; those that are not in this checkout are left out.
system_files() {
    while read -r file place; do
        [ ! -f "$here/$file" ] || echo "$file $place"
    done <<'EOT'
deploy/facelatch.service /usr/local/lib/systemd/system/facelatch.service
deploy/facelatch-enroll@.service /usr/local/lib/systemd/system/facelatch-enroll@.service
deploy/facelatch.sysusers /usr/local/lib/sysusers.d/facelatch.conf
deploy/facelatch.tmpfiles /usr/local/lib/tmpfiles.d/facelatch.conf
deploy/facelatch.catalog /usr/local/lib/systemd/catalog/facelatch.catalog
deploy/facelatch.rules /usr/local/lib/udev/rules.d/61-facelatch.rules
deploy/io.facelatch.conf /usr/share/dbus-1/system.d/io.facelatch.conf
deploy/io.facelatch.service /usr/share/dbus-1/system-services/io.facelatch.service
deploy/io.facelatch.policy /usr/share/polkit-1/actions/io.facelatch.policy
README.md /usr/share/doc/facelatch/README.md
EOT
    # The manuals, which messages of the commands name. No page's name has a blank.
    (cd "$here" && for page in docs/*.md docs/model-cards/*.md; do
        [ ! -f "$page" ] || echo "$page /usr/share/doc/facelatch/$page"
    done)
}

# What deploy.package.local writes, as paths from the root.
local_files() {
    printf '/usr/local/share/man/%s\n' man1/edge.1 man5/edge.toml.5 man8/facelatch.service.8
    printf '%s\n' /usr/local/share/bash-completion/completions/edge /usr/local/share/zsh/site-functions/_edge \
        /usr/share/fish/vendor_completions.d/edge.fish
    (cd "$here/deploy/options" && printf '/usr/share/doc/facelatch/examples/%s\n' *)
}

build_release() {
    echo "program in $release"
    do_ rm -rf "$root$release"
    [ "$dry_run" = yes ] || building=$release
    do_ install -d -m 0755 "$root$release/source"
    # Built from a copy: a checkout is not written to, and what an earlier build left in it is not packed.
    do_ cp -R "$here/pyproject.toml" "$here/README.md" "$here/LICENSE" "$here/facelatch.py" "$here/edge" "$here/export" "$here/trainer" \
        "$here/deploy" "$here/$lock" "$root$release/source"
    do_in_root "$python" -m venv --system-site-packages "$release"
    # What keeps pip from the network: words of this function, since a stick's name may have a blank.
    set --
    if [ -n "$wheels" ]; then
        if [ -z "$root" ]; then set -- --no-index --find-links "$wheels"; else set -- --no-index --find-links /run/wheels; fi
    fi
    pip="$release/bin/pip --quiet --disable-pip-version-check --no-cache-dir --no-input install --no-compile"
    builders=setuptools
    [ "$machine" != armv7l ] || builders="$builders|$arm32_builders"
    if [ "$dry_run" = no ]; then
        [ "$machine" != armv7l ] || arm32_lock "$here/$lock" >"$root$release/source/$lock"
        lock_of "$builders" "$here/requirements-build.lock" >"$root$release/source/builders.lock"
    fi
    # The lock files are whole: nothing is to be looked for beside them. Left to itself, pip would fetch what builds a package from
    # the index, whatever its digest, and run it as root.
    built=$release/source/build
    # shellcheck disable=SC2086 # words, meant to be split
    if ! { do_in_root $pip "$@" --target "$built" --no-deps --require-hashes --only-binary=:all: -r "$release/source/builders.lock" &&
        do_in_root env "PYTHONPATH=$built" $pip "$@" --no-build-isolation --ignore-installed --no-deps --require-hashes \
            -r "$release/source/$lock" &&
        do_in_root env "PYTHONPATH=$built" $pip "$@" --no-build-isolation --no-deps "$release/source"; }; then
        fail "the Python packages could not be installed; what was installed before is untouched"
    fi
    # As the Debian package has it, nobody's home or variables add code: that of the service's user is the state folder, which the
    # daemon can write to, and what lay there would run at every start, and outside of the sandbox with `sudo -u facelatch edge`.
    do_ sed -i '1s/python[0-9.]*$/& -I/' "$root$release/bin/edge"
    # The service's user cannot write bytecode, so it is made here, on all cores; some packages carry files for other Pythons.
    do_in_root "$release/bin/python" -m compileall -q -j 0 "$release/lib" || true
    system_files | while read -r file place; do
        do_ install -D -m 0644 "$here/$file" "$root$release/system$place"
    done
    # From the commands and settings of this very release.
    if ! do_in_root env "PYTHONPATH=$release/source" "$release/bin/python" -m deploy.package.local "$release/system"; then
        fail "the manual pages could not be made; what was installed before is untouched"
    fi
    do_ rm -rf "$root$release/source"
    # Before it is called whole: a power cut half a minute later could leave its files there and empty.
    do_ sync -f "$root$release"
    do_ touch "$root$release/complete"
    building=''
}

# What a release says of settings, model and templates, before it is in use: a problem is better found now than at a closed door.
# $2: nothing, or --config and settings that are not in use yet.
try_release() {
    [ "$dry_run" = no ] || return 0
    # shellcheck disable=SC2086 # words, meant to be split
    in_root "$1/bin/edge" config show $2 >/dev/null || fail "$(basename "$1") does not start with these settings; what is in use is untouched"
    code=0
    # With a state folder of its own it asks no daemon. Exit code 11 is what it tells then.
    # shellcheck disable=SC2086 # words, meant to be split
    told=$(in_root env "STATE_DIRECTORY=$state" "$1/bin/edge" status $2 2>&1) || code=$?
    case $code in 4 | 5 | 10) fail "$(basename "$1") does not start: $told; what is in use is untouched" ;; esac
    [ -d "$root$state/gallery" ] || return 0
    current_again='' in_use=no
    if [ -e "$root$prefix/venv/complete" ] && current_again=$(who_comes_again "$prefix/venv/bin/edge"); then in_use=yes; fi
    # shellcheck disable=SC2086 # words, meant to be split
    if again=$(who_comes_again "$1/bin/edge" $2); then
        # Who is not recognised by the release in use either is no reason to stay with it.
        if [ $in_use = no ] || [ -z "$again" ] || [ "$again" = "$current_again" ] || [ "$new_gallery" = yes ]; then return 0; fi
        echo "$again" >&2
        fail "with $(basename "$1") these must be enrolled again; what is in use is untouched. --new-gallery goes on all the same"
    fi
    # A gallery whose key only the service has cannot be read here by any release.
    [ $in_use = no ] || fail "$(basename "$1") cannot use its model or the gallery: $again; what is in use is untouched"
    echo "warning: who is enrolled was not checked: $again" >&2
}

# Whom a release would not recognise, a line each; where it cannot say, it fails and tells why.
who_comes_again() {
    code=0 edge=$1
    shift
    told=$(in_root setpriv --reuid=facelatch --regid=facelatch --init-groups env "STATE_DIRECTORY=$state" "$edge" migrate "$@" 2>&1) || code=$?
    case $code in
    0) ;;
    6) echo "$told" | grep '^  ' || echo "$told" ;;
    *)
        echo "$told"
        return 1
        ;;
    esac
}
