// Embudo: from a request to an accepted offer, the days, the times, the levels.

import { columnOf, label } from "../catalogue.js";
import { field, pivot, series, timeField } from "../data.js";
import { h } from "../dom.js";
import { figure, tools } from "../figure.js";
import { format } from "../format.js";
import { band, banded, empty, info, joined, missingNote, wholeCountry } from "../parts.js";
import { inWords, USUAL } from "../periods.js";
import { state } from "../state.js";
import { t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

const DAYS = "mv_embudo_operativo";
const LEVELS = "mv_embudo_niveles";
const STEPS = [
    ["solicitudes_creadas", ""],
    ["solicitudes_con_ofertas", "conversion_oferta_pct"],
    ["solicitudes_adjudicadas", "conversion_adjudicacion_pct"],
    ["solicitudes_aceptadas", "conversion_aceptacion_pct"],
];
const MEDIANS = ["ttfo_mediana_seg", "tta_mediana_seg", "ttcd_mediana_seg"];

/**
 * @param {Row[]} days
 * @param {(row: Row) => number} count
 */
const sum = (days, count) => days.reduce((all, row) => all + count(row), 0);

/**
 * A rate of all days shown, by the rule of its column: that of a day gives the day's count,
 * although it is rounded.
 * @param {Row[]} days
 * @param {string} rate
 * @param {string} of
 */
function rateOf(days, rate, of) {
    const all = sum(days, (row) => row[of]);
    const counted = sum(days, (row) => Math.round((row[rate] * row[of]) / 100));
    return all ? (100 * counted) / all : null;
}

/**
 * The funnel of all days shown: the API has it by day, the sums are ours.
 * @param {Row[]} days
 */
function funnel(days) {
    const counts = STEPS.map(([column]) => sum(days, (row) => row[column]));
    const steps = STEPS.map(([column, rate], index) => ({
        paso: label(DAYS, column),
        solicitudes: counts[index],
        tasa_pct: index ? rateOf(days, rate, STEPS[index - 1][0]) : null,
        column,
        rate,
    }));
    const general = counts[0] ? (100 * counts[3]) / counts[0] : null;
    const { buttons, panel, onkeydown } = tools(
        "embudo-pasos",
        t("funnel.title"),
        [
            { key: "paso", label: t("funnel.step"), unit: "texto" },
            { key: "solicitudes", label: t("funnel.requests"), unit: "conteo" },
            { key: "tasa_pct", label: t("funnel.rate"), unit: "pct" },
        ],
        steps,
    );
    return h(
        "section",
        { class: "panel", id: "embudo-pasos", onkeydown },
        h("figcaption", {}, h("h2", {}, t("funnel.title")), buttons),
        h("p", { class: "note" }, inWords("dia")),
        h(
            "ol",
            { class: "funnel" },
            steps.map((step) => {
                const bar = h("div", { class: "bar" });
                bar.style.width = `${counts[0] ? (100 * step.solicitudes) / counts[0] : 0}%`;
                return h(
                    "li",
                    { "data-column": step.column },
                    step.tasa_pct != null &&
                        h(
                            "p",
                            { class: "rate" },
                            "↓ ",
                            h("b", {}, banded(DAYS, step.rate, step.tasa_pct)),
                            " ",
                            joined(label(DAYS, step.rate), info(DAYS, step.rate)),
                            band(DAYS, step.rate, step.tasa_pct),
                        ),
                    h(
                        "div",
                        { class: "step" },
                        h("span", {}, joined(step.paso, info(DAYS, step.column))),
                        h("b", {}, format(step.solicitudes, "conteo")),
                    ),
                    h("div", { class: "track" }, bar),
                );
            }),
        ),
        h(
            "p",
            {},
            `${label(DAYS, "conversion_general_pct")}: `,
            h("b", { "data-column": "conversion_general_pct" }, format(general, "pct")),
            info(DAYS, "conversion_general_pct"),
        ),
        panel,
    );
}

/** @param {Row[]} all by month and level, oldest first */
function levels(all) {
    const { rows, keys } = pivot(all, "mes", "nivel", "tasa_fallo_pct");
    return {
        rows: state().desde ? rows : rows.slice(-USUAL.mes),
        fields: keys.map((key) => ({
            key,
            column: "tasa_fallo_pct",
            label: t("level.n", { n: key.replace("nivel_", "") }),
            unit: columnOf(LEVELS, "tasa_fallo_pct").unit,
        })),
    };
}

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export default async function embudo(needed) {
    const [days, byLevel, { lines }] = await Promise.all([
        series(DAYS, "dia"),
        series(LEVELS, "mes", { limit: null }),
        import("../charts.js"),
        needed,
    ]);
    if (!days.length) return [empty(t("empty.rows"))];
    const { rows: months, fields } = levels(byLevel);
    const dia = timeField("dia");
    const counts = STEPS.map(([column]) => field(DAYS, column));
    return [
        wholeCountry(),
        funnel(days),
        figure({
            id: "embudo-dias",
            title: t("funnel.days"),
            about: info(DAYS, "solicitudes_creadas"),
            time: dia,
            series: counts,
            rows: days,
            draw: (width) =>
                lines({ view: DAYS, time: dia, series: counts, rows: days, zero: true }, width),
            notes:
                days[days.length - 1]?.incompleto && h("p", { class: "note" }, t("running.recent")),
        }),
        h(
            "div",
            { class: "grid three" },
            MEDIANS.map((column) => {
                const one = [field(DAYS, column)];
                return figure({
                    id: `embudo-${column}`,
                    title: label(DAYS, column),
                    about: info(DAYS, column),
                    time: dia,
                    series: one,
                    rows: days,
                    draw: (width) =>
                        lines(
                            {
                                view: DAYS,
                                time: dia,
                                series: one,
                                rows: days,
                                zero: true,
                                height: 200,
                            },
                            width,
                        ),
                    notes: missingNote(DAYS, days, [column]),
                });
            }),
        ),
        figure({
            id: "embudo-niveles",
            title: t("level.title"),
            about: info(LEVELS, "tasa_fallo_pct"),
            time: timeField("mes"),
            series: fields,
            rows: months,
            draw: (width) =>
                lines(
                    {
                        view: LEVELS,
                        time: timeField("mes"),
                        series: fields,
                        rows: months,
                        zero: true,
                    },
                    width,
                ),
        }),
    ];
}
