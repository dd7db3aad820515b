"""pg_cron's jobs where a database is restored, renamed or not pg_cron's own; and its history.

The cluster is this module's own: pg_cron moves to other databases in it.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from cluster import Cluster
from conftest import KPI_VIEWS, TEST_SETTINGS, Database, Server
from database.prerequisites import ROLES
from database.test_restore import documented, program
from development.demo_source import load_source_schema
from health.test_problems import RUNBOOK
from migrate import migrate
from uninstall import uninstall

TAKES_MINUTES = True

pytestmark = pytest.mark.system_only("pg_cron")
SCHEDULED = ["scheduled teloo-analytics tick", "scheduled teloo-analytics work"]
COMMANDS = ["CALL analytics.tick()", "CALL analytics.work()"]
LAST_TICK = "SELECT last_tick_at FROM analytics.scheduler_state"


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    """Wait for what comes with the next full minute; on a busy machine with one after it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server whose pg_cron lives in the database ``cron``, where nothing is yet."""
    cluster = Cluster(f"test-cron-{os.getpid()}", database="cron", settings=TEST_SETTINGS)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def restart(cluster: Cluster) -> None:
    cluster.stop()
    cluster.start()


def make(cluster: Cluster, name: str) -> None:
    """Make a database anew; pg_cron's launcher may be connected to it, and ends with it."""
    Database(cluster, "postgres").execute(
        f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}"
    )
    restart(cluster)


def installed(cluster: Cluster, name: str) -> Database:
    make(cluster, name)
    database = Database(cluster, name)
    load_source_schema(database.url)
    migrate(database.url)
    return database


def live_in(cluster: Cluster, name: str) -> None:
    """Let pg_cron live in another database."""
    server = Database(cluster, "postgres")
    if server.rows("SHOW cron.database_name") != [(name,)]:
        server.execute(f"ALTER SYSTEM SET cron.database_name = '{name}'")
        restart(cluster)


@pytest.fixture
def home(cluster: Cluster) -> Iterator[Database]:
    """The database that pg_cron lives in, migrated."""
    yield installed(cluster, "cron")
    live_in(cluster, "cron")


def check_fires(database: Database, home: Database | None = None) -> None:
    """Both jobs run, in this database and in no other one."""
    home = home or database
    ((begin,),) = home.rows("SELECT clock_timestamp()")
    runs = (
        "SELECT DISTINCT command FROM cron.job_run_details "
        f"WHERE database = '{database.name}' AND status = 'succeeded' AND start_time > '{begin}' "
        "ORDER BY 1"
    )
    wait_for(lambda: home.rows(runs) == [(command,) for command in COMMANDS])
    assert database.rows(f"SELECT last_tick_at > '{begin}' FROM analytics.scheduler_state") == [
        (True,)
    ]
    ours = f"command IN ('{COMMANDS[0]}', '{COMMANDS[1]}')"
    assert home.rows(f"SELECT command, database FROM cron.job WHERE {ours} ORDER BY 1") == [
        (command, database.name) for command in COMMANDS
    ]
    assert home.rows(
        f"SELECT DISTINCT database FROM cron.job_run_details WHERE {ours} "
        f"AND start_time > '{begin}'"
    ) == [(database.name,)]


@pytest.fixture
def dump(home: Database) -> Path:
    """A dump of pg_cron's database, with somebody else's job."""
    home.execute("SELECT cron.schedule('theirs', '0 0 1 1 *', 'SELECT 1')")
    path = home.cluster.location / "cron.dump"
    program(home.cluster, home.url, "pg_dump", "-Fc", "-f", path)
    return path


def test_restored_under_the_same_name(home: Database, dump: Path) -> None:
    """As the runbook says; the jobs of others are not taken along, but shown."""
    show = re.search(r"`pg_restore (-a [^`]*) teloo.dump` shows them", RUNBOOK)
    assert show
    assert "theirs" in program(home.cluster, home.url, "pg_restore", *show[1].split(), dump)
    Database(home.cluster, "postgres").execute("DROP DATABASE cron WITH (FORCE)")
    documented(home.cluster, "cron", dump)
    restart(home.cluster)
    assert home.rows("SELECT extname FROM pg_extension WHERE extname = 'pg_cron'") == []
    changes = migrate(home.url)
    assert changes[-2:] == SCHEDULED
    assert home.rows("SELECT count(*) FROM cron.job") == [(2,)]
    assert migrate(home.url) == []
    check_fires(home)


def test_restored_under_the_same_name_with_all_jobs(home: Database, dump: Path) -> None:
    make(home.cluster, "cron")
    program(home.cluster, home.url, "pg_restore", "--single-transaction", "-d", "cron", dump)
    assert home.rows("SELECT count(*) FROM cron.job") == [(3,)]
    assert not set(SCHEDULED) & set(migrate(home.url))
    assert migrate(home.url) == []
    assert home.rows("SELECT DISTINCT database FROM cron.job") == [("cron",)]


def test_dump_with_jobs_of_the_old_name_restored_under_a_new_one(
    home: Database, dump: Path
) -> None:
    cluster = home.cluster
    make(cluster, "nueva")
    live_in(cluster, "nueva")
    new = Database(cluster, "nueva")
    program(cluster, new.url, "pg_restore", "--single-transaction", "-d", "nueva", dump)
    assert new.rows("SELECT DISTINCT database FROM cron.job") == [("cron",)]
    assert migrate(new.url)[-2:] == SCHEDULED
    assert migrate(new.url) == []
    check_fires(new)
    assert new.rows("SELECT jobname, database FROM cron.job WHERE database = 'cron'") == [
        ("theirs", "cron")
    ]


def test_database_that_gets_another_name(home: Database) -> None:
    cluster = home.cluster
    live_in(cluster, "otro_nombre")
    Database(cluster, "postgres").execute(
        "DROP DATABASE IF EXISTS otro_nombre", "ALTER DATABASE cron RENAME TO otro_nombre"
    )
    renamed = Database(cluster, "otro_nombre")
    assert migrate(renamed.url) == SCHEDULED
    assert migrate(renamed.url) == []
    check_fires(renamed)


def test_job_that_calls_another_server_is_scheduled_anew(home: Database) -> None:
    """As after a restore with all jobs: pg_cron may connect by what cron.job says."""
    home.execute("UPDATE cron.job SET nodeport = 1")
    assert migrate(home.url) == SCHEDULED
    assert home.rows("SELECT DISTINCT nodeport FROM cron.job") == [(home.cluster.port,)]


def test_jobs_of_another_role_are_taken_over(home: Database) -> None:
    home.execute(
        "CREATE ROLE ana LOGIN",
        "UPDATE cron.job SET username = 'ana', database = 'de_ana'",
    )
    assert migrate(home.url) == SCHEDULED
    assert home.rows("SELECT DISTINCT username, database FROM cron.job") == [
        ("analytics_scheduler", "cron")
    ]
    home.execute("DROP ROLE ana")


def test_uninstall_finds_the_jobs_of_an_older_name(home: Database) -> None:
    home.execute("UPDATE cron.job SET database = 'antes'")
    uninstall(home.url)
    assert home.rows("SELECT to_regnamespace('cron'), to_regnamespace('analytics')") == [
        (None, None)
    ]


def test_restored_on_a_server_without_pg_cron(
    home: Database, dump: Path, server_18: Server, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    roles = home.cluster.location / "roles.sql"
    program(
        home.cluster, home.url, "pg_dumpall", "--roles-only", "--no-role-passwords", "-f", roles
    )
    target = Database(server_18.cluster, "sin_pg_cron")
    # What is there already is an error to psql, and harmless.
    program(server_18.cluster, server_18.cluster.url("postgres"), "psql", "-q", "-f", roles)
    documented(server_18.cluster, target.name, dump)
    try:
        migrate(target.url)
        assert "this server has no pg_cron" in caplog.text
        assert migrate(target.url) == []
        target.execute("CALL analytics.tick()")
        assert target.rows("SELECT refresh_status FROM refresh_all_mv()") == [("SUCCESS",)] * len(
            KPI_VIEWS
        )
    finally:
        Database(server_18.cluster, "postgres").execute("DROP DATABASE sin_pg_cron")


def test_database_that_pg_cron_does_not_live_in_is_scheduled_by_what_migrate_says(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    make(cluster, "cron")
    caplog.clear()
    other = installed(cluster, "otra")
    home = Database(cluster, "cron")
    assert home.rows("SELECT to_regnamespace('cron')") == [(None,)]
    found = re.search(r"lives in database cron\..*? run there: (.*;) \(uninstall", caplog.text)
    assert found
    home.execute(found[1])
    check_fires(other, home)
    assert other.rows(f"{LAST_TICK} WHERE last_tick_at IS NULL") == []
    # So the history there stays small, too.
    add_runs(home, "otra", days=7)
    ((removal,),) = home.rows("SELECT command FROM cron.job WHERE jobname ~ '^teloo.* history'")
    home.execute(str(removal))
    assert labels(home) == KEPT
    # What uninstall says takes all away.
    said = said_by_uninstall(other.url, caplog)
    found = re.search(r"stays: jobs of pg_cron .*? superuser run there: (.*;)", said)
    assert found
    home.execute(*filter(None, map(str.strip, found[1].split(";"))))
    assert labels(home) == {"of another job", "of another database"}
    assert home.rows("SELECT jobname FROM cron.job") == []


KEPT = {"young", "never began, after it", "of another job", "of another database"}


def add_runs(home: Database, database: str, days: int) -> None:
    """Put runs into pg_cron's history, as it writes them: too old by a day, and not yet."""
    old, young = (f"now() - interval '{number} days'" for number in (days + 1, days - 1))
    job = "(SELECT min(jobid) FROM cron.job)"
    # No job of ours has this number any more.
    gone = "987654"
    runs = [
        (job, database, COMMANDS[0], "old", old, old),
        (job, database, COMMANDS[1], "closed by a crash", old, "NULL"),
        (gone, database, COMMANDS[0], "of a job that was unscheduled", old, old),
        (job, "de_otros", COMMANDS[0], "of another database", old, old),
        (job, database, "SELECT 1", "of another job", old, old),
        (gone, database, COMMANDS[1], "never began", "NULL", "NULL"),
        (job, database, COMMANDS[1], "closed by a crash, of work", old, "NULL"),
        (job, database, COMMANDS[0], "young", young, young),
        (job, database, COMMANDS[0], "never began, after it", "NULL", "NULL"),
    ]
    if home.rows("SELECT to_regnamespace('analytics') IS NOT NULL") == [(True,)]:
        # No tick of pg_cron's trims within the next hour.
        home.execute("UPDATE analytics.scheduler_state SET last_trimmed_at = clock_timestamp()")
    home.execute(
        *(
            "INSERT INTO cron.job_run_details (jobid, runid, database, username, command, "
            f"status, return_message, start_time, end_time) VALUES ({number}, "
            f"nextval('cron.runid_seq'), '{name}', 'analytics_scheduler', '{command}', 'failed', "
            f"'test: {label}', {start}, {end})"
            for number, name, command, label, start, end in runs
        )
    )


def labels(home: Database) -> set[str]:
    rows = home.rows(
        "SELECT substr(return_message, 7) FROM cron.job_run_details "
        "WHERE return_message LIKE 'test: %'"
    )
    return {str(label) for (label,) in rows}


@pytest.mark.parametrize("days", [2, 30])
def test_tick_trims_what_is_too_old_of_our_runs(home: Database, days: int) -> None:
    add_runs(home, "cron", days)
    before = labels(home)
    assert len(before) == 9
    home.execute(f"SELECT analytics.set_setting('cron_retention_days', '{days}')")

    def is_trimmed() -> bool:
        home.execute("UPDATE analytics.scheduler_state SET last_trimmed_at = NULL")
        with home.connect() as connection:
            connection.execute("SET SESSION AUTHORIZATION analytics_scheduler")
            connection.execute("CALL analytics.tick()")
        return labels(home) == KEPT

    # A tick of pg_cron's may be at work: then ours does nothing.
    wait_for(is_trimmed)


def test_runs_of_other_roles_stay(home: Database) -> None:
    """The scheduler's role sees its own only; a superuser's tick trims all of ours."""
    add_runs(home, "cron", 7)
    home.execute("UPDATE cron.job_run_details SET username = 'ana' WHERE return_message ~ '^test'")
    before = labels(home)
    with home.connect() as connection:
        connection.execute("SET SESSION AUTHORIZATION analytics_scheduler")
        assert connection.execute("SELECT analytics.trim_cron_history(7)").fetchone() == (0,)
        connection.execute("RESET SESSION AUTHORIZATION")
        assert labels(home) == before
        assert connection.execute("SELECT analytics.trim_cron_history(7)").fetchone() == (5,)
    assert labels(home) == KEPT


def said_by_uninstall(url: str, caplog: pytest.LogCaptureFixture) -> str:
    logging.getLogger("teloo_analytics").propagate = True
    caplog.set_level("INFO")
    caplog.clear()
    assert uninstall(url) is not None
    return caplog.text


def keep_pg_cron(home: Database) -> None:
    """Somebody else has a job, so that an uninstallation leaves pg_cron."""
    home.execute("SELECT cron.schedule('theirs', '0 0 1 1 *', 'SELECT 1')")


def test_uninstall_removes_the_runs_of_our_jobs(
    home: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Also runs under an older name of the database; none of other jobs and databases."""
    keep_pg_cron(home)
    add_runs(home, "cron", 7)
    home.execute(
        "UPDATE cron.job_run_details SET jobid = 987654 "
        "WHERE return_message = 'test: of another database'",
        "UPDATE cron.job_run_details SET username = 'ana' WHERE return_message = 'test: old'",
        "UPDATE cron.job_run_details SET database = 'antes' WHERE return_message = 'test: young'",
    )
    said = said_by_uninstall(home.url, caplog)
    assert re.search(r"removed: \d+ run\(s\) of scheduled jobs in pg_cron's history", said)
    assert labels(home) == {"of another job", "of another database"}
    assert "stays: runs" not in said
    assert home.rows("SELECT jobname FROM cron.job") == [("theirs",)]


def test_uninstall_by_a_role_that_sees_its_own_runs_names_the_others(
    home: Database, caplog: pytest.LogCaptureFixture
) -> None:
    keep_pg_cron(home)
    home.execute(
        "CREATE ROLE duena LOGIN CREATEROLE PASSWORD 'pw'",
        "ALTER DATABASE cron OWNER TO duena",
        *(
            f"ALTER TABLE {table} OWNER TO duena"
            for (table,) in home.rows(
                "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' "
                "AND relnamespace = 'public'::regnamespace"
            )
        ),
        f"GRANT {', '.join(ROLES)} TO duena WITH ADMIN OPTION",
        "GRANT USAGE ON SCHEMA cron TO duena",
    )
    try:
        add_runs(home, "cron", 7)
        home.execute(
            "UPDATE cron.job_run_details SET username = 'ana' WHERE return_message = 'test: old'",
            "UPDATE cron.job_run_details SET jobid = 987654 "
            "WHERE return_message = 'test: of another database'",
        )
        said = said_by_uninstall(home.url_as("duena", "pw"), caplog)
        assert labels(home) == {"old", "of another job", "of another database"}
        found = re.search(r"stays: runs .*? have a superuser run (DELETE .*;)", said)
        assert found
        home.execute(found[1])
        assert labels(home) == {"of another job", "of another database"}
    finally:
        uninstall(home.url)
        home.execute(
            "ALTER DATABASE cron OWNER TO postgres",
            "DROP OWNED BY duena CASCADE",
            "DROP ROLE duena",
        )
        for role in ROLES:
            # Another test of this server may have left a database with them.
            with suppress(psycopg.errors.DependentObjectsStillExist):
                home.execute(f"DROP ROLE IF EXISTS {role}")


def test_row_security_off_by_default_stops_no_migrate(home: Database) -> None:
    """A policy of pg_cron shows each role its own jobs."""
    home.execute("ALTER DATABASE cron SET row_security = off")
    try:
        home.execute("SELECT cron.unschedule(jobid) FROM cron.job")
        assert migrate(home.url) == SCHEDULED
        assert migrate(home.url) == []
    finally:
        home.execute("ALTER DATABASE cron RESET row_security")
