// Mercado: the balance of offers and demand by week, with the bands of the operators' rules.

import { columnOf, label } from "../catalogue.js";
import { field, series, timeField } from "../data.js";
import { h } from "../dom.js";
import { figure } from "../figure.js";
import { period } from "../format.js";
import { band, banded, empty, info, missingNote, wholeCountry } from "../parts.js";
import { inWords } from "../periods.js";
import { bandWords } from "../explain.js";
import { t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const VIEW = "mv_salud_marketplace";
const BANDED = [
    "ratio_oferta_demanda",
    "densidad_ofertas",
    "tasa_participacion_pct",
    "tasa_adjudicacion_promedio_pct",
    "tasa_aceptacion_cliente_pct",
];

/**
 * The last week that is over, in big, with its band.
 * @param {string} column
 * @param {Row | undefined} over
 */
function latest(column, over) {
    if (!over) return null;
    const { unit, bands } = columnOf(VIEW, column);
    return h(
        "p",
        { class: "latest", "data-column": column },
        h("b", {}, banded(VIEW, column, over[column])),
        " ",
        band(VIEW, column, over[column]),
        h("span", { class: "note" }, period(over.semana, "semana")),
        bands && h("span", { class: "note bounds" }, bandWords(bands, unit)),
    );
}

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export default async function mercado(needed) {
    const [weeks, { lines }] = await Promise.all([
        series(VIEW, "semana"),
        import("../charts.js"),
        needed,
    ]);
    if (!weeks.length) return [empty(t("empty.rows"))];
    const time = timeField("semana");
    const over = [...weeks].reverse().find((row) => !row.incompleto);
    const demand = [field(VIEW, "solicitudes_creadas"), field(VIEW, "solicitudes_con_ofertas")];
    return [
        wholeCountry(),
        h("p", { class: "note" }, inWords("semana")),
        h(
            "div",
            { class: "grid three" },
            BANDED.map((column) => {
                const one = [field(VIEW, column)];
                const { bands } = columnOf(VIEW, column);
                return figure({
                    id: `mercado-${column}`,
                    title: label(VIEW, column),
                    about: info(VIEW, column),
                    time,
                    series: one,
                    rows: weeks,
                    draw: (width) =>
                        lines(
                            { view: VIEW, time, series: one, rows: weeks, bands, height: 200 },
                            width,
                        ),
                    lead: latest(column, over),
                    notes: missingNote(VIEW, weeks, [column]),
                });
            }),
            figure({
                id: "mercado-demanda",
                title: t("market.demand"),
                about: info(VIEW, "solicitudes_creadas"),
                time,
                series: demand,
                rows: weeks,
                draw: (width) =>
                    lines(
                        { view: VIEW, time, series: demand, rows: weeks, zero: true, height: 200 },
                        width,
                    ),
            }),
        ),
    ];
}
