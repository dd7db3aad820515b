// The segments of Asesores: blocks that open into the list of their advisors.

import { allRows, get, rows } from "../api.js";
import { label } from "../catalogue.js";
import { field, segmentName } from "../data.js";
import { h } from "../dom.js";
import { tools } from "../figure.js";
import { format, number } from "../format.js";
import { trouble } from "../notices.js";
import { info, joined } from "../parts.js";
import { state } from "../state.js";
import { orderOf, table } from "../table.js";
import { named, t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const SEGMENTS = "mv_segmentos_asesores";
const SHOWN = 50;
// The table of a segment, and how it is sorted at first.
const LIST = "segmento-asesores";
const BY_VALUE = { key: "valor_historico", down: true };
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
const NAMES = ["asesor_nombre", "ciudad"];
const COLUMNS = [...NAMES, ...IN_SEGMENT];

// Which block is open: survives a refresh.
let openSegment = "";

/** How many advisors each segment has, of the whole country or a city. */
export async function counts() {
    const { ciudad } = state();
    // The API itself knows the spellings of a city.
    const list = ciudad
        ? await allRows(SEGMENTS, { ciudad })
        : (await get(`rest/${SEGMENTS}`, { select: "segmento" })).data;
    /** @type {Map<string, number>} */
    const of = new Map();
    for (const row of list) of.set(row.segmento, (of.get(row.segmento) ?? 0) + 1);
    return [...of]
        .map(([segmento, asesores]) => ({ segmento, asesores }))
        .sort((a, b) => ORDER.indexOf(a.segmento) - ORDER.indexOf(b.segmento));
}

/** @param {Row[]} list */
export function segments(list) {
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
                onclick: async () => {
                    await open(openSegment === row.segmento ? "" : row.segmento);
                    place.scrollIntoView({ block: "nearest" });
                },
            },
            h("span", {}, row.nombre),
            h("b", {}, format(row.asesores, "conteo")),
            h("span", { class: "note" }, `${number((100 * row.asesores) / all, 1)} %`),
            h("span", { class: "note" }, named("segment.about", row.segmento)),
        ),
    );

    /** @param {string} segmento @returns {Promise<void>} */
    async function open(segmento) {
        openSegment = segmento;
        for (const block of blocks) {
            block.setAttribute("aria-expanded", String(block.id === `segmento-${segmento}`));
        }
        if (!segmento) return place.replaceChildren();
        const { ciudad } = state();
        const sorted = () => orderOf(LIST, BY_VALUE, COLUMNS);
        const { key, order } = sorted();
        // Somebody may have chosen another segment or order meanwhile.
        const isLate = () => openSegment !== segmento || sorted().order !== order;
        /** @type {Row[]} */
        let inside;
        try {
            inside = await rows(SEGMENTS, {
                segmento,
                ciudad,
                limit: SHOWN,
                order,
            });
        } catch (error) {
            if (isLate()) return undefined;
            return place.replaceChildren(trouble(error, () => open(segmento)));
        }
        if (isLate()) return undefined;
        const fields = [
            ...NAMES.map((column) => field(SEGMENTS, column)),
            ...IN_SEGMENT.map((column) =>
                field(SEGMENTS, column, { note: info(SEGMENTS, column) }),
            ),
        ];
        const name = segmentName(segmento);
        const data = tools("segmento", name, fields, inside);
        return place.replaceChildren(
            h("div", { class: "bar-line" }, h("h3", {}, name), data.download),
            table({
                id: LIST,
                caption: t("segments.caption", {
                    segment: name,
                    n: inside.length,
                    column: label(SEGMENTS, key),
                }),
                fields,
                rows: inside,
                sort: BY_VALUE,
                onsort: () => open(segmento),
            }),
        );
    }

    if (openSegment) open(openSegment);
    return h(
        "section",
        { class: "panel", id: "asesores-segmentos", onkeydown },
        h(
            "figcaption",
            {},
            h("h2", {}, joined(t("segments.title"), info(SEGMENTS, "segmento"))),
            buttons,
        ),
        h("div", { class: "blocks" }, blocks),
        panel,
        place,
    );
}
