"""Random marketplaces, each made from a seed, full of what goes wrong in practice."""

import os
import random
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from golden_data import GOLDEN
from oracle import SHARED_TABLES

# The seed of a run; another one: TELOO_SEED=7.
BASE_SEED = int(os.environ.get("TELOO_SEED", "20261123"))

Generation = Literal["A", "B"]
Cell = str | int | bool | None
MICROSECOND = timedelta(microseconds=1)

CITIES = (
    ("Bogotá", "BOGOTA", " bogota ", "Bogota\u0301", "\u00a0Bogotá\u00a0", "\tBOGOTÁ\r\n"),
    ("Santa Marta", "santa  marta", "SANTA\u00a0MARTA", "Santa\r\nMarta", "Santa\u2028\tmarta"),
    ("El Peñol", "EL PENOL", "el pen\u0303ol", "El  PEÑOL"),
    ("Straße", "STRAßE", "straße"),
    ("STRASSE", "Strasse"),
    ("İzmir", "IZMIR", "I\u0307zmir", "izmir"),
    ("", " ", "\u00a0", "\t\n"),
    ("Åland", "A\u030aland", "ALAND", "\u212bland"),
    ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    ("Łódź", "ŁODZ", "łódz\u0301"),
    ("O'Brien", "o'brien"),
    ("SantaMarta",),
    ("Bogotá D.C.", "BOGOTA D.C."),
)
BRANDS = (
    *("Citroën", "CITROËN", " citroën\t", "Citroe\u0308n", "CITROE\u0308N"),
    *("Land Rover", "land rover", "Land  Rover", "LAND\u00a0ROVER", "\u00a0Land Rover\r\n"),
    *("", " ", "\u00a0", "\t\r\n", "\u00a0 \t", "\v\f\u2028"),
    *("Škoda", "ŠKODA", "škoda ", "Straße", "STRASSE", "straße", "Ñandú", "ñandú"),
    *("100% 'Motor'", "C:\\brand\\", '"Kia"', "KIA", "kia", "Kia\n", "Лада", "ЛАДА", "王"),
)
NAMES = (
    "Ana",
    "",
    " ",
    "  Luis ",
    "José 😀",
    "O'Brien",
    "Tab\tName",
    "Line\nbreak",
    'q"uote',
    "王",
)
ABSURD_INSTANTS = (
    "infinity",
    "-infinity",
    "0001-01-01 00:00:00+00",
    "9999-12-31 23:59:59.999999+00",
    "4714-11-24 00:00:00+00 BC",
    "294276-12-31 23:59:59.999999+00",
    "1883-03-13 04:56:16+00",
)
ABSURD_DATES = ("infinity", "-infinity", "0001-01-01", "4713-01-01 BC", "5874897-12-31")
ADVISOR_STATES = ("ACTIVO", "INACTIVO", "SUSPENDIDO")
AUDIT_STATES = ("APROBADA", "OBSERVACIONES", "RECHAZADA")
OFFER_STATES = ("ENVIADA", "GANADORA", "NO_SELECCIONADA", "EXPIRADA", "RECHAZADA", "ACEPTADA")
REQUEST_STATES_B = (
    *("ABIERTA", "EVALUADA", "ACEPTADA", "RECHAZADA", "EXPIRADA"),
    "CERRADA_SIN_OFERTAS",
)
REQUEST_STATES = {
    # A may still hold rows with B's older states.
    "A": (*REQUEST_STATES_B, "OFERTAS_ACEPTADAS", "OFERTAS_RECHAZADAS"),
    "B": REQUEST_STATES_B,
}


@dataclass(frozen=True)
class Size:
    """How many rows of each kind."""

    # With the seven twins 33: percentiles are then multiples of 3.125, which are ties.
    active_advisors: int = 26
    idle_advisors: int = 8
    clients: int = 25
    requests: int = 110
    offers_per_request: int = 5
    history: int = 420
    notices: int = 350
    audits: int = 120


SMALL = Size(3, 1, 3, 14, 3, 25, 20, 12)


def load_schema_b(url: str) -> None:
    """Make the empty tables of generation B, with keys and indexes, in schema teloo."""
    statements: list[str] = []
    in_data = False
    for line in (GOLDEN / "source_b.sql").read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY "):
            in_data = True
        elif line == r"\.":
            in_data = False
        elif not in_data:
            statements.append(line)
    with psycopg.connect(url) as connection:
        connection.execute("\n".join(statements).encode())


def schema_of(generation: Generation) -> str:
    """Return the schema of the source tables."""
    return "public" if generation == "A" else "teloo"


def audits_table(generation: Generation) -> str:
    """Return the name of the table of audits."""
    return "auditorias_tiendas" if generation == "A" else "auditoria_tiendas"


def local_midnight(day: date, zone: str) -> datetime:
    """Return the instant at which a local day begins."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def first_of_month(day: date, months_before: int) -> date:
    """Return the first day of an earlier (or, negative, later) month."""
    count = day.year * 12 + day.month - 1 - months_before
    return date(count // 12, count % 12 + 1, 1)


@dataclass
class Marketplace:
    """The rows of one marketplace in the making."""

    seed: int
    generation: Generation
    today: date
    zone: str
    random: random.Random
    rows: dict[str, list[dict[str, Cell]]] = field(default_factory=dict)
    # None: where the generation has its tables.
    schema: str | None = None

    # -- values ----------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        """Throw a loaded coin."""
        return self.random.random() < probability

    def new_id(self) -> str:
        """Return an id that depends on the seed alone."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def maybe_null(self, value: Cell, probability: float = 0.06) -> Cell:
        """Make a value NULL now and then where generation B allows it."""
        return None if self.generation == "B" and self.chance(probability) else value

    def parent(self, ids: list[str]) -> Cell:
        """Return the id of a parent; in B sometimes none."""
        return self.maybe_null(self.random.choice(ids), 0.04) if ids else None

    def flag(self, probability: float = 0.4) -> Cell:
        """Return a flag; in B sometimes NULL."""
        return self.maybe_null(self.chance(probability), 0.08)

    def between(self, first: datetime, last: datetime) -> datetime:
        """Return a random instant, with microseconds."""
        span = (last - first) // MICROSECOND
        return first + MICROSECOND * self.random.randrange(max(span, 1))

    def edge(self, days: Iterable[date]) -> str:
        """Return the first microsecond of one of the days or the one before it.

        The days are local, or, to tempt those who cut in UTC, of UTC.
        """
        zone = "UTC" if self.chance(0.2) else self.zone
        moment = local_midnight(self.random.choice(list(days)), zone)
        return (moment - self.random.choice((0, 0, 1)) * MICROSECOND).isoformat()

    def absurd_instant(self) -> str:
        """Return an instant nobody means."""
        century = self.random.choice((date(2000, 1, 1), date(2100, 1, 1)))
        beyond = local_midnight(century, self.zone) - (century.year == 2000) * MICROSECOND
        return self.random.choice((*ABSURD_INSTANTS, beyond.isoformat()))

    def request_instant(self) -> Cell:
        """Return when a request was made: mostly in five of the last months and the next."""
        if self.chance(0.08):
            return self.maybe_null(self.absurd_instant(), 0.3)
        months = (0, 0, 1, 3, 6, 7, -1)
        if self.chance(0.3):
            return self.edge(first_of_month(self.today, month) for month in months)
        month = self.random.choice(months)
        first = local_midnight(first_of_month(self.today, month), self.zone)
        return self.between(first, first + timedelta(days=27)).isoformat()

    def window_edges(self) -> list[date]:
        """Return the days at the edges of the windows of 30, 60 and 90 days."""
        edges = (1, 0, -7, -28, -29, -30, -59, -60, -89, -88, -90)
        return [self.today + timedelta(days=days) for days in edges]

    def recent_instant(self, days: int) -> str:
        """Return an instant in or around a window that ends today."""
        if self.chance(0.04):
            return self.absurd_instant()
        if self.chance(0.35):
            return self.edge(self.window_edges())
        end = local_midnight(self.today + timedelta(days=2), self.zone)
        return self.between(end - timedelta(days=days), end).isoformat()

    def history_day(self) -> str:
        """Return the day of a historical offer: a date in A, an instant in B."""
        if self.generation == "B":
            return self.recent_instant(self.random.choice((40, 100)))
        if self.chance(0.04):
            return self.random.choice(ABSURD_DATES)
        if self.chance(0.35):
            return str(self.random.choice(self.window_edges()))
        days = self.random.randrange(-2, self.random.choice((38, 38, 95)))
        return str(self.today - timedelta(days=days))

    def registration(self) -> Cell:
        """Return when an advisor registered; in B sometimes NULL."""
        if self.chance(0.4):
            return self.maybe_null("2026-01-01 00:00:00+00", 0.2)
        return self.recent_instant(200)

    def offer_instant(self) -> Cell:
        """Return when an offer was made; in B sometimes NULL."""
        return self.maybe_null(self.recent_instant(60))

    def closing_instant(self, created: Cell) -> Cell:
        """Return when a request was closed: after, at or before its creation."""
        if self.chance(0.06):
            return self.random.choice(ABSURD_INSTANTS)
        try:
            start = datetime.fromisoformat(str(created))
            microseconds = self.random.choice(
                (
                    *(0, 5_000, -5_000, 2_125_000, -2_125_000, -2_135_000, 1, -1),
                    self.random.randrange(-(10**9), 10**12),
                    self.random.randrange(10**12),
                )
            )
            return (start + microseconds * MICROSECOND).isoformat()
        except (ValueError, OverflowError):
            return "2026-05-05 05:05:05.050505+00"

    def price(self) -> str:
        """Return the price of a line."""
        cents = self.random.choice(
            (
                self.random.randrange(100_000, 5_000_000_001),
                self.random.randrange(100_000, 100_010),
                5_000_000_000,
            )
        )
        if self.generation == "A" and self.chance(0.06):
            return self.random.choice(("NaN", "9999999999.99", "-9999999999.99", "0", "-0.01"))
        return f"{cents // 100}.{cents % 100:02d}"

    def amount(self) -> Cell:
        """Return the total of a historical offer."""
        if self.chance(0.05):
            return "NaN"
        if self.chance(0.05):
            return "9999999999999.99" if self.generation == "A" else "9999999999.99"
        if self.chance(0.5):
            return f"1000.{self.random.randrange(100):02d}"
        return self.maybe_null(str(self.random.randrange(10**9) / 100))

    def score(self) -> str:
        """Return an auditor's score."""
        if self.generation == "B":
            return str(self.random.randrange(100, 501) / 100)
        return "NaN" if self.chance(0.05) else str(self.random.randrange(10, 51) / 10)

    def seconds(self) -> Cell:
        """Return a response time; 0 means unknown."""
        value = self.random.choice((0, 0, 1, 30, 60, 61, -7, 86_400, 2_147_483_647))
        if self.chance(0.5):
            value = self.random.randrange(1, 90_000)
        return self.maybe_null(value, 0.1)

    def trust(self) -> Cell:
        """Return an advisor's own trust figure: few different ones, so that ranks tie."""
        if self.generation == "A" and self.chance(0.05):
            return "NaN"
        return self.maybe_null(self.random.choice(("3.0", "3.0", "4.5", "1.0", "5.0")), 0.1)

    def percent(self) -> Cell:
        """Return a percentage the source keeps."""
        if self.chance(0.04):
            return "NaN"
        return self.maybe_null(str(self.random.randrange(10_000) / 100))

    def city(self) -> str:
        """Return some spelling of some city, half of the time of the first."""
        return self.random.choice(CITIES[0] if self.chance(0.5) else self.random.choice(CITIES))

    def small_number(self) -> int:
        """Return a number within the checks of generation B."""
        return self.random.choice((1, 2, 3, self.random.randrange(1, 61)))

    # -- rows ------------------------------------------------------------------------------

    def add(self, table: str, **values: Cell) -> str:
        """Add a row; return its id."""
        identity = self.new_id()
        self.rows.setdefault(table, []).append({"id": identity, **values})
        return identity

    def only(self, generation: Generation, **values: Cell) -> dict[str, Cell]:
        """Return the values where the generation has these columns."""
        return values if self.generation == generation else {}

    def user(self, role: str) -> str:
        """Add a person."""
        number = len(self.rows.get("usuarios", []))
        email: Cell = f"user{number}.{self.seed}@example.com"
        last_name = self.random.choice(NAMES)
        return self.add(
            "usuarios",
            nombre=self.random.choice(NAMES),
            email=None if self.generation == "A" and self.chance(0.15) else email,
            telefono=self.maybe_null("+573000000000"),
            rol=role,
            **self.only("A", apellido=last_name, estado=self.random.choice(("ACTIVO", "INACTIVO"))),
            **self.only("B", activo=self.flag(0.7)),
        )

    def advisor(self, state: str, city: str | None = None, trust: Cell | None = None) -> str:
        """Add an advisor."""
        return self.add(
            "asesores",
            usuario_id=self.user("ADVISOR"),
            ciudad=city if city is not None else self.city(),
            departamento=self.maybe_null("Depto"),
            punto_venta=self.maybe_null(self.random.choice(("", 'Almacén "1"', "A\\B\tC"))),
            confianza=trust or self.trust(),
            estado=state,
            actividad_reciente_pct=self.percent(),
            desempeno_historico_pct=self.percent(),
            created_at=self.registration(),
            **self.only("B", nivel_actual=self.maybe_null(self.random.randrange(1, 6))),
        )

    def request(self, client: Cell, created: Cell, **values: Cell) -> str:
        """Add a request."""
        state: Cell = self.random.choice(REQUEST_STATES[self.generation])
        answer = self.random.choice((None, None, None, True, False))
        row: dict[str, Cell] = {
            "cliente_id": client,
            "estado": self.maybe_null(state),
            "ciudad_origen": self.city(),
            "departamento_origen": "Depto",
            "nivel_actual": self.maybe_null(self.random.choice((1, 1, 2, 3, 4, 5))),
            "created_at": created,
            "updated_at": self.maybe_null(self.closing_instant(created) or created),
            **self.only(
                "A",
                cliente_acepto=answer,
                fecha_respuesta_cliente=None if self.chance(0.4) else self.closing_instant(created),
                fecha_evaluacion=None if self.chance(0.3) else self.closing_instant(created),
            ),
        }
        return self.add("solicitudes", **{**row, **values})

    def part(self, request: Cell, brand: str | None = None) -> str:
        """Add a requested part."""
        return self.add(
            "repuestos_solicitados",
            solicitud_id=request,
            nombre="Pastillas",
            marca_vehiculo=self.random.choice(BRANDS) if brand is None else brand,
            linea_vehiculo="Línea",
            anio_vehiculo=2020,
            cantidad=1,
        )

    def offer(self, request: Cell, advisor: Cell, state: str | None = None) -> str:
        """Add an offer."""
        return self.add(
            "ofertas",
            solicitud_id=request,
            asesor_id=advisor,
            tiempo_entrega_dias=self.random.randrange(91),
            estado=state or self.maybe_null(self.random.choice(OFFER_STATES)),
            created_at=self.offer_instant(),
        )

    def line(self, offer: Cell, part: Cell, **values: Cell) -> str:
        """Add a line of an offer."""
        row: dict[str, Cell] = {
            "oferta_id": offer,
            "repuesto_solicitado_id": self.maybe_null(part, 0.04),
            "precio_unitario": self.price(),
            "cantidad": 2_147_483_647 if self.chance(0.02) else self.small_number(),
            "garantia_meses": self.small_number(),
            "tiempo_entrega_dias": 1,
        }
        return self.add("ofertas_detalle", **{**row, **values})

    def adjudication(self, request: Cell, offer: Cell, part: Cell) -> str:
        """Add the adjudication of a part to an offer."""
        return self.add(
            "adjudicaciones_repuesto",
            solicitud_id=self.maybe_null(request, 0.2),
            oferta_id=self.maybe_null(offer, 0.1),
            repuesto_solicitado_id=self.maybe_null(part, 0.1),
            precio_adjudicado="1000.00",
            **self.only("A", cantidad_adjudicada=1),
        )

    def history(self, advisor: Cell, request: Cell, **values: Cell) -> str:
        """Add a historical offer."""
        row: dict[str, Cell] = {
            "asesor_id": advisor,
            "solicitud_id": request,
            "fecha": self.history_day(),
            "monto_total": self.amount(),
            "tiempo_respuesta_seg": self.seconds(),
            "adjudicada": self.flag(0.3),
            "aceptada_cliente": self.flag(),
            "entrega_exitosa": self.flag(),
            **self.only("A", cantidad_repuestos=1),
        }
        return self.add("ofertas_historicas", **{**row, **values})

    def notice(self, advisor: Cell, request: Cell) -> str:
        """Add the notification of a request to an advisor."""
        return self.add(
            "historial_respuestas_ofertas",
            asesor_id=advisor,
            solicitud_id=request,
            fecha_envio=self.recent_instant(40),
            respondio=self.flag(0.6),
            tiempo_respuesta_seg=None if self.chance(0.3) else self.seconds(),
        )

    def audit(self, advisor: Cell) -> str:
        """Add an audit."""
        return self.add(
            audits_table(self.generation),
            asesor_id=advisor,
            auditor_id=None,
            fecha_revision=self.recent_instant(110),
            estado=self.random.choice(AUDIT_STATES),
            puntaje_confianza=self.score(),
        )

    # -- the whole -------------------------------------------------------------------------

    def make(self, size: Size) -> None:
        """Make all rows of a marketplace."""
        clients = [
            self.add(
                "clientes",
                usuario_id=self.user("CLIENT"),
                ciudad=self.city(),
                departamento=self.maybe_null("Depto"),
            )
            for _ in range(size.clients)
        ]
        advisors = [self.advisor("ACTIVO") for _ in range(size.active_advisors)]
        advisors += [
            self.advisor(self.random.choice(ADVISOR_STATES[1:])) for _ in range(size.idle_advisors)
        ]
        for row in self.rows["asesores"]:
            # In B an advisor may belong to no user or to another's, or have no estado.
            if self.generation == "B" and self.chance(0.05):
                row["usuario_id"] = self.rows["asesores"][0]["usuario_id"]
            row["usuario_id"] = self.maybe_null(row["usuario_id"], 0.03)
            row["estado"] = self.maybe_null(row["estado"], 0.03)
        requests = [
            self.request(self.parent(clients), self.request_instant()) for _ in range(size.requests)
        ]
        for request in requests:
            self.make_trade(request, advisors, self.random.randrange(size.offers_per_request + 1))
        for _ in range(size.history):
            self.history(self.parent(advisors), self.parent(requests))
        for _ in range(size.notices):
            self.notice(self.parent(advisors), self.parent(requests))
        for _ in range(size.audits):
            self.audit(self.parent(advisors))
        if size.requests > SMALL.requests:
            self.make_twins(requests)
            self.make_hand_picked_months(clients, advisors)

    def make_trade(self, request: str, advisors: list[str], offers: int) -> None:
        """Add the parts of a request, its offers, their lines and adjudications."""
        parts = [self.part(self.maybe_null(request, 0.04)) for _ in range(self.random.randrange(4))]
        of_offers = [
            self.offer(self.maybe_null(request, 0.04), self.parent(advisors)) for _ in range(offers)
        ]
        for offer in of_offers:
            for part in parts:
                if self.chance(0.8):
                    self.line(self.maybe_null(offer, 0.03), part)
        for part in parts:
            # Parts of one request can go to different offers, also ones rejected later.
            if of_offers and self.chance(0.6):
                self.adjudication(request, self.random.choice(of_offers), part)

    def make_twins(self, requests: list[str]) -> None:
        """Add advisors that tie: same wins, same average, same or no trust figure."""
        group = (("3.0", 0), ("3.0", 0), ("4.5", 0), ("4.5", 60), ("4.5", 60))
        for trust, seconds in group:
            twin = self.advisor("ACTIVO", self.random.choice(CITIES[0]), trust)
            if self.generation == "B" and trust == "3.0":
                self.rows["asesores"][-1]["confianza"] = None
            for win in (True, True, False):
                self.history(
                    twin,
                    self.random.choice(requests),
                    fecha=str(self.today),
                    adjudicada=win,
                    tiempo_respuesta_seg=seconds,
                )
        # 301 / 3 and 10033 / 100 are not the same but round to the same: trust decides.
        for trust, values in (("2.0", [100, 100, 101]), ("2.5", [100] * 67 + [101] * 33)):
            twin = self.advisor("ACTIVO", "Bogotá", trust)
            for position, value in enumerate(values):
                self.history(
                    twin,
                    self.random.choice(requests),
                    fecha=str(self.today - timedelta(days=position % 20)),
                    adjudicada=position < 2,
                    tiempo_respuesta_seg=value,
                )

    def make_hand_picked_months(self, clients: list[str], advisors: list[str]) -> None:
        """Add months, far before the others, whose right numbers are known to be hard."""
        state = "OFERTAS_ACEPTADAS" if self.generation == "A" else "ACEPTADA"
        start = local_midnight(first_of_month(self.today, 12), self.zone)
        # The exact average ends in …4.99…967: rounded twice, it would go up.
        for extra in (14_999, 0, 0):
            far = datetime(9999, 1, 1, tzinfo=UTC) + extra * MICROSECOND
            closing = far.isoformat().replace("9999", "294000", 1)
            values: dict[str, Cell] = {"estado": state, "updated_at": closing}
            if self.generation == "A":
                values["fecha_respuesta_cliente"] = closing
            self.request(clients[0], start.isoformat(), **values)
        # A month with two lines whose average price is a tie, and a huge sum.
        start = local_midnight(first_of_month(self.today, 14), self.zone)
        request = self.request(
            clients[0], start.isoformat(), estado=state, updated_at=start.isoformat()
        )
        part = self.part(request, "Kia")
        for cents, quantity in ((1, 2_147_483_647), (2, 2_147_483_647)):
            offer = self.offer(request, advisors[0], "ACEPTADA")
            self.line(offer, part, precio_unitario=f"49999999.0{cents}", cantidad=quantity)
        # An offer that won, and was rejected, belongs to its own request's month, and to no other.
        other = self.request(clients[-1], self.request_instant())
        lost = self.offer(request, advisors[-1], "RECHAZADA")
        self.adjudication(other, lost, part)

    def insert(self, connection: psycopg.Connection) -> None:
        """Insert all rows, parents first."""
        for table, rows in sorted(self.rows.items(), key=lambda item: TABLES.index(item[0])):
            columns = list(dict.fromkeys(column for row in rows for column in row))
            for row in rows:
                # What the source's defaults would give, written so that a seed says it all.
                row.setdefault("created_at", "2026-01-01 00:00:00+00")
            if "created_at" not in columns:
                columns.append("created_at")
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier(self.schema or schema_of(self.generation), table),
                sql.SQL(", ").join(map(sql.Identifier, columns)),
            )
            with connection.cursor().copy(statement) as copy:
                for row in rows:
                    copy.write_row([row[column] for column in columns])


TABLES = (*SHARED_TABLES, "auditorias_tiendas", "auditoria_tiendas")


def start(
    seed: int, generation: Generation, today: date, zone: str = "America/Bogota"
) -> Marketplace:
    """Return a marketplace without rows."""
    return Marketplace(seed, generation, today, zone, random.Random(f"{seed}{generation}"))  # noqa: S311


def fill(
    connection: psycopg.Connection,
    seed: int,
    generation: Generation,
    today: date,
    *,
    zone: str = "America/Bogota",
    size: Size | None = None,
) -> None:
    """Insert a marketplace into the source tables, in one transaction."""
    marketplace = start(seed, generation, today, zone)
    marketplace.make(size or Size())
    with connection.transaction():
        marketplace.insert(connection)


def changes_of(marketplace: Marketplace) -> dict[tuple[str, str], Callable[[], Cell]]:
    """Return what can be changed in place: table and column to the maker of a new value."""
    chosen = marketplace.random.choice
    generation = marketplace.generation
    audits = audits_table(generation)
    changes: dict[tuple[str, str], Callable[[], Cell]] = {
        ("usuarios", "nombre"): lambda: chosen(NAMES),
        ("asesores", "estado"): lambda: chosen(("ACTIVO", *ADVISOR_STATES)),
        ("asesores", "ciudad"): marketplace.city,
        ("asesores", "confianza"): marketplace.trust,
        ("asesores", "created_at"): lambda: marketplace.registration() or "infinity",
        ("solicitudes", "ciudad_origen"): marketplace.city,
        ("solicitudes", "nivel_actual"): lambda: marketplace.random.randrange(1, 6),
        ("solicitudes", "estado"): lambda: chosen(REQUEST_STATES[generation]),
        ("solicitudes", "created_at"): lambda: marketplace.request_instant() or "2026-10-31",
        ("solicitudes", "updated_at"): lambda: marketplace.recent_instant(90),
        ("repuestos_solicitados", "marca_vehiculo"): lambda: chosen(BRANDS),
        ("ofertas", "estado"): lambda: chosen(OFFER_STATES),
        ("ofertas", "created_at"): lambda: marketplace.offer_instant() or "-infinity",
        ("ofertas", "tiempo_entrega_dias"): lambda: marketplace.random.randrange(91),
        ("ofertas_detalle", "precio_unitario"): marketplace.price,
        ("ofertas_detalle", "cantidad"): marketplace.small_number,
        ("ofertas_detalle", "garantia_meses"): marketplace.small_number,
        ("ofertas_historicas", "fecha"): marketplace.history_day,
        ("ofertas_historicas", "monto_total"): marketplace.amount,
        ("ofertas_historicas", "adjudicada"): marketplace.flag,
        ("ofertas_historicas", "aceptada_cliente"): marketplace.flag,
        ("ofertas_historicas", "tiempo_respuesta_seg"): marketplace.seconds,
        ("historial_respuestas_ofertas", "respondio"): marketplace.flag,
        ("historial_respuestas_ofertas", "fecha_envio"): lambda: marketplace.recent_instant(40),
        (audits, "fecha_revision"): lambda: marketplace.recent_instant(110),
        (audits, "puntaje_confianza"): marketplace.score,
    }
    if generation == "A":
        changes["solicitudes", "cliente_acepto"] = lambda: chosen((None, True, False))
        changes["solicitudes", "fecha_respuesta_cliente"] = lambda: chosen(
            (None, marketplace.recent_instant(90))
        )
        changes["solicitudes", "fecha_evaluacion"] = lambda: chosen(
            (None, marketplace.recent_instant(90))
        )
        changes["usuarios", "email"] = lambda: None
    return changes


MOVES = (
    ("solicitudes", "cliente_id", "clientes"),
    ("repuestos_solicitados", "solicitud_id", "solicitudes"),
    ("ofertas", "solicitud_id", "solicitudes"),
    ("ofertas", "asesor_id", "asesores"),
    ("ofertas_detalle", "oferta_id", "ofertas"),
    ("ofertas_detalle", "repuesto_solicitado_id", "repuestos_solicitados"),
    ("adjudicaciones_repuesto", "oferta_id", "ofertas"),
    ("adjudicaciones_repuesto", "repuesto_solicitado_id", "repuestos_solicitados"),
    ("ofertas_historicas", "asesor_id", "asesores"),
    ("historial_respuestas_ofertas", "asesor_id", "asesores"),
)


def change(
    connection: psycopg.Connection,
    seed: int,
    generation: Generation,
    today: date,
    *,
    zone: str = "America/Bogota",
    count: int = 60,
) -> None:
    """Make random changes to a filled marketplace: inserts, updates, moves and deletes."""
    marketplace = start(seed, generation, today, zone)
    changes = changes_of(marketplace)
    schema = schema_of(generation)

    def some_id(table: str) -> str | None:
        ids = connection.execute(
            sql.SQL("SELECT id::text FROM {} ORDER BY id").format(sql.Identifier(schema, table))
        ).fetchall()
        return str(marketplace.random.choice(ids)[0]) if ids else None

    def update(table: str, column: str, value: Cell) -> None:
        statement = sql.SQL("UPDATE {} SET {} = {} WHERE id = {}").format(
            sql.Identifier(schema, table),
            sql.Identifier(column),
            # A literal, not a parameter: its type is the column's, whatever that is.
            sql.Literal(None if value is None else str(value)),
            sql.Literal(some_id(table)),
        )
        try:
            with connection.transaction():
                connection.execute(statement)
        except psycopg.errors.UniqueViolation:
            pass  # A line moved to an offer that has one for this part: the source refuses it.

    fill(connection, seed, generation, today, zone=zone, size=SMALL)
    for _ in range(count):
        kind = marketplace.random.random()
        if kind < 0.7:
            (table, column), make_value = marketplace.random.choice(list(changes.items()))
            update(table, column, make_value())
        elif kind < 0.85:
            table, column, parents = marketplace.random.choice(MOVES)
            update(table, column, marketplace.maybe_null(some_id(parents), 0.2))
        else:
            table = marketplace.random.choice((*TABLES[3:10], audits_table(generation), "usuarios"))
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE id = {}").format(
                    sql.Identifier(schema, table), sql.Literal(some_id(table))
                )
            )
