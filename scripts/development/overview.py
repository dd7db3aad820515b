"""One screen that shows each KPI view: a row that tells most, with some of its figures."""

from dataclasses import dataclass
from decimal import Decimal

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

HEADERS = ["view", "row", "figures"]
SEGMENTS = "mv_segmentos_asesores"


@dataclass(frozen=True)
class Line:
    """What is shown of a view: the columns that name a row, which row, and its figures."""

    view: str
    names: str
    condition: str
    order: str
    figures: tuple[str, ...]


OVER = "{0} < date_trunc('{1}', analytics.today()::timestamp)"
LINES = (
    Line(
        "mv_metricas_mensuales",
        "to_char(mes, 'YYYY-MM')",
        OVER.format("mes", "month"),
        "mes DESC",
        ("solicitudes_creadas", "tasa_aceptacion_pct", "ofertas_totales"),
    ),
    Line(
        "mv_ranking_asesores",
        "asesor_nombre",
        "true",
        "ranking_nacional, asesor_id",
        ("ranking_nacional", "ofertas_ganadoras", "tasa_conversion_ofertas_pct"),
    ),
    Line(
        "mv_embudo_operativo",
        "dia::text",
        OVER.format("dia", "day"),
        "dia DESC",
        ("solicitudes_creadas", "conversion_oferta_pct", "conversion_general_pct"),
    ),
    Line(
        "mv_embudo_niveles",
        "to_char(mes, 'YYYY-MM') || ', nivel ' || nivel",
        OVER.format("mes", "month"),
        "mes DESC, solicitudes DESC",
        ("solicitudes", "tasa_fallo_pct", "tasa_aceptacion_pct"),
    ),
    Line(
        "mv_salud_marketplace",
        "semana::text",
        OVER.format("semana", "week"),
        "semana DESC",
        ("asesores_activos", "ratio_oferta_demanda", "tasa_participacion_pct"),
    ),
    Line(
        "mv_finanzas_mensuales",
        "to_char(mes, 'YYYY-MM')",
        OVER.format("mes", "month"),
        "mes DESC",
        ("valor_bruto_aceptado", "ticket_promedio", "crecimiento_mensual_pct"),
    ),
    Line(
        "mv_retencion_asesores",
        "to_char(mes, 'YYYY-MM')",
        OVER.format("mes", "month"),
        "mes DESC",
        ("asesores_activos", "asesores_nuevos", "tasa_retencion_pct"),
    ),
    Line(
        "mv_demanda_ciudades",
        "to_char(mes, 'YYYY-MM') || ', ' || ciudad",
        OVER.format("mes", "month"),
        "mes DESC, solicitudes DESC",
        ("solicitudes", "asesores_activos", "tasa_aceptacion_pct"),
    ),
)


def figures(connection: psycopg.Connection[TupleRow]) -> list[tuple[str, str, str]]:
    """Return a row for each KPI view: its name, the row that is shown, its figures with labels.

    Labels come from the catalogue, in Spanish. A view without such a row shows "-".
    """
    return [*(figures_of(connection, line) for line in LINES), segments(connection)]


def figures_of(connection: psycopg.Connection[TupleRow], line: Line) -> tuple[str, str, str]:
    """Return what is shown of a view."""
    words = {
        str(name): (str(label), " %" if unit == "pct" else "")
        for name, label, unit in connection.execute(
            "SELECT column_name, label_es, unit FROM kpi_engine.kpi_columns(%s::regclass)",
            [f"analytics.{line.view}"],
        )
    }
    row = connection.execute(
        sql.SQL("SELECT {}, {} FROM {} WHERE {} ORDER BY {} LIMIT 1").format(
            sql.SQL(line.names),
            sql.SQL(", ").join(map(sql.Identifier, line.figures)),
            sql.Identifier("analytics", line.view),
            sql.SQL(line.condition),
            sql.SQL(line.order),
        )
    ).fetchone()
    if row is None:
        return (line.view, "-", "-")
    shown = (
        f"{words[column][0]} {number(value)}{words[column][1]}"
        for column, value in zip(line.figures, row[1:], strict=True)
    )
    return (line.view, str(row[0]), " · ".join(shown))


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
