"""One screen that shows each KPI view: a row that tells most, with some of its figures."""

from decimal import Decimal

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

HEADERS = ["view", "row", "figures"]
SEGMENTS = "mv_segmentos_asesores"


# The most telling figures of each view.
FIGURES = {
    "mv_metricas_mensuales": ("solicitudes_creadas", "tasa_aceptacion_pct", "ofertas_totales"),
    "mv_ranking_asesores": (
        "ranking_nacional",
        "ofertas_ganadoras",
        "tasa_conversion_ofertas_pct",
    ),
    "mv_embudo_operativo": (
        "solicitudes_creadas",
        "conversion_oferta_pct",
        "conversion_general_pct",
    ),
    "mv_embudo_niveles": ("solicitudes", "tasa_fallo_pct", "tasa_aceptacion_pct"),
    "mv_salud_marketplace": (
        "asesores_activos",
        "ratio_oferta_demanda",
        "tasa_participacion_pct",
    ),
    "mv_finanzas_mensuales": (
        "valor_bruto_aceptado",
        "ticket_promedio",
        "crecimiento_mensual_pct",
    ),
    "mv_retencion_asesores": ("asesores_activos", "asesores_nuevos", "tasa_retencion_pct"),
    "mv_demanda_ciudades": ("solicitudes", "asesores_activos", "tasa_aceptacion_pct"),
}
# What names a row beside its period.
NAMES = {
    "mv_ranking_asesores": "asesor_nombre",
    "mv_embudo_niveles": "'nivel ' || nivel",
    "mv_demanda_ciudades": "ciudad",
}


def figures(connection: psycopg.Connection[TupleRow]) -> list[tuple[str, str, str]]:
    """Return a row for each KPI view: its name, the row that is shown, its figures with labels.

    Labels come from the catalogue, in Spanish. A view without such a row shows "-".
    """
    return [*(figures_of(connection, view) for view in FIGURES), segments(connection)]


def figures_of(connection: psycopg.Connection[TupleRow], view: str) -> tuple[str, str, str]:
    """Return what is shown of a view: of the last period that is over, the largest row."""
    columns = FIGURES[view]
    words = {
        str(name): (str(label), " %" if unit == "pct" else "")
        for name, label, unit in connection.execute(
            "SELECT column_name, label_es, unit FROM kpi_engine.kpi_columns(%s::regclass)",
            [f"analytics.{view}"],
        )
    }
    found = connection.execute(
        "SELECT time_column, grain FROM kpi_engine.kpi_views(%s)", [view]
    ).fetchone()
    time, grain = found or (None, None)
    names: list[sql.Composable] = [sql.SQL(NAMES[view])] if view in NAMES else []
    order: sql.Composable = sql.Identifier(columns[0])
    condition: sql.Composable = sql.SQL("true")
    if time:
        period = sql.Identifier(time)
        form = sql.Literal("YYYY-MM" if grain == "month" else "YYYY-MM-DD")
        names.insert(0, sql.SQL("to_char({}, {})").format(period, form))
        order = sql.SQL("{} DESC, {} DESC").format(period, order)
        condition = sql.SQL("{} < date_trunc({}, analytics.today()::timestamp)").format(
            period, sql.Literal(grain)
        )
    row = connection.execute(
        sql.SQL("SELECT concat_ws(', ', {}), {} FROM {} WHERE {} ORDER BY {}, 1 LIMIT 1").format(
            sql.SQL(", ").join(names),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier("analytics", view),
            condition,
            order,
        )
    ).fetchone()
    if row is None:
        return (view, "-", "-")
    shown = (
        f"{words[column][0]} {number(value)}{words[column][1]}"
        for column, value in zip(columns, row[1:], strict=True)
    )
    return (view, str(row[0]), " · ".join(shown))


def segments(connection: psycopg.Connection[TupleRow]) -> tuple[str, str, str]:
    """Return how many advisors each segment has, the largest first."""
    rows = connection.execute(
        sql.SQL("SELECT segmento, count(*) FROM {} GROUP BY 1 ORDER BY 2 DESC, 1").format(
            sql.Identifier("analytics", SEGMENTS)
        )
    ).fetchall()
    return (SEGMENTS, "asesores", " · ".join(f"{name} {count:,}" for name, count in rows) or "-")


def number(value: object) -> str:
    """Write a figure with separators of thousands; "-" for NULL."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int | Decimal) else str(value)
