// Asesores: who wins, who sleeps, who stays.

import { get, rows } from "../api.js";
import { label } from "../catalogue.js";
import { field, segmentName, series, timeField } from "../data.js";
import { folded, h } from "../dom.js";
import { figure, tools } from "../figure.js";
import { format, number } from "../format.js";
import { band, empty, info, missingNote } from "../parts.js";
import { state } from "../state.js";
import { table } from "../table.js";
import { named, t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const RANKING = "mv_ranking_asesores";
const SEGMENTS = "mv_segmentos_asesores";
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
const ORDER = [
    "ESTRELLA",
    "EN_ASCENSO",
    "CONSISTENTE",
    "NUEVO",
    "OCASIONAL",
    "EN_RIESGO",
    "GIGANTE_DORMIDO",
    "INACTIVO",
];
const IN_SEGMENT = [
    "recencia_dias",
    "frecuencia_30d",
    "frecuencia_previa_30d",
    "valor_90d",
    "valor_historico",
];

// What was searched for and which block is open: survives a refresh.
let searched = "";
let openSegment = "";

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
    const { data } = await get(
        `rest/${RANKING}?asesor_nombre=ilike.*${pattern}*&select=${[...columns, ...IN_RANKING]}` +
            "&order=ranking_nacional.asc,asesor_id.asc&limit=1000",
    );
    const { ciudad } = state();
    return data
        .filter((/** @type {Row} */ row) => folded(row.asesor_nombre).includes(folded(text).trim()))
        .filter((/** @type {Row} */ row) => !ciudad || folded(row.ciudad ?? "") === folded(ciudad));
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
                      format(row[one.key], one.unit),
                  ],
              },
    );
    const place_ = h("div");
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
        const { buttons, panel, onkeydown } = tools(
            "asesores-ranking",
            t("advisors.ranking"),
            fields,
            shown,
        );
        place_.onkeydown = onkeydown;
        place_.replaceChildren(
            h(
                "div",
                { class: "bar-line" },
                h(
                    "p",
                    { class: "note", role: "status" },
                    found.length > SHOWN
                        ? t("advisors.first", { n: SHOWN, of: found.length })
                        : t("advisors.shown", { n: found.length }),
                ),
                buttons,
            ),
            panel,
            found.length
                ? table({
                      id: "asesores-lista",
                      caption: t("advisors.ranking"),
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
        h("h2", {}, t("advisors.ranking"), info(RANKING, place)),
        h("p", {}, box),
        place_,
    );
}

/** How many advisors each segment has, of the whole country or a city. */
async function counts() {
    const { ciudad } = state();
    const list = ciudad
        ? await rows(SEGMENTS, { ciudad, limit: 1000 })
        : (await get(`rest/${SEGMENTS}`, { select: "segmento" })).data;
    /** @type {Map<string, number>} */
    const of = new Map();
    for (const row of list) of.set(row.segmento, (of.get(row.segmento) ?? 0) + 1);
    return [...of]
        .map(([segmento, asesores]) => ({ segmento, asesores }))
        .sort((a, b) => ORDER.indexOf(a.segmento) - ORDER.indexOf(b.segmento));
}

/** @param {Row[]} list */
function segments(list) {
    const all = list.reduce((sum, row) => sum + row.asesores, 0);
    const place = h("div", { id: "segmento-lista" });
    /** @type {Row[]} */
    const shown = list.map((row) => ({ ...row, nombre: segmentName(row.segmento) }));
    const { buttons, panel, onkeydown } = tools(
        "asesores-segmentos",
        t("segments.title"),
        [
            {
                key: "segmento",
                label: label(SEGMENTS, "segmento"),
                unit: "texto",
                cell: (row) => row.nombre,
            },
            { key: "asesores", label: t("segments.advisors"), unit: "conteo" },
        ],
        shown,
    );
    const blocks = shown.map((row) =>
        h(
            "button",
            {
                type: "button",
                class: `block ${row.segmento}`,
                id: `segmento-${row.segmento}`,
                "aria-controls": "segmento-lista",
                "aria-expanded": "false",
                onclick: () => open(openSegment === row.segmento ? "" : row.segmento),
            },
            h("span", {}, row.nombre),
            h("b", {}, format(row.asesores, "conteo")),
            h("span", { class: "note" }, `${number((100 * row.asesores) / all, 1)} %`),
            h("span", { class: "note" }, named("segment.about", row.segmento)),
        ),
    );

    /** @param {string} segmento */
    async function open(segmento) {
        openSegment = segmento;
        for (const block of blocks) {
            block.setAttribute("aria-expanded", String(block.id === `segmento-${segmento}`));
        }
        if (!segmento) return place.replaceChildren();
        const { ciudad } = state();
        const inside = await rows(SEGMENTS, {
            segmento,
            ciudad,
            limit: SHOWN,
            order: "-valor_historico",
        });
        if (openSegment !== segmento) return undefined;
        const fields = ["asesor_nombre", "ciudad", ...IN_SEGMENT].map((column) =>
            field(SEGMENTS, column),
        );
        const name = segmentName(segmento);
        const data = tools("segmento", name, fields, inside);
        data.panel.hidden = true;
        return place.replaceChildren(
            h("div", { class: "bar-line" }, h("h3", {}, name), data.buttons.lastChild),
            table({
                id: "segmento-asesores",
                caption: t("segments.caption", { segment: name, n: inside.length }),
                fields,
                rows: inside,
                sort: { key: "valor_historico", down: true },
            }),
        );
    }

    if (openSegment) open(openSegment);
    return h(
        "section",
        { class: "panel", id: "asesores-segmentos", onkeydown },
        h("figcaption", {}, h("h2", {}, t("segments.title"), info(SEGMENTS, "segmento")), buttons),
        h("div", { class: "blocks" }, blocks),
        panel,
        place,
    );
}

export default async function asesores() {
    const { ciudad } = state();
    const [list, bySegment, months, { bars }] = await Promise.all([
        rows(RANKING, {
            ciudad,
            limit: SHOWN,
            order: ciudad ? "ranking_ciudad" : "ranking_nacional",
        }),
        counts(),
        series(RETENTION, "mes"),
        import("../charts.js"),
    ]);
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
        bySegment.length
            ? segments(bySegment)
            : empty(t(ciudad ? "empty.city" : "empty.rows", { city: ciudad })),
        ranking(list),
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
            notes: [
                over &&
                    h(
                        "p",
                        { class: "latest", "data-column": rate.key },
                        `${rate.label}: `,
                        h("b", {}, format(over[rate.key], rate.unit)),
                        " ",
                        band(RETENTION, rate.key, over[rate.key]),
                    ),
                missingNote(
                    RETENTION,
                    months,
                    parts.map((one) => one.key),
                ),
            ],
        }),
    ];
}
