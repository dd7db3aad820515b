"""Random marketplaces: after every refresh both views equal the independent computation.

``TELOO_SEED=7`` starts the run from another seed; ``TELOO_SEEDS=200`` tries more of them.
A failure names its seed.
"""

import os
import random
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import psycopg
import pytest

from conftest import Database, made_once
from development.demo_source import load_source_schema
from marketplace import BASE_SEED, CITIES, Generation, Size, change, fill, load_schema_b, schema_of
from migrate import migrate
from oracle import (
    ZONE,
    Row,
    all_differences,
    city_key,
    compute,
    read_source,
    read_views,
    rounded,
)
from oracle_views import compute_seven, read_seven, seven_differences

SEEDS = int(os.environ.get("TELOO_SEEDS", "12"))

# Month ends, a leap day, both sides of new year, and instants that are another day in UTC.
NOWS = (
    "2026-11-23 12:00:00-05",
    "2026-11-24 03:00:00+00",
    "2026-11-30 23:59:59.999999-05",
    "2026-12-01 00:00:00-05",
    "2028-02-29 00:00:00-05",
    "2028-03-01 04:59:59.999999+00",
    "2026-12-31 20:00:00-05",
    "2027-01-01 00:00:00-05",
    "2026-03-31 12:00:00-05",
)


@dataclass(frozen=True)
class Trial:
    """A database with a random marketplace, at a pinned instant."""

    database: Database
    generation: Generation
    seed: int
    zone: str = ZONE

    def today(self, now: str) -> date:
        """Return the local day of an instant."""
        return datetime.fromisoformat(now).astimezone(ZoneInfo(self.zone)).date()

    def prepare(self, *statements: str) -> None:
        """Make the source tables, alter them, and migrate. {database} is the database's name."""

        def make(made: Database) -> None:
            (load_source_schema if self.generation == "A" else load_schema_b)(made.url)
            made.execute(*(text.replace("{database}", made.name) for text in statements))
            migrate(made.url)

        made_once(self.database, f"{self.generation} {statements}", make)
        if self.zone != ZONE:
            self.database.execute(f"SELECT analytics.set_setting('time_zone', '{self.zone}')")

    def fill(self, now: str, size: Size | None = None) -> None:
        """Insert the marketplace of the seed."""
        with self.database.session() as connection:
            fill(
                connection,
                self.seed,
                self.generation,
                self.today(now),
                zone=self.zone,
                size=size,
            )

    def change(self, now: str, step: int) -> None:
        """Make random changes."""
        with self.database.session() as connection:
            change(
                connection,
                self.seed + 1000 * step,
                self.generation,
                self.today(now),
                zone=self.zone,
            )

    def check(self, now: str, stage: str) -> None:
        """Refresh in a fresh session and compare all views with the oracle."""
        with self.database.session() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
            connection.execute("SELECT * FROM analytics.refresh_all_mv()")
            expected = compute(connection, self.today(now), self.zone)
            found = all_differences(expected, read_views(connection))
            seven = compute_seven(read_source(connection), self.today(now), self.zone)
            found += seven_differences(seven, read_seven(connection))
        assert not found, (
            f"{stage}: generation {self.generation}, now {now}, seed {self.seed} "
            f"(TELOO_SEED={self.seed} TELOO_SEEDS=1 runs it): {len(found)} differences\n"
            + "\n".join(found[:40])
        )


def now_of(seed: int) -> str:
    """Return the instant that goes with a seed."""
    return NOWS[seed % len(NOWS)]


def run(trial: Trial) -> None:
    """Fill, change and let time pass, with a refresh and a comparison after each."""
    now = now_of(trial.seed)
    trial.prepare()
    trial.fill(now)
    trial.check(now, "after the fill")
    trial.change(now, 1)
    trial.check(now, "after the changes")
    later = NOWS[(trial.seed + 3) % len(NOWS)]
    trial.check(later, "on another day, with nothing changed")


@pytest.mark.parametrize("generation", ["A", "B"])
@pytest.mark.parametrize("seed", range(BASE_SEED, BASE_SEED + SEEDS))
@pytest.mark.takes_turns(3)
def test_views_equal_the_oracle_on_a_random_marketplace(
    system_database: Database, generation: Generation, seed: int
) -> None:
    run(Trial(system_database, generation, seed))


@pytest.mark.parametrize("generation", ["A", "B"])
@pytest.mark.parametrize("seed", range(BASE_SEED + 500, BASE_SEED + 502))
@pytest.mark.takes_turns(2)
def test_views_equal_the_oracle_on_each_server(
    database: Database, generation: Generation, seed: int
) -> None:
    run(Trial(database, generation, seed))


@pytest.mark.parametrize("now", NOWS)
@pytest.mark.takes_turns(2)
def test_views_equal_the_oracle_whatever_day_it_is(
    system_database: Database, now: str, request: pytest.FixtureRequest
) -> None:
    generation: Generation = "A" if NOWS.index(now) % 2 else "B"
    trial = Trial(system_database, generation, BASE_SEED + 100)
    trial.prepare()
    trial.fill(now)
    trial.check(now, "after the fill")


@pytest.mark.parametrize("generation", ["A", "B"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Kiritimati", "America/Sao_Paulo"])
@pytest.mark.takes_turns(2)
def test_views_follow_the_time_zone_setting(
    system_database: Database, generation: Generation, zone: str
) -> None:
    trial = Trial(system_database, generation, BASE_SEED + 200, zone)
    now = "2026-11-23 18:00:00+00"
    trial.prepare()
    trial.fill(now)
    trial.check(now, zone)


def test_changing_the_time_zone_later_recomputes_every_month(system_database: Database) -> None:
    now = "2026-11-23 12:00:00-05"
    trial = Trial(system_database, "A", BASE_SEED + 250)
    trial.prepare()
    trial.fill(now)
    trial.check(now, "in Bogotá")
    system_database.execute("SELECT analytics.set_setting('time_zone', 'Asia/Tokyo')")
    Trial(system_database, "A", trial.seed, "Asia/Tokyo").check(now, "in Tokyo")


@pytest.mark.parametrize("generation", ["A", "B"])
def test_an_empty_source_gives_no_rows_and_no_error(
    database: Database, generation: Generation
) -> None:
    trial = Trial(database, generation, BASE_SEED)
    trial.prepare()
    trial.check(NOWS[0], "empty")
    with database.session() as connection:
        assert read_views(connection) == ([], [])


def test_a_source_emptied_after_a_refresh_gives_no_rows(system_database: Database) -> None:
    trial = Trial(system_database, "A", BASE_SEED + 300)
    trial.prepare()
    trial.fill(NOWS[0], Size(5, 1, 3, 10, 3, 20, 20, 10))
    trial.check(NOWS[0], "full")
    system_database.execute("DELETE FROM public.usuarios")
    trial.check(NOWS[0], "emptied")
    with system_database.session() as connection:
        assert read_views(connection) == ([], [])


def test_a_client_answer_stored_without_zone_is_read_as_utc(system_database: Database) -> None:
    trial = Trial(system_database, "A", BASE_SEED + 400)
    trial.prepare(
        "ALTER TABLE public.solicitudes ALTER fecha_respuesta_cliente TYPE timestamp "
        "USING fecha_respuesta_cliente AT TIME ZONE 'UTC'",
        "ALTER DATABASE {database} SET TimeZone = 'Asia/Tokyo'",
    )
    assert system_database.rows("SHOW TimeZone") == [("Asia/Tokyo",)]
    trial.fill(NOWS[0])
    trial.check(NOWS[0], "timestamp without time zone")


@pytest.mark.parametrize("generation", ["A", "B"])
def test_the_session_time_zone_and_date_style_change_nothing(
    system_database: Database, generation: Generation
) -> None:
    trial = Trial(system_database, generation, BASE_SEED + 450)
    trial.prepare(
        "ALTER DATABASE {database} SET TimeZone = 'Pacific/Kiritimati'",
        "ALTER DATABASE {database} SET extra_float_digits = 0",
        "ALTER DATABASE {database} SET search_path = pg_catalog",
    )
    assert system_database.rows("SHOW TimeZone") == [("Pacific/Kiritimati",)]
    trial.fill(NOWS[0])
    trial.check(NOWS[0], "odd session settings")


def test_infinite_numbers_count_as_null(system_database: Database) -> None:
    trial = Trial(system_database, "A", BASE_SEED + 460)
    trial.prepare(
        "ALTER TABLE public.ofertas_detalle ALTER precio_unitario TYPE numeric",
        "ALTER TABLE public.ofertas_historicas ALTER monto_total TYPE numeric",
        "ALTER TABLE public.auditorias_tiendas ALTER puntaje_confianza TYPE numeric",
    )
    trial.fill(NOWS[0])
    for table, column in (
        ("ofertas_detalle", "precio_unitario"),
        ("ofertas_historicas", "monto_total"),
        ("auditorias_tiendas", "puntaje_confianza"),
    ):
        system_database.execute(
            f"UPDATE public.{table} SET {column} = 'Infinity' WHERE id::text < '2'",
            f"UPDATE public.{table} SET {column} = '-Infinity' WHERE id::text >= 'e'",
            f"UPDATE public.{table} SET {column} = 1e30 + 0.005 WHERE id::text LIKE '3%'",
        )
    trial.check(NOWS[0], "infinite numbers")


@pytest.mark.parametrize("kind", ["real", "double precision"])
def test_binary_numbers_count_with_all_digits_that_they_show(
    system_database: Database, kind: str
) -> None:
    """A cast to numeric would keep 6 or 15 of them: 1234567 pesos would be 1234570."""
    trial = Trial(system_database, "A", BASE_SEED + 465)
    trial.prepare(
        *(
            f"ALTER TABLE public.{table} ALTER {column} TYPE {kind}"
            for table, column in (
                ("asesores", "confianza"),
                ("asesores", "actividad_reciente_pct"),
                ("ofertas_detalle", "precio_unitario"),
                ("ofertas_historicas", "monto_total"),
                ("auditorias_tiendas", "puntaje_confianza"),
            )
        ),
        "ALTER DATABASE {database} SET extra_float_digits = 0",
    )
    trial.fill(NOWS[0])
    system_database.execute(
        "ALTER DATABASE " + system_database.name + " RESET extra_float_digits",
        "UPDATE public.ofertas_historicas SET monto_total = monto_total / 3 WHERE id::text < '8'",
        "UPDATE public.ofertas_detalle SET precio_unitario = 1234567 WHERE id::text < '4'",
        "UPDATE public.asesores SET actividad_reciente_pct = 200.0 / 3",
    )
    trial.check(NOWS[0], kind)
    ((lowest,),) = system_database.rows(
        "SELECT count(*) FROM analytics.mv_metricas_mensuales WHERE precio_minimo_ofertas = 1234567"
    )
    assert int(str(lowest)) > 0
    system_database.execute(
        "ALTER DATABASE " + system_database.name + " SET extra_float_digits = -15"
    )
    assert system_database.rows("SELECT analytics.audit()") == [(0,)]
    with system_database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOWS[0]])
        connection.execute("CALL analytics.rebuild(true)")
    system_database.execute("ALTER DATABASE " + system_database.name + " RESET extra_float_digits")
    trial.check(NOWS[0], f"{kind}, rebuilt")


@pytest.mark.parametrize("generation", ["A", "B"])
def test_columns_with_domains_for_types_give_the_same(
    system_database: Database, generation: Generation
) -> None:
    """Also keys: nothing of ours has such a type, so the source may drop or change it."""
    domains = {
        "uuid": "uuid",
        "boolean": "boolean",
        "timestamptz": "timestamp with time zone",
        "date": "date",
        "integer": "integer",
        "numeric": "numeric",
        "varchar": "character varying",
    }
    schema = schema_of(generation)
    trial = Trial(system_database, generation, BASE_SEED + 468)
    trial.prepare(
        *(f"CREATE DOMAIN {schema}.own_{kind} AS {kind}" for kind in domains),
        # Constraints and defaults stand in the way of other types.
        f"""DO $$ DECLARE statement text; BEGIN
            FOR statement IN
                SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
                FROM pg_constraint
                WHERE connamespace = '{schema}'::regnamespace AND contype IN ('f', 'c')
            LOOP EXECUTE statement; END LOOP;
            FOR statement IN
                SELECT format(
                    'ALTER TABLE {schema}.%I ALTER %I TYPE {schema}.own_%s',
                    table_name, column_name, kinds.own)
                FROM information_schema.columns
                INNER JOIN (VALUES {", ".join(map(str, domains.items()))}) AS kinds (own, shown)
                    ON kinds.shown = data_type
                WHERE table_schema = '{schema}'
            LOOP EXECUTE statement; END LOOP;
        END $$""",
    )
    trial.fill(NOWS[0])
    trial.check(NOWS[0], "domains")
    trial.change(NOWS[0], 1)
    trial.check(NOWS[0], "domains, changed")
    assert system_database.rows(
        "SELECT count(*) FROM pg_attribute INNER JOIN pg_type ON pg_type.oid = atttypid "
        "INNER JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE typtype = 'd' AND relnamespace IN ('kpi_engine'::regnamespace, "
        "'analytics'::regnamespace)"
    ) == [(0,)]


@pytest.mark.parametrize("generation", ["A", "B"])
def test_requests_of_a_whole_century_give_1200_months(
    system_database: Database, generation: Generation
) -> None:
    trial = Trial(system_database, generation, BASE_SEED + 470)
    trial.prepare()
    trial.fill(NOWS[0])
    edges = (
        "1999-12-31 23:59:59.999999-05",
        "2000-01-01 00:00:00-05",
        "2099-12-31 23:59:59.999999-05",
        "2100-01-01 00:00:00-05",
    )
    table = f"{schema_of(generation)}.solicitudes"
    for offset, edge in enumerate(edges):
        system_database.execute(
            f"UPDATE {table} SET created_at = '{edge}' WHERE id = "
            f"(SELECT id FROM {table} ORDER BY id OFFSET {offset} LIMIT 1)"
        )
    trial.check(NOWS[0], "a century")
    assert system_database.rows("SELECT count(*) FROM analytics.mv_metricas_mensuales") == [(1200,)]


# -- the functions the views are made of -------------------------------------------------------


def nasty_spellings() -> list[str]:
    """Return spellings of cities: the generator's, and random strings of difficult characters."""
    dice = random.Random(BASE_SEED)  # noqa: S311
    pieces = [
        *(" ", "\t", "\n", "\r", "\u00a0", "  ", "\u00a0 \u00a0", "\v", "\f", "\u0085", "\u2028"),
        *("a", "Z", "ñ", "n\u0303", "Ñ", "é", "e\u0301", "ü", "ẞ", "ß", "ı", "İ", "i\u0307"),
        *("\u0300", "\u036f", "\u0345", "\u0344", "\u0370", "\u02ff", "\u20d7", "\ufe20"),
        *("\u212b", "\u2126", "ﬁ", "ŉ", "ǰ", "ǆ", "µ", "ς", "σ", "王", "한", "\u1112\u1161", "😀"),
        *("\u1e69", "s\u0323\u0307", "s\u0307\u0323", "ộ", "\u2000", "\u200b", "\ufeff", "\\", "'"),
    ]
    spellings = [spelling for group in CITIES for spelling in group]
    spellings += [
        "".join(dice.choice(pieces) for _ in range(dice.randrange(9))) for _ in range(400)
    ]
    return [*spellings, "", " ", "\u00a0", "\u0301", " \u0301 ", "a \u0301b"]


def test_city_key_is_the_oracle_s_for_every_nasty_spelling(migrated: Database) -> None:
    with migrated.session() as connection:
        for spelling in nasty_spellings():
            row = connection.execute("SELECT analytics.city_key(%s::text)", [spelling]).fetchone()
            assert row == (city_key(spelling),), ascii(spelling)


def test_spellings_of_one_city_share_a_key_and_cities_do_not(migrated: Database) -> None:
    with migrated.session() as connection:
        keys = []
        for spellings in CITIES:
            rows = connection.execute(
                "SELECT DISTINCT analytics.city_key(spelling) FROM unnest(%s::text[]) spelling",
                [list(spellings)],
            ).fetchall()
            assert len(rows) == 1, spellings
            keys.append(rows[0][0])
    assert len(keys) == len(set(keys))


def random_quotients() -> list[tuple[Decimal, Decimal]]:
    """Return dividends and divisors: ordinary, exact ties on both sides, tiny, huge."""
    dice = random.Random(BASE_SEED + 1)  # noqa: S311
    pairs = [
        (Decimal(1), Decimal(200)),
        (Decimal(-1), Decimal(200)),
        (Decimal(0), Decimal(7)),
        (Decimal("0.01"), Decimal(2)),
        (Decimal("1e40") + 1, Decimal(3)),
        # 4.99…967 in the third decimal and after: rounding twice takes it up.
        (Decimal("30000000000000.014999"), Decimal(3)),
        (Decimal("3e25") + Decimal("0.014999999999999999"), Decimal(3)),
        (Decimal("-3e25") - Decimal("0.014999999999999999"), Decimal(3)),
    ]
    for _ in range(400):
        divisor = dice.randrange(1, 10 ** dice.choice((1, 2, 4, 8)))
        tie = Decimal(2 * dice.randrange(-(10**9), 10**9) + 1) / 200
        nudge = Decimal(dice.choice((-1, 0, 0, 1))).scaleb(-6)
        pairs.append((tie * divisor + nudge, Decimal(divisor)))
        digits = dice.choice((6, 15, 25))
        pairs.append((Decimal(dice.randrange(-(10**digits), 10**digits)) / 100, Decimal(divisor)))
    return pairs


def answers(
    connection: psycopg.Connection, call: str, pairs: list[tuple[Decimal, Decimal]]
) -> list[object]:
    """Return what an SQL function of two numbers answers for each pair."""
    return [connection.execute(f"SELECT {call}", pair).fetchone() for pair in pairs]


def test_rounded_quotient_rounds_once_and_half_away_from_zero(migrated: Database) -> None:
    pairs = random_quotients()
    with migrated.session() as connection:
        got = answers(connection, "kpi_engine.rounded_quotient(%s::numeric, %s::numeric)", pairs)
        for pair, answer in zip(pairs, got, strict=True):
            assert answer == (rounded(Fraction(pair[0]) / Fraction(pair[1])),), pair
        nothing = connection.execute(
            "SELECT kpi_engine.rounded_quotient(5, 0), kpi_engine.rounded_quotient(NULL, 0), "
            "scale(kpi_engine.rounded_quotient(1, 3))"
        ).fetchone()
    assert nothing == (None, None, 2)


def test_percentage_rounds_once_and_is_0_over_nothing(migrated: Database) -> None:
    dice = random.Random(BASE_SEED + 2)  # noqa: S311
    pairs = [(Decimal(1), Decimal(32)), (Decimal(1), Decimal(800)), (Decimal(7), Decimal(160))]
    for _ in range(500):
        whole = dice.randrange(1, 10 ** dice.choice((1, 2, 3, 9, 18)))
        pairs.append((Decimal(dice.randrange(whole + 1)), Decimal(whole)))
    with migrated.session() as connection:
        got = answers(connection, "kpi_engine.percentage(%s::numeric, %s::numeric)", pairs)
        for pair, answer in zip(pairs, got, strict=True):
            assert answer == (rounded(100 * Fraction(pair[0]) / Fraction(pair[1])),), pair
        nothing = connection.execute("SELECT kpi_engine.percentage(0, 0)").fetchone()
    assert nothing == (0,)


def test_the_oracle_tells_a_wrong_cell_from_a_right_one() -> None:
    """The comparison itself: a cent, a NULL for a 0 and a lost row are all seen."""
    row: Row = {"mes": date(2026, 1, 1), "n": 1, "average": Decimal("1.10")}
    right: Row = {"mes": date(2026, 1, 1), "n": Decimal(1), "average": Fraction(11, 10)}
    assert all_differences(([dict(row)], []), ([dict(right)], [])) == []
    wrong_rows: list[Row] = [
        {**right, "average": Decimal("1.11")},
        {**right, "average": None},
        {**right, "average": Decimal("NaN")},
        {**right, "n": "1"},
    ]
    for wrong in wrong_rows:
        assert len(all_differences(([dict(row)], []), ([dict(wrong)], []))) == 1
    assert len(all_differences(([dict(row)], []), ([], []))) == 1
    assert len(all_differences(([], []), ([dict(right)], []))) == 1


def test_the_oracle_rounds_half_away_from_zero() -> None:
    assert [
        str(rounded(Fraction(value)))
        for value in ("0.005", "-0.005", "2.125", "-2.125", "0.00499999", "1e20")
    ] == ["0.01", "-0.01", "2.13", "-2.13", "0.00", "100000000000000000000.00"]
