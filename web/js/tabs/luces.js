// The lights of Resumen: the KPIs that have bands, of the last week and month that are over.

import { rows } from "../api.js";
import { label } from "../catalogue.js";
import { upToRefresh } from "../data.js";
import { h } from "../dom.js";
import { period } from "../format.js";
import { bandOfRow, banded, info, joined, section, wholeCountry } from "../parts.js";
import { t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const HEALTH = "mv_salud_marketplace";
const RETENTION = "mv_retencion_asesores";
const LIGHTS = [
    [HEALTH, "ratio_oferta_demanda"],
    [HEALTH, "densidad_ofertas"],
    [HEALTH, "tasa_participacion_pct"],
    [HEALTH, "tasa_adjudicacion_promedio_pct"],
    [HEALTH, "tasa_aceptacion_cliente_pct"],
    [RETENTION, "tasa_retencion_pct"],
];

/**
 * The newest periods: one that runs, and the last one that is over.
 * @param {string} view
 * @param {Record<string, string>} more
 */
const newest = (view, more) => rows(view, { limit: 3, fill: "true", compare: "previous", ...more });

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export async function lights(needed) {
    // With fill: the last week that is over is shown also if nothing happened in it.
    const [weeks, months] = await Promise.all([
        upToRefresh(HEALTH, "semana", (more) => newest(HEALTH, more)),
        upToRefresh(RETENTION, "mes", (more) => newest(RETENTION, more)),
        needed,
    ]);
    /** @type {Record<string, Row | undefined>} */
    const over = {
        [HEALTH]: weeks.find((row) => !row.incompleto),
        [RETENTION]: months.find((row) => !row.incompleto),
    };
    const shown = LIGHTS.filter(([view]) => over[view]);
    if (!shown.length) return null;
    return section(
        t("lights.title"),
        wholeCountry(),
        h(
            "ul",
            { class: "lights" },
            shown.map(([view, column]) => {
                const row = /** @type {Row} */ (over[view]);
                const time = view === HEALTH ? "semana" : "mes";
                return h(
                    "li",
                    { "data-column": column },
                    h("span", { class: "name" }, joined(label(view, column), info(view, column))),
                    h("b", {}, banded(view, column, row[column])),
                    bandOfRow(view, column, row),
                    h("span", { class: "note" }, period(row[time], time)),
                );
            }),
        ),
    );
}
