// Finanzas: the money that was offered, awarded and accepted, by month.

import { label } from "../catalogue.js";
import { field, series, timeField } from "../data.js";
import { h } from "../dom.js";
import { figure } from "../figure.js";
import { empty, info, missingNote, wholeCountry } from "../parts.js";
import { inWords } from "../periods.js";
import { t } from "../texts.js";

const VIEW = "mv_finanzas_mensuales";
const VALUES = ["valor_bruto_ofertado", "valor_bruto_adjudicado", "valor_bruto_aceptado"];
const RATES = ["tasa_adjudicacion_valor_pct", "tasa_fuga_valor_pct"];
/** @type {[string, "lines" | "bars"][]} */
const SINGLE = [
    ["ticket_promedio", "lines"],
    ["crecimiento_mensual_pct", "bars"],
    ["acumulado_anual", "bars"],
];

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export default async function finanzas(needed) {
    const [months, charts] = await Promise.all([
        series(VIEW, "mes"),
        import("../charts.js"),
        needed,
    ]);
    if (!months.length) return [empty(t("empty.rows"))];
    const time = timeField("mes");

    /**
     * @param {string} id
     * @param {string} title
     * @param {string[]} columns
     * @param {"lines" | "bars"} kind
     * @param {boolean} zero
     */
    const chart = (id, title, columns, kind, zero) => {
        const fields = columns.map((column) =>
            field(VIEW, column, columns.length > 1 ? { note: info(VIEW, column) } : {}),
        );
        return figure({
            id,
            title,
            about: columns.length === 1 && info(VIEW, columns[0]),
            time,
            series: fields,
            rows: months,
            draw: (width) =>
                charts[kind]({ view: VIEW, time, series: fields, rows: months, zero }, width),
            notes: missingNote(VIEW, months, columns),
        });
    };
    return [
        wholeCountry(),
        h("p", { class: "note" }, inWords("mes")),
        chart("finanzas-valores", t("finance.values"), VALUES, "lines", true),
        h(
            "div",
            { class: "grid two" },
            chart("finanzas-tasas", t("finance.rates"), RATES, "lines", true),
            SINGLE.map(([column, kind]) =>
                chart(`finanzas-${column}`, label(VIEW, column), [column], kind, false),
            ),
        ),
    ];
}
