"""The composition's images: their user, command, folders, and what their entrypoints do.

Written from the images' sources, which each entry names. The entrypoints are shortened to what
they check and change with the rights of their user.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import attrs

DOCKERFILE = Path(__file__).parents[2] / "deploy" / "Dockerfile"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@attrs.frozen(kw_only=True)
class Image:
    """One image."""

    name: str
    #: Uid and gid.
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    workdir: str = "/"
    environment: Mapping[str, str] = attrs.field(factory=lambda: {"PATH": SYSTEM_PATH})
    #: Folders of its programs.
    programs: str = "/opt/image/bin"
    #: Name → text of scripts beside the programs.
    scripts: Mapping[str, str] = attrs.field(factory=dict)
    #: Folders that exist in it.
    folders: tuple[str, ...] = ()
    passwd: str = ""
    group: str = ""


def _path(image: str) -> dict[str, str]:
    return {"PATH": f"{image}:{SYSTEM_PATH}"}


#: github.com/valkey-io/valkey-container: 9.1/alpine/Dockerfile and docker-entrypoint.sh.
VALKEY = Image(
    name="valkey/valkey",
    entrypoint=("docker-entrypoint.sh",),
    command=("valkey-server",),
    workdir="/data",
    environment=_path("/opt/image/bin"),
    scripts={
        "docker-entrypoint.sh": """#!/bin/sh
set -e
case "$1" in -*) set -- valkey-server "$@" ;; esac
if [ "$1" = valkey-server ]; then
    if [ "$(id -u)" = 0 ]; then
        find . ! -uid 999 -exec chown 999 {} +
        exec setpriv --reuid=999 --regid=1000 --clear-groups -- "$0" "$@"
    elif [ ! -w . ]; then
        echo "$PWD is not writable" >&2
        exit 1
    fi
fi
exec "$@"
""",
        # The package has no client; this one sends and expects the same bytes.
        "valkey-cli": """#!/bin/bash
[ "$*" = ping ] || exit 2
exec 3<>/dev/tcp/127.0.0.1/6379
printf 'PING\\r\\n' >&3
read -r -t 2 answer <&3
[ "${answer%$'\\r'}" = +PONG ]
""",
    },
    passwd="valkey:x:999:1000::/home/valkey:/bin/sh\n",
    group="valkey:x:1000:\n",
)

#: github.com/nats-io/nats-docker: 2.12.x/alpine3.22/Dockerfile; its entrypoint changes no user.
NATS = Image(
    name="nats",
    entrypoint=("docker-entrypoint.sh",),
    command=("nats-server", "--config", "/etc/nats/nats-server.conf"),
    environment=_path("/opt/image/bin"),
    scripts={
        "docker-entrypoint.sh": """#!/bin/sh
set -e
case "$1" in -*) set -- nats-server "$@" ;; esac
exec "$@"
""",
    },
)

#: github.com/caddyserver/caddy-docker: 2.11/alpine/Dockerfile.
CADDY = Image(
    name="caddy",
    command=("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
    workdir="/srv",
    environment={
        **_path("/opt/image/bin"),
        "XDG_CONFIG_HOME": "/config",
        "XDG_DATA_HOME": "/data",
    },
)

#: github.com/docker-library/postgres: docker-entrypoint.sh; from 18 on PGDATA has the version.
POSTGRES = Image(
    name="postgres",
    entrypoint=("docker-entrypoint.sh",),
    command=("postgres",),
    environment={
        **_path("/opt/image/bin"),
        "PGDATA": "/var/lib/postgresql/18/docker",
        # Where the image's own clients look for the socket; those of the package look in /tmp.
        "PGHOST": "/var/run/postgresql",
    },
    scripts={
        "docker-entrypoint.sh": """#!/bin/bash
set -e
case "$1" in -*) set -- postgres "$@" ;; esac
sockets=/var/run/postgresql
if [ -n "$POSTGRES_PASSWORD_FILE" ]; then
    export POSTGRES_PASSWORD="$(< "$POSTGRES_PASSWORD_FILE")"
    unset POSTGRES_PASSWORD_FILE
fi
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" "$sockets"
    chmod 0700 "$PGDATA"
    find "$PGDATA" "$sockets" ! -uid 999 -exec chown 999 {} +
    exec setpriv --reuid=999 --regid=999 --clear-groups -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") $POSTGRES_INITDB_ARGS
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl -w -o "-c listen_addresses= -c unix_socket_directories=$sockets" start
    psql -h "$sockets" -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE $POSTGRES_DB"
    pg_ctl -m fast -w stop
fi
exec "$@" -c "listen_addresses=*" -c "unix_socket_directories=$sockets"
""",
    },
    folders=("/var/run/postgresql",),
    passwd="postgres:x:999:999::/var/lib/postgresql:/bin/bash\n",
    group="postgres:x:999:\n",
)


def payd_image() -> Image:
    """Build the image as the Dockerfile's last stage declares it."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text()).rpartition("\nFROM ")[2]
    said = dict(re.findall(r"^(USER|WORKDIR|ENTRYPOINT|CMD|ENV) (.+)$", text, re.MULTILINE))
    environment = dict(re.findall(r'(\w+)="?([^"\s]+)"?', said["ENV"]))
    prefix = "/opt/payd"
    environment["PATH"] = f"{prefix}/bin:{SYSTEM_PATH}"
    return Image(
        name="payd",
        user=said["USER"],
        entrypoint=tuple(json.loads(said["ENTRYPOINT"])),
        command=tuple(json.loads(said["CMD"])),
        workdir=said["WORKDIR"],
        environment=environment,
        programs=f"{prefix}/bin",
    )


def all_images() -> dict[str, Image]:
    """Find an image by name, without the tag."""
    return {image.name: image for image in (VALKEY, NATS, CADDY, POSTGRES, payd_image())}
