"""What the seven further views must hold, computed in plain Python from the rows of the source.

Written from kpis-special.md alone, without looking at the SQL, in the way of ``oracle``: nothing
is aggregated by PostgreSQL, sums, averages, medians and roundings are exact (``Fraction``).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

import psycopg

import oracle
from oracle import (
    SELECTED_OFFER,
    ZONE,
    Row,
    Source,
    Value,
    average,
    children,
    city_key,
    exact_sum,
    full_name,
    in_window,
    is_accepted,
    is_rejected,
    local_day,
    months_between,
    number,
    numbers,
    percentage,
    rounded,
)

# The settings segment_…, as they are by default.
LIMITS = {
    "segment_new_days": 30,
    "segment_recent_days": 7,
    "segment_active_offers": 10,
    "segment_star_value": 6_000_000,
    "segment_dormant_days": 30,
    "segment_dormant_value": 6_000_000,
    "segment_risk_offers": 4,
    "segment_steady_days": 14,
    "segment_steady_offers": 5,
}
DAY = 86_400
# In the order in which a refresh publishes them.
NINE = (
    "mv_demanda_ciudades",
    "mv_embudo_niveles",
    "mv_embudo_operativo",
    "mv_finanzas_mensuales",
    "mv_metricas_mensuales",
    "mv_retencion_asesores",
    "mv_salud_marketplace",
    "mv_segmentos_asesores",
    "mv_ranking_asesores",
)
Key = TypeVar("Key")


# -- the words that all views use ----------------------------------------------------------------


def median(values: Sequence[Fraction]) -> Decimal | None:
    """Return the middle value, or the mean of the two middle ones; NULL over nothing."""
    if not values:
        return None
    ordered = sorted(values)
    middle, odd = divmod(len(ordered), 2)
    exact = ordered[middle] if odd else (ordered[middle - 1] + ordered[middle]) / 2
    return rounded(exact)


def share(part: Fraction, whole: Fraction) -> Decimal:
    """Return 100 × part / whole of amounts, 0 over nothing."""
    return rounded(100 * part / whole) if whole else Decimal(0)


def ratio(part: Fraction | int, whole: int) -> Decimal:
    """Return part / whole, 0 over nothing."""
    return rounded(Fraction(part) / whole) if whole else Decimal(0)


def line_value(line: Row) -> Fraction | None:
    """Return precio_unitario × cantidad; none where either is NULL."""
    price, quantity = number(line, "precio_unitario"), number(line, "cantidad")
    return None if price is None or quantity is None else price * quantity


def between(start: Fraction | None, end: Fraction | None) -> Fraction | None:
    """Return the seconds between two instants, where both are known."""
    return None if start is None or end is None else end - start


def known(values: Iterable[Fraction | None]) -> list[Fraction]:
    """Return the values that are not NULL."""
    return [value for value in values if value is not None]


@dataclass
class Offer:
    """An offer with what follows from its lines and awards."""

    advisor: Value
    state: Value
    made_at: Fraction | None
    is_won: bool
    offered: Fraction
    awarded: Fraction


@dataclass
class Request:
    """A request that has a month, with its offers."""

    row: Row
    day: date
    offers: list[Offer]

    @property
    def month(self) -> date:
        """The first day of its month."""
        return self.day.replace(day=1)

    @property
    def week(self) -> date:
        """The Monday of its week."""
        return self.day - timedelta(days=self.day.weekday())

    @property
    def is_awarded(self) -> bool:
        """Whether one of its offers won."""
        return any(offer.is_won for offer in self.offers)

    @property
    def accepted(self) -> bool:
        """Whether the client accepted."""
        return is_accepted(self.row)

    @property
    def first_offer_seconds(self) -> Fraction | None:
        """Seconds from its creation to its first offer."""
        first = min(known(offer.made_at for offer in self.offers), default=None)
        return between(number(self.row, "created_at"), first)

    @property
    def evaluation(self) -> Fraction | None:
        """When it was evaluated; NULL where the source does not say."""
        return cast(Fraction | None, self.row.get("fecha_evaluacion"))

    @property
    def evaluation_seconds(self) -> Fraction | None:
        """Seconds from its creation to its evaluation."""
        return between(number(self.row, "created_at"), self.evaluation)

    @property
    def answer_seconds(self) -> Fraction | None:
        """Seconds from its evaluation to the client's answer."""
        answer = cast(Fraction | None, self.row.get("fecha_respuesta_cliente"))
        return between(self.evaluation, answer)


def requests_of(source: Source, zone: str) -> list[Request]:
    """Return all requests that have a month, with their offers."""
    tables = source.tables
    offers_of = children(tables["ofertas"], "solicitud_id")
    lines_of = children(tables["ofertas_detalle"], "oferta_id")
    awards_of = children(tables["adjudicaciones_repuesto"], "oferta_id")

    def offer_of(row: Row) -> Offer:
        awards = awards_of.get(row["id"], [])
        parts = {award["repuesto_solicitado_id"] for award in awards} - {None}
        selected = row["estado"] in SELECTED_OFFER
        lines = [(line, line_value(line)) for line in lines_of.get(row["id"], [])]
        return Offer(
            advisor=row["asesor_id"],
            state=row["estado"],
            made_at=number(row, "created_at"),
            is_won=selected or bool(awards),
            offered=exact_sum(value for _, value in lines if value is not None),
            awarded=exact_sum(
                value
                for line, value in lines
                if value is not None
                and (line["repuesto_solicitado_id"] in parts if awards else selected)
            ),
        )

    found = []
    for row in tables["solicitudes"]:
        day = local_day(number(row, "created_at"), zone)
        if day is not None and 2000 <= day.year <= 2099:
            offers = [offer_of(offer) for offer in offers_of.get(row["id"], [])]
            found.append(Request(row, day, offers))
    return found


def all_offers(requests: Iterable[Request]) -> list[Offer]:
    """Return the offers of requests."""
    return [offer for request in requests for offer in request.offers]


def advisors_of(requests: Iterable[Request]) -> set[Value]:
    """Return the advisors with an offer for one of the requests."""
    return {offer.advisor for offer in all_offers(requests)} - {None}


def with_offers(requests: Iterable[Request]) -> int:
    """Return how many requests have an offer."""
    return sum(bool(request.offers) for request in requests)


def accepted_value(requests: Iterable[Request]) -> Fraction:
    """Return valor_bruto_aceptado: awarded lines of offers in ACEPTADA."""
    return exact_sum(o.awarded for o in all_offers(requests) if o.state == "ACEPTADA")


def first_offers(requests: Iterable[Request]) -> list[Fraction]:
    """Return the seconds to the first offer, where known."""
    return known(request.first_offer_seconds for request in requests)


def grouped(requests: Iterable[Request], key: Callable[[Request], Key]) -> dict[Key, list[Request]]:
    """Group requests."""
    groups: dict[Key, list[Request]] = defaultdict(list)
    for request in requests:
        groups[key(request)].append(request)
    return groups


def continuous_months(requests: list[Request]) -> list[date]:
    """Return all months from the first to the last with a request."""
    months = {request.month for request in requests}
    return months_between(min(months), max(months)) if months else []


# -- the views -----------------------------------------------------------------------------------


def compute_funnel(source: Source, _today: date, zone: str) -> list[Row]:
    """Compute mv_embudo_operativo."""
    rows: list[Row] = []
    for day, requests in sorted(grouped(requests_of(source, zone), lambda r: r.day).items()):
        created = len(requests)
        offered = with_offers(requests)
        awarded = [request for request in requests if request.is_awarded]
        accepted = sum(request.accepted for request in requests)
        empty = sum(request.row["estado"] == "CERRADA_SIN_OFERTAS" for request in requests)
        levels = numbers([request.row for request in requests], "nivel_actual")
        escalated = sum(level > 1 for level in levels)
        first = first_offers(requests)
        rows.append(
            {
                "dia": day,
                "solicitudes_creadas": created,
                "solicitudes_con_ofertas": offered,
                "solicitudes_adjudicadas": len(awarded),
                "solicitudes_aceptadas": accepted,
                "solicitudes_rechazadas": sum(is_rejected(request.row) for request in requests),
                "solicitudes_sin_ofertas": empty,
                "solicitudes_abiertas": sum(r.row["estado"] == "ABIERTA" for r in requests),
                "solicitudes_escaladas": escalated,
                "conversion_oferta_pct": percentage(offered, created),
                "conversion_adjudicacion_pct": percentage(len(awarded), offered),
                "conversion_aceptacion_pct": percentage(
                    sum(request.accepted for request in awarded), len(awarded)
                ),
                "conversion_general_pct": percentage(accepted, created),
                "tasa_llenado_pct": percentage(created - empty, created),
                "tasa_escalamiento_pct": percentage(escalated, created),
                "ttfo_promedio_seg": average(first),
                "ttfo_mediana_seg": median(first),
                "tta_mediana_seg": median(known(r.evaluation_seconds for r in requests)),
                "ttcd_mediana_seg": median(known(r.answer_seconds for r in requests)),
            }
        )
    return rows


def compute_levels(source: Source, _today: date, zone: str) -> list[Row]:
    """Compute mv_embudo_niveles."""
    leveled = [r for r in requests_of(source, zone) if r.row.get("nivel_actual") is not None]
    groups = grouped(leveled, lambda r: (r.month, int(cast(Fraction, r.row["nivel_actual"]))))
    rows: list[Row] = []
    for (month, level), requests in sorted(groups.items()):
        created = len(requests)
        offered = with_offers(requests)
        accepted = sum(request.accepted for request in requests)
        rows.append(
            {
                "mes": month,
                "nivel": level,
                "solicitudes": created,
                "solicitudes_con_ofertas": offered,
                "solicitudes_aceptadas": accepted,
                "tasa_fallo_pct": percentage(created - offered, created),
                "tasa_aceptacion_pct": percentage(accepted, created),
                "ttfo_mediana_seg": median(first_offers(requests)),
            }
        )
    return rows


def win_rates(offers: list[Offer]) -> list[Fraction]:
    """Return each advisor's 100 × won / offers, rounded to 2 decimals."""
    made = Counter(offer.advisor for offer in offers if offer.advisor is not None)
    won = Counter(offer.advisor for offer in offers if offer.is_won)
    return [Fraction(percentage(won[advisor], count)) for advisor, count in made.items()]


def compute_health(source: Source, _today: date, zone: str) -> list[Row]:
    """Compute mv_salud_marketplace."""
    registered = [
        local_day(number(row, "created_at"), zone) or date.min for row in source.tables["asesores"]
    ]
    rows: list[Row] = []
    for monday, requests in sorted(grouped(requests_of(source, zone), lambda r: r.week).items()):
        created = len(requests)
        offered = with_offers(requests)
        offers = all_offers(requests)
        active = len(advisors_of(requests))
        there = sum(day <= monday + timedelta(days=6) for day in registered)
        rates = win_rates(offers)
        rows.append(
            {
                "semana": monday,
                "solicitudes_creadas": created,
                "solicitudes_con_ofertas": offered,
                "ofertas_totales": len(offers),
                "asesores_activos": active,
                "asesores_registrados": there,
                "solicitudes_diarias": ratio(created, 7),
                "ratio_oferta_demanda": ratio(active * 7, created),
                "densidad_ofertas": ratio(len(offers), offered),
                "tasa_participacion_pct": percentage(active, there),
                "tasa_adjudicacion_promedio_pct": average(rates),
                "tasa_adjudicacion_mediana_pct": median(rates),
                "tasa_aceptacion_cliente_pct": percentage(
                    sum(offer.state == "ACEPTADA" for offer in offers),
                    sum(offer.is_won for offer in offers),
                ),
            }
        )
    return rows


def compute_finance(source: Source, _today: date, zone: str) -> list[Row]:
    """Compute mv_finanzas_mensuales."""
    requests_with_month = requests_of(source, zone)
    by_month = grouped(requests_with_month, lambda r: r.month)
    rows: list[Row] = []
    before: Fraction | None = None
    in_year = Fraction()
    for month in continuous_months(requests_with_month):
        requests = by_month.get(month, [])
        offers = all_offers(requests)
        offered = exact_sum(offer.offered for offer in offers)
        awarded = exact_sum(offer.awarded for offer in offers)
        accepted = accepted_value(requests)
        accepted_requests = sum(request.accepted for request in requests)
        in_year = accepted if month.month == 1 else in_year + accepted
        rows.append(
            {
                "mes": month,
                "valor_bruto_ofertado": offered,
                "valor_bruto_adjudicado": awarded,
                "valor_bruto_aceptado": accepted,
                "solicitudes_aceptadas": accepted_requests,
                "ticket_promedio": (
                    rounded(accepted / accepted_requests) if accepted_requests else None
                ),
                "tasa_adjudicacion_valor_pct": share(awarded, offered),
                "tasa_fuga_valor_pct": share(awarded - accepted, awarded),
                "crecimiento_mensual_pct": share(accepted - before, before) if before else None,
                "acumulado_anual": in_year,
            }
        )
        before = accepted
    return rows


def compute_retention(source: Source, _today: date, zone: str) -> list[Row]:
    """Compute mv_retencion_asesores."""
    requests_with_month = requests_of(source, zone)
    by_month = grouped(requests_with_month, lambda r: r.month)
    rows: list[Row] = []
    ever: set[Value] = set()
    before: set[Value] = set()
    for month in continuous_months(requests_with_month):
        active = advisors_of(by_month.get(month, []))
        rows.append(
            {
                "mes": month,
                "asesores_activos": len(active),
                "asesores_retenidos": len(active & before),
                "asesores_nuevos": len(active - ever),
                "asesores_reactivados": len((active & ever) - before),
                "asesores_perdidos": len(before - active),
                "tasa_retencion_pct": percentage(len(active & before), len(before)),
            }
        )
        before = active
        ever |= active
    return rows


def compute_cities(source: Source, _today: date, zone: str) -> list[Row]:
    """Compute mv_demanda_ciudades."""
    located = [
        (request, city_key(str(request.row["ciudad_origen"])))
        for request in requests_of(source, zone)
        if request.row.get("ciudad_origen") is not None
    ]
    groups: dict[tuple[date, str], list[Request]] = defaultdict(list)
    for request, city in located:
        if city:
            groups[request.month, city].append(request)
    rows: list[Row] = []
    for (month, city), requests in sorted(
        groups.items(), key=lambda item: (item[0][0], item[0][1].encode())
    ):
        spellings = Counter(str(request.row["ciudad_origen"]) for request in requests)
        created = len(requests)
        offered = with_offers(requests)
        accepted = sum(request.accepted for request in requests)
        offers = len(all_offers(requests))
        rows.append(
            {
                "mes": month,
                "ciudad_key": city,
                "ciudad": min(spellings, key=lambda text: (-spellings[text], text.encode())),
                "solicitudes": created,
                "solicitudes_con_ofertas": offered,
                "solicitudes_aceptadas": accepted,
                "ofertas": offers,
                "asesores_activos": len(advisors_of(requests)),
                "conversion_oferta_pct": percentage(offered, created),
                "tasa_aceptacion_pct": percentage(accepted, created),
                "ofertas_por_solicitud": ratio(offers, created),
                "valor_bruto_aceptado": accepted_value(requests),
                "ttfo_mediana_seg": median(first_offers(requests)),
            }
        )
    return rows


def days_since(instant: Fraction | None, today: date, zone: str) -> int | None:
    """Return today − the local day of an instant, however far away that is.

    PostgreSQL has no date before 24 November 4714 BC, so a local day before it counts as that one.
    """
    if instant is None:
        return None
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(instant * 1_000_000))
    except OverflowError:
        moment = datetime(2 if instant < 0 else 9998, 1, 1, tzinfo=UTC)
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset() if 1 < moment.year < 9999 else None
    if offset is None:
        year = 2 if instant < 0 else 9998
        offset = datetime(year, 1, 1, tzinfo=ZoneInfo(zone)).utcoffset()
    assert offset is not None
    local = instant + Fraction(offset // timedelta(seconds=1))
    # 24 November 4714 BC is day 0 of the Julian count, 1 January 1970 day 2,440,588.
    day = max(local.__floor__() // DAY, -2_440_588)
    return (today - date(1970, 1, 1)).days - day


def segment_of(row: Row, limits: dict[str, int]) -> str:
    """Return the first segment that holds."""
    recency = cast(int | None, row["recencia_dias"])
    frequency = cast(int, row["frecuencia_30d"])
    previous = cast(int, row["frecuencia_previa_30d"])
    age = cast(int | None, row["antiguedad_dias"])
    recent = recency is not None and recency <= limits["segment_recent_days"]
    active = recent and frequency > limits["segment_active_offers"]
    dormant = recency is None or recency > limits["segment_dormant_days"]
    historic = cast(Fraction, row["valor_historico"])
    rules = (
        ("NUEVO", age is not None and age < limits["segment_new_days"]),
        (
            "ESTRELLA",
            active and cast(Fraction, row["valor_90d"]) >= limits["segment_star_value"],
        ),
        ("GIGANTE_DORMIDO", dormant and historic >= limits["segment_dormant_value"]),
        ("INACTIVO", recency is None),
        ("EN_RIESGO", previous >= limits["segment_risk_offers"] and 2 * frequency <= previous),
        ("EN_ASCENSO", active),
        (
            "CONSISTENTE",
            recency is not None
            and recency <= limits["segment_steady_days"]
            and frequency >= limits["segment_steady_offers"],
        ),
    )
    return next((name for name, holds in rules if holds), "OCASIONAL")


def compute_segments(
    source: Source, today: date, zone: str, limits: dict[str, int] | None = None
) -> list[Row]:
    """Compute mv_segmentos_asesores, without calculado_at."""
    tables = source.tables
    users = {row["id"]: row for row in tables["usuarios"]}
    history_of = children(tables["ofertas_historicas"], "asesor_id")
    # A date is taken as it is stored; its epoch is midnight in UTC.
    stored_zone = "UTC" if source.types["ofertas_historicas"]["fecha"] == "date" else zone
    lines_of = children(tables["ofertas_detalle"], "oferta_id")
    with_month = {request.row["id"] for request in requests_of(source, zone)}
    historic: dict[Value, Fraction] = defaultdict(Fraction)
    for offer in tables["ofertas"]:
        if offer["estado"] == "ACEPTADA" and offer["solicitud_id"] in with_month:
            historic[offer["asesor_id"]] += exact_sum(
                known(line_value(line) for line in lines_of.get(offer["id"], []))
            )
    rows: list[Row] = []
    for advisor in tables["asesores"]:
        if advisor["estado"] != "ACTIVO" or advisor["usuario_id"] not in users:
            continue
        dated = [
            (local_day(number(row, "fecha"), stored_zone), row)
            for row in history_of.get(advisor["id"], [])
        ]
        recent = [(cast(date, day), row) for day, row in dated if in_window(day, today, 90)]
        row: Row = {
            "asesor_id": advisor["id"],
            "asesor_nombre": full_name(users[advisor["usuario_id"]]),
            "ciudad": advisor["ciudad"],
            "recencia_dias": min(((today - day).days for day, _ in recent), default=None),
            "frecuencia_30d": sum((today - day).days < 30 for day, _ in recent),
            "frecuencia_previa_30d": sum(30 <= (today - day).days < 60 for day, _ in recent),
            "valor_90d": exact_sum(
                numbers([r for _, r in recent if r["aceptada_cliente"] is True], "monto_total")
            ),
            "valor_historico": historic.get(advisor["id"], Fraction()),
            "antiguedad_dias": days_since(number(advisor, "created_at"), today, zone),
        }
        row["segmento"] = segment_of(row, limits or LIMITS)
        rows.append(row)
    return sorted(rows, key=lambda row: str(row["asesor_id"]))


@dataclass(frozen=True)
class View:
    """A view: its key, and what computes it."""

    keys: tuple[str, ...]
    compute: Callable[[Source, date, str], list[Row]]
    order: str


VIEWS = {
    "mv_embudo_operativo": View(("dia",), compute_funnel, "dia"),
    "mv_embudo_niveles": View(("mes", "nivel"), compute_levels, "mes, nivel"),
    "mv_salud_marketplace": View(("semana",), compute_health, "semana"),
    "mv_finanzas_mensuales": View(("mes",), compute_finance, "mes"),
    "mv_retencion_asesores": View(("mes",), compute_retention, "mes"),
    "mv_demanda_ciudades": View(
        ("mes", "ciudad_key"), compute_cities, 'mes, ciudad_key COLLATE "C"'
    ),
    "mv_segmentos_asesores": View(("asesor_id",), compute_segments, "asesor_id"),
}


# -- the whole -----------------------------------------------------------------------------------


def compute_seven(
    source: Source, today: date, zone: str = ZONE, limits: dict[str, int] | None = None
) -> dict[str, list[Row]]:
    """Compute the seven views, by name, each in the order of its key."""
    return {
        name: (
            compute_segments(source, today, zone, limits)
            if view.compute is compute_segments
            else view.compute(source, today, zone)
        )
        for name, view in VIEWS.items()
    }


def read_seven(connection: psycopg.Connection, origin: str | None = None) -> dict[str, list[Row]]:
    """Read the seven views in the shape of ``compute_seven``."""
    return {
        name: oracle.read_view(connection, name, view.order, origin) for name, view in VIEWS.items()
    }


def keyed(rows: list[Row], keys: tuple[str, ...]) -> list[Row]:
    """Give each row its key as one text."""
    return [{"key": " ".join(str(row[key]) for key in keys), **row} for row in rows]


def seven_differences(expected: dict[str, list[Row]], actual: dict[str, list[Row]]) -> list[str]:
    """List the differences of the seven views, cell by cell."""
    return [
        f"{name}: {line}"
        for name, view in VIEWS.items()
        for line in oracle.differences(
            keyed(expected[name], view.keys), keyed(actual[name], view.keys), "key"
        )
    ]
