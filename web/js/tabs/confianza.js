// Can the numbers be trusted: what is wrong right now, and what changed after it was published.

import { product } from "../api.js";
import { catalogue, columnOf, kpiOf, label, problemOf, title } from "../catalogue.js";
import { h } from "../dom.js";
import { pair, period } from "../format.js";
import { section, wholeCountry } from "../parts.js";
import { linkProps } from "../state.js";
import { table } from "../table.js";
import { t } from "../texts.js";
import { cities } from "../token.js";

/** @typedef {import("../api.js").Row} Row */

// How many of the last changes are asked for.
const LIMIT = 100;

/**
 * Problems by their general words, each with what the API says of it.
 * @param {string[]} list as name: text
 * @param {boolean} [isWithCures] whether to say what to do
 */
export function problemList(list, isWithCures = false) {
    return h(
        "ul",
        { class: "problems" },
        list.map((text) => {
            const { words, cure } = problemOf(text.split(":", 1)[0]);
            return h(
                "li",
                {},
                words && h("b", {}, words[0].toUpperCase() + words.slice(1)),
                isWithCures && cure && h("span", { class: "cure" }, cure),
                h("span", { class: "note" }, text),
            );
        }),
    );
}

/**
 * What is wrong right now, in words.
 * @param {Row} data
 */
export function problems(data) {
    const list = /** @type {string[]} */ (data.problems);
    return h(
        "section",
        { class: `panel health ${data.status}`, id: "problems" },
        h("h2", {}, t("problems.title")),
        list.length ? problemList(list) : h("p", {}, "✓ ", t("problems.none")),
        list.length && !cities().length
            ? h("p", {}, h("a", linkProps({ vista: "operacion" }), t("problems.where")))
            : null,
    );
}

/**
 * The view of a change, with its city or level.
 * @param {Row} row
 */
function whereOf(row) {
    const kpi = kpiOf(row.view);
    const others = Object.entries(row.key).filter(([name]) => name !== kpi?.time_column);
    return [kpi ? title(kpi) : row.view, ...others.map(([, value]) => String(value))].join(" · ");
}

/**
 * Of each figure its last change; none of a figure that is again what was reported.
 * @param {Row[]} list newest first
 */
function newest(list) {
    /** @type {Map<string, Row>} */
    const last = new Map();
    for (const row of list) {
        const figure = JSON.stringify([row.view, row.period, row.column, row.key]);
        if (!last.has(figure)) last.set(figure, row);
    }
    return [...last.values()].filter((row) => row.current !== row.reported);
}

/** What was reported, and what it is now. @param {Row[]} list */
function changes(list) {
    return table({
        id: "restated-list",
        caption: t("trust.caption"),
        rows: list.map((row) => ({
            ...row,
            name: label(row.view, row.column),
            when: period(row.period, kpiOf(row.view)?.time_column ?? "mes"),
            where: whereOf(row),
        })),
        fields: [
            { key: "name", label: t("trust.figure"), unit: "texto" },
            { key: "where", label: t("trust.where"), unit: "texto" },
            { key: "when", label: t("filter.period"), unit: "texto" },
            ...["reported", "current"].map((key, index) => ({
                key,
                label: t(/** @type {import("../texts.js").Key} */ (`trust.${key}`)),
                unit: "razon",
                cell: (/** @type {Row} */ row) =>
                    pair(row.reported, row.current, columnOf(row.view, row.column).unit)[index],
            })),
        ],
    });
}

/**
 * Closed periods whose figures changed: can the numbers be trusted?
 * @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile
 */
export async function restated(needed) {
    const [{ data }] = await Promise.all([product("restatements", { limit: LIMIT }), needed]);
    const list = newest(/** @type {Row[]} */ (data));
    const closing = catalogue().filter((kpi) => kpi.time_column);
    const unkept = closing.filter((kpi) => !kpi.has_history);
    const panel = section(
        t("trust.title"),
        // A token for some cities sees the changes of these alone.
        !cities().length && wholeCountry(),
        list.length
            ? h(
                  "details",
                  { id: "restated" },
                  h("summary", {}, t("trust.changed", { n: list.length })),
                  changes(list),
              )
            : unkept.length < closing.length &&
                  // Of older changes nothing is known here.
                  h("p", {}, "✓ ", t(data.length < LIMIT ? "trust.same" : "trust.again")),
        data.length === LIMIT && h("p", { class: "note" }, t("trust.limit", { n: LIMIT })),
        unkept.length > 0 &&
            h("p", { class: "note" }, t("trust.unkept", { views: unkept.map(title).join(", ") })),
        h("p", { class: "note" }, t("trust.how")),
        h("p", {}, h("a", linkProps({ vista: "indicadores" }), t("trust.meaning"))),
    );
    panel.id = "trust";
    panel.tabIndex = -1;
    return panel;
}

/** A link to it, from where the figures begin: on a phone it is far below. */
export function toTrust() {
    const onclick = (/** @type {Event} */ event) => {
        event.preventDefault();
        document.getElementById("trust")?.focus();
    };
    return h("a", { href: "#trust", id: "to-trust", onclick }, t("trust.title"));
}
