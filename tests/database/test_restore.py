"""Backup and restore: a dump keeps everything working, and nothing is computed again."""

import os
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from cluster import Cluster, connection_environment
from conftest import TEST_SETTINGS, Database, Server, install, made_once
from health.test_problems import RUNBOOK
from marketplace import change, fill
from migrate import migrate
from sequences import refresh, view_differences
from source_indexes import build_missing

SERVERS_TAKE_TURNS = True
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)


def program(cluster: Cluster, url: str, name: str, *arguments: str | Path) -> str:
    """Run one of the server's programs as its user; return what it prints."""
    environment = [f"{key}={value}" for key, value in connection_environment(url).items()]
    path = f"PATH={cluster.binaries}:{os.environ['PATH']}"
    return cluster.must(name, "env", path, *environment, name, *arguments)


def documented(cluster: Cluster, name: str, dump: Path) -> None:
    """Restore a dump into a new database by the commands of the runbook."""
    section = RUNBOOK.partition("## Backup and restore\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^(?:createdb|pg_restore) .*$", section, re.MULTILINE)
    assert len(lines) == 3
    names = {"teloo.dump": str(dump), "teloo.list": f"{dump}.list", "teloo": name}
    commands = re.sub(
        r"\bteloo(?:\.dump|\.list)?\b", lambda found: names[found[0]], "\n".join(lines)
    )
    program(cluster, cluster.url("postgres"), "bash", "-ec", commands)
    assert (dump.parent / f"{dump.name}.list").stat().st_size > 0
    (dump.parent / f"{dump.name}.list").unlink()


def writes(database: Database, seed: int) -> None:
    with database.session() as connection:
        change(connection, seed, "A", TODAY, count=20)


@pytest.fixture
def working(database: Database) -> Database:
    """A refreshed marketplace in which changes wait."""
    made_once(database, "changes wait", make_working)
    return database


def make_working(database: Database) -> None:
    install(database)
    with database.session() as connection:
        fill(connection, 7, "A", TODAY)
    build_missing(database.url)
    refresh(database, NOW)
    writes(database, 8)
    # As an operator's word leaves it.
    database.execute(
        "INSERT INTO kpi_engine.gate_acceptances (view_name, rule, how, reason, accepted_by) "
        "VALUES ('mv_metricas_mensuales', 'lost_rows', 'once', 'the month was corrected', 'ana')"
    )
    refresh(database, NOW)
    writes(database, 9)


@pytest.fixture
def dump(working: Database) -> Iterator[Path]:
    path = working.cluster.location / f"{working.name}.dump"
    program(working.cluster, working.url, "pg_dump", "-Fc", "-f", path)
    yield path
    path.unlink()


# All that tells what was published and what changed since.
HISTORY = (
    *("publications", "published_rows", "published_hashes", "published_layouts"),
    *("closings", "restatements", "gate_acceptances"),
)


def history(database: Database) -> dict[str, object]:
    """Return the contents of the history, and what it says of a view."""
    kept: dict[str, object] = {
        table: database.rows(
            "SELECT md5(string_agg(kept::text, ',' ORDER BY kept::text)) "
            f"FROM kpi_engine.{table} AS kept HAVING count(*) > 0"
        )
        for table in HISTORY
    }
    kept["begins"] = database.rows(
        "SELECT view_name, min(run_id) FROM kpi_engine.published_rows GROUP BY 1 ORDER BY 1"
    )
    kept["shown"] = database.rows(
        "SELECT object FROM analytics.as_reported('mv_metricas_mensuales', "
        f"'{NOW}') AS past (object) ORDER BY 1",
        today=NOW,
    )
    assert all(kept.values())
    return kept


def check_restored(database: Database) -> None:
    """What waited is applied, later writes are captured, nothing is computed again."""
    assert database.rows("SELECT DISTINCT mode FROM analytics.explain_refresh()", today=NOW) == [
        ("incremental",)
    ]
    assert refresh(database, NOW)[0] == "incremental"
    assert view_differences(database, NOW) == []
    writes(database, 10)
    assert refresh(database, NOW)[0] == "incremental"
    assert view_differences(database, NOW) == []
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("CALL analytics.tick()")
    assert database.rows("SELECT DISTINCT problem FROM analytics.health_problems()", today=NOW) in (
        [],
        [("row_drop",)],
    )


def test_into_a_new_database_of_the_same_server(
    working: Database, dump: Path, server: Server
) -> None:
    restored = Database(server.cluster, server.new_name("restored"))
    try:
        documented(server.cluster, restored.name, dump)
        before = "SELECT md5(string_agg(v::text, ',' ORDER BY v::text)) FROM analytics.{} AS v"
        for view in ("mv_metricas_mensuales", "mv_ranking_asesores"):
            query = before.format(view)
            assert restored.rows(query) == working.rows(query)
        kept = history(working)
        assert history(restored) == kept
        check_restored(restored)
        # It goes on: nothing of it was forgotten.
        later = history(restored)
        assert later["closings"] == kept["closings"]
        assert later["begins"] == kept["begins"]
    finally:
        Database(server.cluster, "postgres").execute(f"DROP DATABASE IF EXISTS {restored.name}")


def test_over_itself_everything_is_computed_again(working: Database, dump: Path) -> None:
    """What was written since the dump is gone, and no trigger noted that."""
    writes(working, 11)
    assert refresh(working, NOW)[0] == "incremental"
    options = ("--clean", "--if-exists", "--exit-on-error")
    program(working.cluster, working.url, "pg_restore", *options, "-d", working.name, dump)
    assert refresh(working, NOW)[0] == "full"
    assert view_differences(working, NOW) == []
    writes(working, 12)
    check_restored(working)


def test_into_another_server(working: Database, dump: Path) -> None:
    other = Cluster(
        f"test-restore-{os.getpid()}",
        binaries=working.cluster.binaries,
        database="other",
        settings=TEST_SETTINGS,
    )
    try:
        other.start()
        restored = Database(other, "other")
        roles = working.cluster.location / "roles.sql"
        program(
            working.cluster,
            working.url,
            "pg_dumpall",
            "--roles-only",
            "--no-role-passwords",
            "-f",
            roles,
        )
        target = other.location / "dump"
        target.write_bytes(dump.read_bytes())
        # The roles of other tests on this server stay out.
        statements = re.findall(
            r"^(?:CREATE ROLE|ALTER ROLE|GRANT \w+ TO) analytics_.*;$",
            roles.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        roles.unlink()
        restored.execute(*statements)
        target.chmod(0o644)
        program(other, restored.url, "pg_restore", "--exit-on-error", "-d", "other", target)
        assert history(restored) == history(working)
        check_restored(restored)
        migrate(restored.url)
        assert refresh(restored, NOW)[0] == "unchanged"
    finally:
        other.remove()


def test_triggers_made_anew_in_the_same_database_still_mean_a_rebuild(working: Database) -> None:
    working.execute(
        "DROP TRIGGER {} ON public.ofertas".format(
            working.rows(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = 'public.ofertas'::regclass "
                "AND NOT tgisinternal LIMIT 1"
            )[0][0]
        )
    )
    working.execute("CALL analytics.apply_change_capture()")
    assert refresh(working, NOW)[0] == "full"
    assert view_differences(working, NOW) == []
