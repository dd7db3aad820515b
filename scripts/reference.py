"""Writes docs/reference: settings, endpoints, KPI columns, metrics … as the database says them."""

import sys

import psycopg

from cluster import Cluster
from commandline.console import Parser, UserError, report, run_tool, set_up_logging
from database import prerequisites
from development.demo_source import load_source_schema
from development.reference_pages import DIRECTORY, differing, pages
from migrate import migrate

NOT_CURRENT = 3


def pages_of_a_new_installation() -> dict[str, str]:
    """Return the pages, made in a cluster that is there only meanwhile."""
    cluster = Cluster("reference")
    cluster.start()
    try:
        load_source_schema(cluster.url())
        migrate(cluster.url())
        with prerequisites.connect(cluster.url(), "reference") as connection:
            return pages(connection)
    finally:
        cluster.remove()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="reference.py",
        description="Installs the package in a cluster of its own, writes docs/reference from what "
        "the database says, and removes the cluster.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 --check found a page that differs.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; name what differs")
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        made = pages_of_a_new_installation()
    except UserError as error:
        return report(error)
    except psycopg.Error as error:
        return report(prerequisites.explained(error))
    names = differing(made)
    if options.check:
        for name in names:
            print(f"docs/reference/{name} is not current: run make reference", file=sys.stderr)
        return NOT_CURRENT if names else 0
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = DIRECTORY / name
        if name in made:
            path.write_text(made[name], encoding="utf-8")
        else:
            path.unlink()
        print(f"docs/reference/{name} {'written' if name in made else 'removed'}")
    print(f"{len(made) - len(names)} pages were current")
    return 0


if __name__ == "__main__":
    run_tool(main)
