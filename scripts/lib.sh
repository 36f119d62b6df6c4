# shellcheck shell=bash
# What the scripts share: where things are, which Postgres is used, who runs its server.
# Sourced by every script; leaves the caller in the root of the checkout.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

readonly SUPPORTED_MAJORS="15 16 17 18 14"
# shellcheck disable=SC2034  # used by the scripts that source this
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}

# build.rs keeps pgrx's schema section itself; the work-around of cargo-pgrx 0.18 does it by
# changing compiler flags, which builds every dependency twice.
export CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
export PGRX_HOME=${PGRX_HOME:-$ROOT/target/pgrx}
export USER=${USER:-$(id -un)}
# Debian keeps pgbouncer and ldconfig where only root looks.
export PATH=$ROOT/target/tools/bin:$PATH:/usr/sbin:/sbin
# Our clusters are named explicitly; what the caller's shell says about another one must not count.
unset PGHOST PGPORT PGUSER PGDATABASE PGDATA PGOPTIONS PGSERVICE

say() { printf '\n==> %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [ "$(id -u)" = 0 ]; }

# True where as_root can work: without a terminal sudo must not ask for a password.
can_be_root() { is_root || { have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }; }

as_root() { if is_root; then "$@"; else sudo "$@"; fi; }

# --- the server's user -------------------------------------------------------------------
# Postgres refuses to run as root, so root lends its clusters to another user.
server_user() { if is_root; then echo "${SERVER_USER:-postgres}"; else id -un; fi; }

# From the root folder, because the server's user need not be able to enter the checkout.
as_server() {
    if is_root; then
        local user
        user=$(server_user)
        (cd / && setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups \
            env HOME=/ USER="$user" LOGNAME="$user" "$@")
    else
        "$@"
    fi
}

# server_directory WANTED: prints a new folder that the server's user can reach and whose path
# is short enough for a socket; WANTED itself, or one under /tmp (a checkout in /root, a long path).
server_directory() {
    local wanted=$1
    if [ ${#wanted} -le 80 ] && mkdir -p "$wanted" 2>/dev/null; then
        own_by_server "$wanted"
        if as_server test -w "$wanted" -a -x "$wanted"; then
            echo "$wanted"
            return
        fi
        rmdir "$wanted"
    fi
    temporary_server_directory
}

temporary_server_directory() {
    local directory
    directory=$(mktemp -d /tmp/activity_log.XXXXXX)
    own_by_server "$directory"
    echo "$directory"
}

own_by_server() { if is_root; then chown "$(server_user)" "$1"; fi; }

# --- which Postgres ----------------------------------------------------------------------
pg_major() { "$1" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'; }

# True for a pg_config that has its server and the server's headers beside it.
pg_config_is_complete() {
    [ -x "$1" ] && [ -x "$("$1" --bindir)/postgres" ] &&
        [ -f "$("$1" --includedir-server)/postgres.h" ] && [ -f "$("$1" --pgxs)" ]
}

pg_config_is_supported() {
    pg_config_is_complete "$1" && [[ " $SUPPORTED_MAJORS " == *" $(pg_major "$1") "* ]]
}

# Prints the pg_config to use: $PG_CONFIG, else Debian's folders, else the one in the PATH.
find_pg_config() {
    local candidate major
    if [ -n "${PG_CONFIG:-}" ]; then
        candidate=$(command -v "$PG_CONFIG" || true)
        if [ -n "$candidate" ] && pg_config_is_supported "$candidate"; then echo "$candidate"; fi
        return
    fi
    for major in $SUPPORTED_MAJORS; do
        candidate=/usr/lib/postgresql/$major/bin/pg_config
        if pg_config_is_supported "$candidate"; then echo "$candidate" && return; fi
    done
    candidate=$(command -v pg_config || true)
    if [ -n "$candidate" ] && pg_config_is_supported "$candidate"; then echo "$candidate"; fi
}

# Sets PG_CONFIG, PG_MAJOR and PG_BIN, or stops with advice.
require_postgres() {
    local found
    found=$(find_pg_config)
    [ -n "$found" ] || die "no Postgres 14 to 18 with its server headers found${PG_CONFIG:+ at PG_CONFIG=$PG_CONFIG}; \
run 'make deps', or name one with PG_CONFIG=/path/to/pg_config"
    PG_CONFIG=$found
    PG_MAJOR=$(pg_major "$found")
    PG_BIN=$("$found" --bindir)
    export PG_CONFIG PG_MAJOR PG_BIN
}

# require_postgres, and pgrx knows it: pgrx keeps its own list, one pg_config for each major.
require_pgrx() {
    require_postgres
    have cargo-pgrx || die "cargo-pgrx is missing: run 'make deps'"
    grep -qsxF "pg$PG_MAJOR = \"$PG_CONFIG\"" "$PGRX_HOME/config.toml" && return
    mkdir -p "$PGRX_HOME"
    cargo pgrx init "--pg$PG_MAJOR" "$PG_CONFIG" --no-run
}

can_install() { [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ]; }

# Runs a command that writes into Postgres' folders.
as_installer() { if can_install; then "$@"; else as_root "$@"; fi; }

extension_version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml; }
