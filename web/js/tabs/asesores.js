// Asesores: who wins, who sleeps, who stays.

import { get, ifAllowed, rows } from "../api.js";
import { field, series, timeField } from "../data.js";
import { cityKey, folded, h } from "../dom.js";
import { figure, tools } from "../figure.js";
import { period } from "../format.js";
import { band, banded, empty, info, joined, missingNote } from "../parts.js";
import { counts, segments } from "./segmentos.js";
import { state } from "../state.js";
import { table } from "../table.js";
import { t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const RANKING = "mv_ranking_asesores";
const RETENTION = "mv_retencion_asesores";
const SHOWN = 50;
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

/**
 * Advisors whose name has the text, whatever its accents: a vowel stands for all of its kind.
 * @param {string} text
 * @returns {Promise<Row[]>}
 */
async function search(text) {
    const wanted = folded(text).replace(/[^a-z0-9 ]/g, "_");
    const pattern = wanted
        .replace(/[aeioun]/g, "_")
        .trim()
        .replace(/ /g, "%20");
    const columns = ["asesor_id", "asesor_nombre", "ciudad", "ranking_nacional", "ranking_ciudad"];
    const { ciudad } = state();
    const inCity = ciudad ? `&ciudad_key=eq.${encodeURIComponent(cityKey(ciudad))}` : "";
    const { data } = await get(
        `rest/${RANKING}?asesor_nombre=ilike.*${pattern}*&select=${[...columns, ...IN_RANKING]}` +
            `&order=ranking_nacional.asc,asesor_id.asc${inCity}`,
    );
    return data.filter((/** @type {Row} */ row) =>
        folded(row.asesor_nombre).includes(folded(text).trim()),
    );
}

/** @param {Row[]} list */
function ranking(list) {
    const { ciudad } = state();
    const place = ciudad ? "ranking_ciudad" : "ranking_nacional";
    const fields = [
        field(RANKING, "asesor_nombre"),
        field(RANKING, place, { note: info(RANKING, place) }),
        field(RANKING, "ciudad"),
        ...IN_RANKING.map((column) => field(RANKING, column, { note: info(RANKING, column) })),
    ].map((one) =>
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
    const box = h("input", {
        type: "search",
        id: "asesores-busca",
        value: searched,
        placeholder: t("advisors.search"),
        "aria-label": t("advisors.search"),
        autocomplete: "off",
        oninput: () => find(),
    });

    /** @param {Row[]} found */
    function fill(found) {
        const shown = found.slice(0, SHOWN);
        const { download } = tools("asesores-ranking", t("advisors.ranking"), fields, shown);
        list_.replaceChildren(
            h(
                "div",
                { class: "bar-line" },
                h(
                    "p",
                    { class: "note", role: "status" },
                    found === list && list.length === SHOWN
                        ? t("advisors.top", { n: SHOWN })
                        : found.length > SHOWN
                          ? t("advisors.first", { n: SHOWN, of: found.length })
                          : t("advisors.shown", { n: found.length }),
                ),
                download,
            ),
            found.length
                ? table({
                      id: "asesores-lista",
                      caption: t("advisors.ranking"),
                      titled: true,
                      fields,
                      rows: shown,
                      sort: { key: place, down: false },
                  })
                : empty(searched ? t("advisors.nobody") : t("empty.rows")),
            ...[missingNote(RANKING, shown, IN_RANKING)].filter((note) => note != null),
        );
    }

    async function find() {
        const wanted = box.value;
        searched = wanted;
        const found = folded(wanted).trim().length < 2 ? list : await search(wanted);
        // Somebody may have typed on meanwhile.
        if (box.value === wanted) fill(found);
    }

    if (searched) find();
    else fill(list);
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
    const [list, bySegment, months, { bars }] = await Promise.all([
        rows(RANKING, {
            ciudad,
            limit: SHOWN,
            order: ciudad ? "ranking_ciudad" : "ranking_nacional",
        }),
        counts(),
        ifAllowed(series(RETENTION, "mes")),
        import("../charts.js"),
        needed,
    ]);
    const lists = [
        bySegment.length
            ? segments(bySegment)
            : empty(t(ciudad ? "empty.city" : "empty.rows", { city: ciudad })),
        ranking(list),
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
            lead:
                over &&
                h(
                    "p",
                    { class: "latest", "data-column": rate.key },
                    `${rate.label}: `,
                    h("b", {}, banded(RETENTION, rate.key, over[rate.key])),
                    " ",
                    band(RETENTION, rate.key, over[rate.key]),
                    h("span", { class: "note" }, period(over.mes, "mes")),
                ),
            notes: missingNote(
                RETENTION,
                months,
                parts.map((one) => one.key),
            ),
        }),
    ];
}
