// Resumen: six big numbers, what is wrong, how old the data are.

import { ifAllowed, orElse, product, rows } from "../api.js";
import { columnOf, kpiOf, label } from "../catalogue.js";
import { field, timeField, upToRefresh } from "../data.js";
import { h } from "../dom.js";
import { tools } from "../figure.js";
import { isMet, targetOf } from "../marks.js";
import { difference, format, pair, period } from "../format.js";
import {
    age,
    band,
    banded,
    empty,
    info,
    joined,
    missingText,
    notesOf,
    section,
    spark,
    sparkWords,
    wholeCountry,
} from "../parts.js";
import { addMonths } from "../periods.js";
import { state } from "../state.js";
import { problems, restated, toTrust } from "./confianza.js";
import { lights } from "./luces.js";
import { t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const MONTHS = "mv_metricas_mensuales";
const CITIES = "mv_demanda_ciudades";
const SIX = {
    [MONTHS]: [
        "solicitudes_creadas",
        "tasa_aceptacion_pct",
        "volumen_transaccional_total",
        "ofertas_promedio_por_solicitud",
        "asesores_activos",
        "tiempo_promedio_cierre_seg",
    ],
    [CITIES]: [
        "solicitudes",
        "tasa_aceptacion_pct",
        "valor_bruto_aceptado",
        "ofertas_por_solicitud",
        "asesores_activos",
        "ttfo_mediana_seg",
    ],
};
/**
 * Better, worse or neither.
 * @param {string} better
 * @param {number | null | undefined} percent
 * @returns {"better" | "worse" | "none"}
 */
function verdict(better, percent) {
    const n = percent ?? 0;
    // As much as difference() shows of it.
    if (!Math.round(Math.abs(n) * 10) || better === "none") return "none";
    return n > 0 === (better === "up") ? "better" : "worse";
}

/**
 * The difference to an earlier period, as an arrow, a number and words.
 * @param {Row | undefined} row
 * @param {string} column
 * @param {string} better
 * @param {string} earlier the earlier period, as words
 * @param {string} unit
 * @param {string} kind
 */
function delta(row, column, better, earlier, unit, kind) {
    const percent = row?.[`${column}_dif_pct`];
    const before = row?.[`${column}_anterior`];
    const value = format(before, unit, unit === "COP");
    if (percent == null) {
        return h(
            "p",
            { class: "delta", "data-compare": kind },
            t(before == null ? "delta.none" : "delta.before", { earlier, value }),
        );
    }
    const kindOf = verdict(better, percent);
    return h(
        "p",
        { class: `delta ${kindOf}`, "data-compare": kind },
        h("b", {}, difference(percent)),
        kindOf === "none" ? " " : [": ", h("span", { class: "word" }, t(`delta.${kindOf}`)), " "],
        t("delta.than", { earlier }),
        " ",
        h("span", { class: "before" }, `(${value})`),
    );
}

/**
 * @param {string} view
 * @param {string} column
 * @param {Row[]} months oldest first
 * @param {Row} now
 * @param {Row | undefined} lastYear
 */
function card(view, column, months, now, lastYear) {
    const { unit, better } = columnOf(view, column);
    const aim = targetOf(view, column, now.mes);
    // The value beside its target.
    const [figure, wanted] = pair(now[column], aim?.value, unit);
    const isUsual = figure === format(now[column], unit);
    const values = months.map((row) => row[column]);
    /** @param {number} months */
    const earlier = (months) => {
        const name = period(`${addMonths(now.mes, -months)}-01`, "mes");
        return now.incompleto ? t("delta.same_days", { period: name }) : name;
    };
    return h(
        "article",
        { class: "card", "data-column": column },
        h("h3", {}, joined(label(view, column).replace(/ \(.*\)$/, ""), info(view, column))),
        h("p", { class: "big" }, isUsual ? banded(view, column, now[column]) : figure),
        now[column] == null && h("p", { class: "note" }, t("missing.one")),
        band(view, column, now[column]),
        aim && target(aim, column, now, wanted),
        delta(now, column, better, earlier(1), unit, "previous"),
        delta(lastYear, column, better, earlier(12), unit, "year"),
        spark(values, sparkWords(values, unit), Boolean(now.incompleto), 260),
    );
}

/**
 * The target of the month: met or missed once the month is over.
 * @param {import("../marks.js").Target} aim
 * @param {string} column
 * @param {Row} now
 * @param {string} value its value in words
 */
function target(aim, column, now, value) {
    if (now.incompleto || now[column] == null) {
        return h("p", { class: "target", "data-target": column }, t("target.month", { value }));
    }
    const kind = isMet(aim, now[column]) ? "met" : "missed";
    return h(
        "p",
        { class: `target ${kind}`, "data-target": column },
        `${kind === "met" ? "✓" : "✕"} `,
        t(`target.${kind}`, { value }),
    );
}

/**
 * How many of the six are better than a year ago, in a sentence.
 * @param {string} view
 * @param {Row | undefined} lastYear
 */
function sentence(view, lastYear) {
    const verdicts = SIX[/** @type {keyof typeof SIX} */ (view)]
        .map((column) => [column, lastYear?.[`${column}_dif_pct`]])
        .filter(([, percent]) => percent != null)
        .map(([column, percent]) => verdict(columnOf(view, column).better, percent));
    if (!verdicts.length) return null;
    const n = verdicts.filter((one) => one === "better").length;
    const key =
        n * 2 > verdicts.length
            ? "year.better"
            : n * 2 < verdicts.length
              ? "year.worse"
              : "year.same";
    return h("p", { class: "lead" }, t(key, { n, of: verdicts.length }));
}

/**
 * The requests and offers of this moment.
 * @param {Promise<unknown>} needed
 */
async function live(needed) {
    const [{ data, partial }] = await Promise.all([product("live"), needed]);
    const now = data[0];
    if (!now) return null;
    const parts = /** @type {const} */ ([
        "solicitudes_abiertas",
        "ofertas_pendientes_evaluacion",
        "solicitudes_hoy",
        "ofertas_hoy",
    ]);
    return section(
        t("live.title"),
        wholeCountry(),
        h(
            "dl",
            { class: "live" },
            parts.map((name) =>
                h(
                    "div",
                    {},
                    h("dt", {}, t(`live.${name}`)),
                    h("dd", { "data-live": name }, format(now[name], "conteo")),
                ),
            ),
        ),
        partial.length > 0 && h("p", { class: "note" }, missingText(partial)),
        h("p", { class: "note" }, t("live.about")),
    );
}

/**
 * Nothing where a token may not see it, and at a hub, which has no offers. Else: that it failed.
 * @param {import("../api.js").ApiError} error
 */
function noLive(error) {
    if ([403, 404].includes(error.status)) return null;
    return section(
        t("live.title"),
        h("p", { class: "note" }, t("live.away", { why: error.message })),
    );
}

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export default async function resumen(needed) {
    const { ciudad, hasta } = state();
    const view = ciudad ? CITIES : MONTHS;
    // The running month may have no row of its own.
    /** @param {string} compare @param {number} limit */
    const newest = (compare, limit) =>
        upToRefresh(view, "mes", (more) =>
            rows(view, { ciudad, to: hasta, fill: "true", compare, limit, ...more }),
        );
    const [all, [lastYear], health, moment, colours, trust] = await Promise.all([
        newest("previous", 13),
        newest("year", 2),
        product("health"),
        orElse(live(needed), noLive),
        ifAllowed(lights(needed)),
        restated(needed),
        needed,
    ]);
    const wrong = problems(health.data);
    const isWrong = health.data.problems.length > 0;
    const current = all[0];
    if (!current) {
        const why = ciudad ? "empty.city" : hasta ? "empty.rows" : "empty.installation";
        return [wrong, empty(t(why, { city: ciudad }))];
    }
    const months = [...all].reverse();
    const columns = SIX[/** @type {keyof typeof SIX} */ (view)];
    const name = period(current.mes, "mes");
    const { buttons, panel, onkeydown } = tools(
        "resumen-meses",
        t("months.table"),
        [timeField("mes"), ...columns.map((column) => field(view, column))],
        all,
    );
    return [
        isWrong && wrong,
        h(
            "section",
            { class: "top", onkeydown },
            h(
                "header",
                {},
                h(
                    "div",
                    {},
                    h(
                        "h2",
                        {},
                        name,
                        current.incompleto && h("span", { class: "tag" }, t("running")),
                    ),
                    sentence(view, lastYear),
                    h("p", { class: "note" }, age(kpiOf(view)?.last_refresh ?? ""), " ", toTrust()),
                ),
                buttons,
            ),
            current.incompleto &&
                h("p", { class: "note" }, t("running.cards"), " ", t("running.recent")),
            h(
                "div",
                { class: "cards" },
                columns.map((column) => card(view, column, months, current, lastYear)),
            ),
            notesOf(view, months[0].mes, current.mes),
            panel,
        ),
        h("div", { class: "pair" }, !isWrong && wrong, trust),
        moment,
        colours,
    ];
}
