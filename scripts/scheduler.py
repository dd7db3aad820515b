"""The schedule without pg_cron: calls analytics.tick() and analytics.work() every minute."""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import psycopg
from apscheduler.schedulers.background import BackgroundScheduler

from commandline.console import (
    LOGGER,
    Parser,
    UserError,
    database_url,
    described,
    report,
    run_tool,
    set_up_logging,
)
from services.service import check, connect, stop_on_signal

CALLS = {"tick": "CALL analytics.tick()", "work": "CALL analytics.work()"}
CANCEL_SECONDS = 10


class Service:
    """Calls of one database; each is a connection of its own, so that none hides a lost one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._running: dict[str, psycopg.Connection] = {}
        self._lock = threading.Lock()
        self._stopping = False

    def call(self, name: str) -> bool:
        """Call one procedure; log what fails, and return whether it went well."""
        try:
            with connect(self.url, f"scheduler: {name}") as connection:
                with self._lock:
                    if self._stopping:
                        return True
                    self._running[name] = connection
                try:
                    connection.execute(CALLS[name])
                finally:
                    with self._lock:
                        self._running.pop(name, None)
        except psycopg.Error as error:
            LOGGER.error("analytics.%s() failed: %s", name, described(error))
            return False
        return True

    def stop(self, seconds: float) -> None:
        """Begin nothing any more; let what runs go on for so long, then cancel it."""
        with self._lock:
            self._stopping = True
        self._wait(seconds)
        for name in list(self._running):
            LOGGER.warning("analytics.%s() is still running: cancelled", name)
        while self._running:
            with self._lock:
                for connection in self._running.values():
                    try:
                        connection.cancel_safe(timeout=CANCEL_SECONDS)
                    except psycopg.Error as error:
                        LOGGER.error("it could not be cancelled: %s", described(error))
            # A cancelled refresh still writes down that it was.
            self._wait(CANCEL_SECONDS)

    def _wait(self, seconds: float) -> None:
        """Wait until nothing runs, at most so long."""
        deadline = time.monotonic() + seconds
        while self._running and time.monotonic() < deadline:
            time.sleep(0.1)

    def run(self, seconds: float, stop: threading.Event, stop_seconds: float) -> None:
        """Call both every so many seconds until told to stop; then let what runs finish."""
        # A refresh that takes longer than a minute is no reason for a warning each minute.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler = BackgroundScheduler(timezone=UTC)
        for name in CALLS:
            scheduler.add_job(
                self.call,
                "interval",
                [name],
                seconds=seconds,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
                next_run_time=datetime.now(UTC),
                id=name,
            )
        scheduler.start()
        LOGGER.info("analytics.tick() and analytics.work() every %g s", seconds)
        while not stop.wait(min(seconds, 60)):
            catch_up(scheduler, seconds)
        scheduler.pause()
        LOGGER.info("stopping")
        self.stop(stop_seconds)
        scheduler.shutdown(wait=True)
        LOGGER.info("stopped")


def catch_up(scheduler: BackgroundScheduler, seconds: float) -> None:
    """Call at once what is due later than in so many seconds: the clock was set back.

    APScheduler goes by the clock, and would wait until it has come to that moment again.
    """
    now = datetime.now(UTC)
    for job in scheduler.get_jobs():
        if job.next_run_time and job.next_run_time > now + timedelta(seconds=seconds + 1):
            LOGGER.warning("the clock was set back; analytics.%s() goes on", job.id)
            job.modify(next_run_time=now)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="scheduler.py",
        description="Calls analytics.tick() and analytics.work() every minute, where pg_cron "
        "can't. Best run as role analytics_scheduler. Together with pg_cron it is harmless.",
        epilog="Exit codes: 0 stopped by SIGTERM or SIGINT (--once: both calls went well), "
        "1 something failed, 2 wrong usage.",
    )
    parser.add_database_url()
    parser.add_argument(
        "--interval", type=float, default=60, help="seconds between calls; default: 60"
    )
    parser.add_argument(
        "--stop-seconds",
        type=float,
        default=30,
        help="on SIGTERM, let a refresh go on for so long before it is cancelled; default: 30",
    )
    parser.add_argument("--once", action="store_true", help="tick once, work once, and end")
    options = parser.parse_args(arguments)
    set_up_logging()
    if not 0.1 <= options.interval <= 3600:
        parser.error("--interval must be from 0.1 to 3600")
    try:
        url = database_url(options.database_url)
        check(url, ["analytics.tick()", "analytics.work()"])
    except UserError as error:
        return report(error)
    service = Service(url)
    if options.once:
        went_well = [service.call(name) for name in CALLS]
        return 0 if all(went_well) else 1
    service.run(options.interval, stop_on_signal(), options.stop_seconds)
    return 0


if __name__ == "__main__":
    run_tool(main)
