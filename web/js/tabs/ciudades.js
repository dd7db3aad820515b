// Ciudades: one row a city, with the requests of 13 months as a small line.

import { allRows, get, rows } from "../api.js";
import { columnOf } from "../catalogue.js";
import { field, upToRefresh } from "../data.js";
import { h } from "../dom.js";
import { tools } from "../figure.js";
import { difference, format, period } from "../format.js";
import { empty, info, missingNote, notesOf, spark, sparkWords } from "../parts.js";
import { addMonths } from "../periods.js";
import { linkProps, state } from "../state.js";
import { table } from "../table.js";
import { t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const VIEW = "mv_demanda_ciudades";
const COLUMNS = [
    "solicitudes",
    "conversion_oferta_pct",
    "ofertas_por_solicitud",
    "asesores_activos",
    "tasa_aceptacion_pct",
    "valor_bruto_aceptado",
    "ttfo_mediana_seg",
];
// A city with less is no reason to look for advisors.
const ENOUGH = 5;

/**
 * The requests of each city in 13 months, of these columns alone. Before the first month of the
 * view nothing is known.
 * @param {string} last YYYY-MM-DD
 * @returns {Promise<{months: string[], of: Map<string, (number | undefined)[]>}>}
 */
async function history(last) {
    const first = addMonths(last.slice(0, 7), -12);
    const [{ data }, [oldest]] = await Promise.all([
        get(`rest/${VIEW}`, {
            select: "mes,ciudad_key,solicitudes",
            mes: `gte.${first}-01`,
            and: `(mes.lte.${last})`,
        }),
        rows(VIEW, { order: "mes", limit: 1 }),
    ]);
    const months = Array.from({ length: 13 }, (_, index) => `${addMonths(first, index)}-01`);
    const none = months.map((month) => (month < oldest?.mes ? undefined : 0));
    /** @type {Map<string, (number | undefined)[]>} */
    const of = new Map();
    for (const row of data) {
        const line = of.get(row.ciudad_key) ?? [...none];
        line[months.indexOf(row.mes)] = row.solicitudes;
        of.set(row.ciudad_key, line);
    }
    return { months, of };
}

/**
 * The cities where a request gets the fewest offers, in a sentence.
 * @param {Row[]} cities
 */
function needy(cities) {
    const few = cities
        .filter((row) => row.solicitudes >= ENOUGH)
        .sort((a, b) => a.ofertas_por_solicitud - b.ofertas_por_solicitud)
        .slice(0, 3);
    if (few.length < 3) return null;
    return h(
        "p",
        { class: "lead", id: "needy" },
        t("cities.needy", { least: ENOUGH }),
        " ",
        few.map((row, index) => [
            index ? ", " : "",
            h("a", linkProps({ vista: "asesores", ciudad: row.ciudad }), row.ciudad),
            " (",
            t("cities.few", {
                ratio: format(row.ofertas_por_solicitud, "razon"),
                n: row.solicitudes,
            }),
            ")",
        ]),
        ".",
    );
}

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export default async function ciudades(needed) {
    const { hasta, ciudad } = state();
    const [[newest]] = await Promise.all([
        upToRefresh(VIEW, "mes", (more) => rows(VIEW, { to: hasta, limit: 1, ...more })),
        needed,
    ]);
    if (!newest) return [empty(t("empty.rows"))];
    const month = newest.mes.slice(0, 7);
    const [cities, { months, of }] = await Promise.all([
        allRows(VIEW, { from: month, to: month, ciudad, compare: "year" }),
        history(newest.mes),
    ]);
    if (!cities.length) return [empty(t("empty.city", { city: ciudad }))];
    const running = Boolean(cities[0].incompleto);
    const shown = cities.map((row) => {
        const line = of.get(row.ciudad_key) ?? [];
        const past = Object.fromEntries(months.map((one, index) => [one.slice(0, 7), line[index]]));
        return { ...row, line, ...past };
    });
    const requests = columnOf(VIEW, "solicitudes").unit;
    const name = period(newest.mes, "mes");
    const caption = t("cities.caption", { period: name });
    const columns = COLUMNS.map((column) => field(VIEW, column, { note: info(VIEW, column) }));
    const city = field(VIEW, "ciudad");
    const data = [
        city,
        ...columns,
        { key: "solicitudes_dif_pct", label: t("cities.year"), unit: "pct" },
        ...months.map((one) => ({
            key: one.slice(0, 7),
            label: period(one, "mes"),
            unit: requests,
        })),
    ];
    const { buttons, panel, onkeydown } = tools(
        "ciudades",
        caption,
        data.map(({ key, label, unit }) => ({ key, label, unit })),
        shown,
    );
    return [
        h(
            "section",
            { class: "panel", onkeydown },
            h(
                "figcaption",
                {},
                h(
                    "h2",
                    {},
                    h("span", { class: "joined" }, name),
                    running && h("span", { class: "tag" }, t("running")),
                ),
                buttons,
            ),
            !ciudad && needy(cities),
            h(
                "p",
                { class: "note" },
                !ciudad && [t("cities.count", { n: cities.length }), " "],
                running && [t("running.cards"), " ", t("running.recent")],
            ),
            table({
                id: "ciudades-lista",
                caption,
                titled: true,
                sort: { key: "solicitudes", down: true },
                rows: shown,
                fields: [
                    {
                        ...city,
                        cell: (row) =>
                            h("a", linkProps({ vista: "resumen", ciudad: row.ciudad }), row.ciudad),
                    },
                    columns[0],
                    {
                        key: "solicitudes_dif_pct",
                        label: t("cities.year"),
                        unit: "pct",
                        cell: (row) =>
                            row.solicitudes_dif_pct == null
                                ? "—"
                                : difference(row.solicitudes_dif_pct),
                    },
                    {
                        key: "line",
                        label: t("cities.months"),
                        unit: "texto",
                        plain: true,
                        cell: (row) => spark(row.line, sparkWords(row.line, requests), running),
                    },
                    ...columns.slice(1),
                ],
            }),
            missingNote(VIEW, shown, COLUMNS),
            notesOf(VIEW, months[0], newest.mes),
            panel,
        ),
    ];
}
