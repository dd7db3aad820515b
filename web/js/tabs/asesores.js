// Asesores: who wins, who sleeps, who stays.

import { allRows, get, ifAllowed, rows } from "../api.js";
import { field, series, timeField } from "../data.js";
import { folded, h } from "../dom.js";
import { figure, tools } from "../figure.js";
import { period } from "../format.js";
import { trouble } from "../notices.js";
import {
    band,
    bandOfRow,
    banded,
    empty,
    info,
    joined,
    missingNote,
    wholeCountry,
} from "../parts.js";
import { counts, segments } from "./segmentos.js";
import { state } from "../state.js";
import { orderOf, table } from "../table.js";
import { t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const RANKING = "mv_ranking_asesores";
const RETENTION = "mv_retencion_asesores";
const ORDER = "ranking_nacional.asc,asesor_id.asc";
const SHOWN = 50;
const LIST = "asesores-lista";
const IN_RANKING = [
    "ofertas_ganadoras",
    "ofertas_historicas_total",
    "tasa_conversion_ofertas_pct",
    "tasa_respuesta_pct",
    "tiempo_promedio_respuesta_seg",
    "volumen_total_ofertas",
    "confianza_auditada",
];

// What was searched for: survives a refresh.
let searched = "";

/** The column of the place, which is the order at first. */
const placeOf = () => (state().ciudad ? "ranking_ciudad" : "ranking_nacional");

/** The columns of the list. */
const columns = () => ["asesor_nombre", placeOf(), "ciudad", ...IN_RANKING];

/** The order that was chosen. */
const ordered = () => orderOf(LIST, { key: placeOf(), down: false }, columns()).order;

/** @param {string} order */
const first = (order) => rows(RANKING, { ciudad: state().ciudad, limit: SHOWN, order });

/**
 * The names of all advisors in their order, of a city with all columns. Names are compared here:
 * no pattern of the API knows which letters are one letter with and without its marks.
 * @returns {Promise<Row[]>}
 */
async function everybody() {
    const { ciudad } = state();
    if (ciudad) return allRows(RANKING, { ciudad, order: "ranking_ciudad" });
    const query = { select: "asesor_id,asesor_nombre", order: ORDER };
    return (await get(`rest/${RANKING}`, query)).data;
}

/**
 * All columns of the first of some advisors.
 * @param {Row[]} found
 * @returns {Promise<Row[]>}
 */
async function whole(found) {
    const shown = found.slice(0, SHOWN);
    if (state().ciudad || !shown.length) return shown;
    const ids = shown.map((row) => row.asesor_id);
    return (await get(`rest/${RANKING}`, { asesor_id: `in.(${ids})`, order: ORDER })).data;
}

/**
 * @param {Row[]} list the first advisors
 * @param {string} listed their order
 */
function ranking(list, listed) {
    const place = placeOf();
    const fields = columns()
        .map((column) =>
            ["asesor_nombre", "ciudad"].includes(column)
                ? field(RANKING, column)
                : field(RANKING, column, { note: info(RANKING, column) }),
        )
        .map((one) =>
            one.key !== "tasa_respuesta_pct"
                ? one
                : {
                      ...one,
                      cell: (/** @type {Row} */ row) => [
                          band(RANKING, one.key, row[one.key]),
                          " ",
                          banded(RANKING, one.key, row[one.key]),
                      ],
                  },
        );
    const list_ = h("div");
    /** The names to search in, from the first search on. @type {Promise<Row[]> | null} */
    let names = null;
    const box = h("input", {
        type: "search",
        id: "asesores-busca",
        value: searched,
        placeholder: t("advisors.search"),
        "aria-label": t("advisors.search"),
        autocomplete: "off",
        oninput: () => find(),
    });

    /**
     * @param {Row[]} found
     * @param {Row[]} shown the first of them
     */
    function fill(found, shown) {
        const isTop = found === list;
        const isCut = isTop ? list.length === SHOWN : found.length > SHOWN;
        const { download } = tools("asesores-ranking", t("advisors.ranking"), fields, shown);
        list_.replaceChildren(
            h(
                "div",
                { class: "bar-line" },
                h(
                    "p",
                    { class: "note", role: "status" },
                    isCut
                        ? t(isTop ? "advisors.top" : "advisors.first", {
                              n: SHOWN,
                              of: found.length,
                          })
                        : t("advisors.shown", { n: found.length }),
                ),
                download,
            ),
            found.length
                ? table({
                      id: LIST,
                      caption: t("advisors.ranking"),
                      titled: true,
                      fields,
                      rows: shown,
                      // The API can't sort what was found by its names.
                      sort: isCut && !isTop ? undefined : { key: place, down: false },
                      onsort: isCut ? resort : undefined,
                  })
                : empty(searched ? t("advisors.nobody") : t("empty.rows")),
            ...[missingNote(RANKING, shown, IN_RANKING)].filter((note) => note != null),
        );
    }

    /** The first advisors in the order that was chosen. */
    async function resort() {
        const order = ordered();
        const typed = box.value;
        // Somebody may have typed, or chosen another order meanwhile.
        const isLate = () => box.value !== typed || ordered() !== order;
        try {
            const sorted = await first(order);
            if (isLate()) return;
            [list, listed] = [sorted, order];
            fill(list, list);
        } catch (error) {
            if (!isLate()) list_.replaceChildren(trouble(error, resort));
        }
    }

    async function find() {
        searched = box.value;
        const [typed, wanted] = [searched, folded(searched).trim()];
        // Somebody may have typed on meanwhile.
        const isLate = () => box.value !== typed;
        if (wanted.length < 2) return listed === ordered() ? fill(list, list) : resort();
        try {
            names ??= everybody();
            const found = (await names).filter((row) =>
                folded(row.asesor_nombre ?? "").includes(wanted),
            );
            if (isLate()) return undefined;
            const shown = await whole(found);
            if (!isLate()) fill(found, shown);
        } catch (error) {
            names = null;
            if (!isLate()) list_.replaceChildren(trouble(error, find));
        }
        return undefined;
    }

    if (searched) find();
    else fill(list, list);
    return h(
        "section",
        { class: "panel" },
        h("h2", {}, joined(t("advisors.ranking"), info(RANKING, place))),
        h("p", {}, box),
        list_,
    );
}

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export default async function asesores(needed) {
    const { ciudad } = state();
    const order = ordered();
    const ranked = first(order);
    const [list, bySegment, months, { bars }] = await Promise.all([
        ranked,
        // After rows that bear their version: what comes without one is not older.
        ranked.then(counts),
        ifAllowed(series(RETENTION, "mes")),
        import("../charts.js"),
        needed,
    ]);
    const lists = [
        bySegment.length
            ? segments(bySegment)
            : empty(t(ciudad ? "empty.city" : "empty.rows", { city: ciudad })),
        ranking(list, order),
    ];
    if (!months) return lists;
    const time = timeField("mes");
    const parts = [
        "asesores_retenidos",
        "asesores_nuevos",
        "asesores_reactivados",
        "asesores_perdidos",
    ].map((column) => field(RETENTION, column, { note: info(RETENTION, column) }));
    const rate = field(RETENTION, "tasa_retencion_pct");
    const over = [...months].reverse().find((row) => !row.incompleto);
    return [
        ...lists,
        figure({
            id: "asesores-retencion",
            title: t("retention.title"),
            about: info(RETENTION, "tasa_retencion_pct"),
            time,
            series: parts,
            more: [rate],
            rows: months,
            draw: (width) =>
                bars(
                    {
                        view: RETENTION,
                        time,
                        series: parts,
                        rows: months,
                        negative: ["asesores_perdidos"],
                    },
                    width,
                ),
            lead: [
                wholeCountry(),
                over &&
                    h(
                        "p",
                        { class: "latest", "data-column": rate.key },
                        `${rate.label}: `,
                        h("b", {}, banded(RETENTION, rate.key, over[rate.key])),
                        " ",
                        bandOfRow(RETENTION, rate.key, over),
                        h("span", { class: "note" }, period(over.mes, "mes")),
                    ),
            ],
            notes: missingNote(
                RETENTION,
                months,
                parts.map((one) => one.key),
            ),
        }),
    ];
}
