"""The words of a digest, in Spanish and English; the catalogue has those of the figures."""

import re
from typing import Any

TEXTS: dict[str, dict[str, str]] = {
    "es": {
        "months": "ene feb mar abr may jun jul ago sep oct nov dic",
        "week": "semana del {day}",
        "requests.one": "{n} solicitud",
        "requests.many": "{n} solicitudes",
        "in": "en {period}",
        "cities": "{n} ciudades",
        "day.one": "día",
        "day.many": "días",
        "month.one": "mes",
        "month.many": "meses",
        "daily": "Resumen del día",
        "weekly": "Resumen de la semana",
        "monthly": "Resumen del mes, con las cifras reportadas",
        "running": "en curso",
        "whole": "frente a {period}",
        "whole.week": "frente a la {period}",
        "same_days": "frente a los mismos días de {period}",
        "better": "mejor",
        "worse": "peor",
        "change": "{change}: {word} {than}",
        "change.plain": "{change} {than}",
        "before": "{period}: {value}",
        "before.days": "mismos días de {period}: {value}",
        "why.nothing": "sin casos en este período",
        "why.no_row": "sin datos de este período",
        "why.before": "sin dato",
        "line": "{first} a {last}",
        "targets": "Metas",
        "target.met": "✓ {label}: {value}, cumple la meta de {target}",
        "target.missed": "✕ {label}: {value}, no cumple la meta de {target}",
        "target.open": "{label}: {value}, la meta es {target}",
        "notes": "Notas",
        "partial": "Cifras incompletas",
        "partial.since": "faltan datos de {origen} desde {instant}",
        "partial.ever": "faltan datos de {origen}",
        "problems": "Problemas ahora",
        "problems.none": "Sin problemas: las cifras están al día.",
        "refreshed": "Datos de {instant}, hora local.",
        "attached": "Todas las columnas de 13 períodos: en los archivos CSV adjuntos.",
        "why.you": "Un operador de teloo-analytics suscribió este correo. Para no recibirlo más, "
        "pídaselo.",
    },
    "en": {
        "months": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "week": "week of {day}",
        "requests.one": "{n} request",
        "requests.many": "{n} requests",
        "in": "in {period}",
        "cities": "{n} cities",
        "day.one": "day",
        "day.many": "days",
        "month.one": "month",
        "month.many": "months",
        "daily": "The day in short",
        "weekly": "The week in short",
        "monthly": "The month in short, with the reported figures",
        "running": "running",
        "whole": "compared with {period}",
        "whole.week": "compared with the {period}",
        "same_days": "compared with the same days of {period}",
        "better": "better",
        "worse": "worse",
        "change": "{change}: {word} {than}",
        "change.plain": "{change} {than}",
        "before": "{period}: {value}",
        "before.days": "same days of {period}: {value}",
        "why.nothing": "no cases in this period",
        "why.no_row": "no data of this period",
        "why.before": "no figure",
        "line": "{first} to {last}",
        "targets": "Targets",
        "target.met": "✓ {label}: {value}, meets the target of {target}",
        "target.missed": "✕ {label}: {value}, misses the target of {target}",
        "target.open": "{label}: {value}, the target is {target}",
        "notes": "Notes",
        "partial": "Partial figures",
        "partial.since": "data of {origen} are missing since {instant}",
        "partial.ever": "data of {origen} are missing",
        "problems": "Problems now",
        "problems.none": "No problems: the figures are up to date.",
        "refreshed": "Data of {instant}, local time.",
        "attached": "All columns of 13 periods: in the attached CSV files.",
        "why.you": "An operator of teloo-analytics subscribed this mailbox. To end it, ask them.",
    },
}


def text(language: str, key: str, **values: object) -> str:
    """Return the words of a key, with its values filled in."""
    return TEXTS[language][key].format(**values)


def label(language: str, figure: dict[str, Any]) -> str:
    """Return the label of a figure, without what it says in brackets."""
    # A view of another team may have no English labels, and an older database sends none.
    english = figure.get("label_en") if language == "en" else None
    words = english or figure["label_es"] or figure["column"]
    return re.sub(r" \(.*\)$", "", words)
