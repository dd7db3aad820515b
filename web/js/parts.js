// Small parts that several tabs use: titles that explain, bands, notes, lines.

import { bandOf, columnOf, label, meaning } from "./catalogue.js";
import { h, svg } from "./dom.js";
import { ago, format, instant, number, period } from "./format.js";
import { explain } from "./explain.js";
import { notesIn } from "./marks.js";
import { lastDay } from "./periods.js";
import { state } from "./state.js";
import { t } from "./texts.js";

/** @typedef {import("./api.js").Row} Row */
/** @typedef {import("./dom.js").Child} Child */

/**
 * The button that opens what a number means.
 * @param {string} view
 * @param {string} column
 */
export function info(view, column) {
    return h(
        "button",
        {
            type: "button",
            class: "info",
            id: `info-${view}-${column}`,
            "aria-label": t("explain.open", { label: label(view, column) }),
            "aria-haspopup": "dialog",
            onclick: () => explain(view, column),
        },
        "?",
    );
}

/**
 * A text whose last word and what follows stay on one line.
 * @param {string} text
 * @param {Child} last
 */
export function joined(text, last) {
    const at = text.lastIndexOf(" ") + 1;
    return [text.slice(0, at), h("span", { class: "joined" }, text.slice(at), last)];
}

const SIGNS = { good: "✓", attention: "!", bad: "✕" };

/**
 * A band as a sign, a word and a colour.
 * @param {string} view
 * @param {string} column
 * @param {unknown} value
 */
export function band(view, column, value) {
    const level = bandOf(columnOf(view, column).bands, value);
    if (!level) return null;
    return h(
        "span",
        { class: `band ${level}` },
        h("span", { "aria-hidden": "true" }, SIGNS[level]),
        ` ${t(`band.${level}`)}`,
    );
}

/**
 * The band of a row's value. Of nobody nobody can stay: such a retention, as that of the first
 * month of all, is not judged. In a month that the API filled nobody counted who was lost.
 * @param {string} view
 * @param {string} column
 * @param {Row} row
 */
export function bandOfRow(view, column, row) {
    const isOfNobody =
        column === "tasa_retencion_pct" &&
        row.asesores_retenidos === 0 &&
        row.asesores_perdidos === 0;
    return isOfNobody ? null : band(view, column, row[column]);
}

/**
 * A value beside its band. One that rounding would carry into another band has one more digit.
 * @param {string} view
 * @param {string} column
 * @param {unknown} value
 */
export function banded(view, column, value) {
    const { unit, bands } = columnOf(view, column);
    const near = Math.round(Number(value) * 10) / 10;
    return value != null && unit === "pct" && bandOf(bands, near) !== bandOf(bands, value)
        ? `${number(Number(value), 2)} %`
        : format(value, unit);
}

/**
 * Why some numbers are missing, for the columns that lack one.
 * @param {string} view
 * @param {Row[]} rows
 * @param {string[]} columns
 */
export function missingNote(view, rows, columns) {
    const lacking = columns.filter((column) => rows.some((row) => row[column] == null));
    if (!lacking.length) return null;
    return h(
        "p",
        { class: "note" },
        lacking.map((column, index) => [
            index ? " " : "",
            h("strong", {}, `${label(view, column)}: `),
            t("missing.some", { count: rows.filter((row) => row[column] == null).length }),
            ` ${meaning(columnOf(view, column))}`,
        ]),
    );
}

/**
 * A line without axes; its last part is dashed where the last period is not over.
 * @param {(number | null | undefined)[]} values oldest first
 * @param {string} words what it shows, for those who can't see it
 * @param {boolean} [running]
 * @param {number} [width]
 */
export function spark(values, words, running = false, width = 120) {
    const height = 32;
    const given = values.filter((value) => value != null);
    const [low, high] = [Math.min(...given), Math.max(...given)];
    /** @param {number} index */
    const x = (index) => 3 + (index * (width - 6)) / Math.max(1, values.length - 1);
    /** @param {number} value */
    const y = (value) => (high === low ? height / 2 : 28 - ((value - low) / (high - low)) * 24);
    /** @param {number} from @param {number} to */
    const path = (from, to) => {
        let text = "";
        for (let index = from, pen = false; index <= to; index++) {
            const value = values[index];
            if (value == null) pen = false;
            else {
                text += `${pen ? "L" : "M"}${x(index).toFixed(1)},${y(value).toFixed(1)}`;
                pen = true;
            }
        }
        return text;
    };
    const last = values.length - 1;
    const end = values[last];
    return svg(
        "svg",
        { class: "spark", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
        svg("path", { d: path(0, running ? last - 1 : last) }),
        running && last > 0 && svg("path", { d: path(last - 1, last), class: "running" }),
        end != null &&
            svg("circle", { cx: x(last), cy: y(end), r: 2.5, class: running ? "open" : "" }),
    );
}

/**
 * The words of a small line.
 * @param {(number | null | undefined)[]} values
 * @param {string} unit
 */
export function sparkWords(values, unit) {
    return t("spark.words", {
        n: values.length,
        first: format(values[0], unit),
        last: format(values[values.length - 1], unit),
    });
}

/**
 * @param {Child} heading
 * @param {Child[]} children
 */
export function section(heading, ...children) {
    return h("section", { class: "panel" }, h("h2", {}, heading), ...children);
}

/** @param {Child[]} children */
export function empty(...children) {
    return h("p", { class: "empty" }, ...children);
}

/**
 * Of which origins rows are missing.
 * @param {import("./api.js").Partial} partial
 */
export function missingText(partial) {
    return partial
        .map(({ origins, since }) =>
            since
                ? t("fresh.partial", { origins, instant: instant(since) })
                : t("fresh.partial_ever", { origins }),
        )
        .join(" ");
}

/**
 * The notes about a view that has no chart.
 * @param {string} view
 * @param {string} first its first month, as YYYY-MM-DD
 * @param {string} last
 */
export function notesOf(view, first, last) {
    const list = notesIn(view, first, lastDay(last, "mes")).filter((note) => note.view === view);
    if (!list.length) return null;
    return h(
        "ul",
        { class: "marks" },
        list.map((note) =>
            h(
                "li",
                { class: "noted" },
                `${period(note.day, "dia")}: ${note.text} — ${note.author}`,
            ),
        ),
    );
}

/** Says that figures are of the whole country, if a city is chosen. */
export function wholeCountry() {
    return state().ciudad ? h("p", { class: "note" }, t("city.whole")) : null;
}

/**
 * How old the data are. showAges() keeps it true.
 * @param {string} at
 */
export function age(at) {
    return h("span", { id: "age", "data-at": at }, ageText(at));
}

/** @param {string} at */
const ageText = (at) => t("age.at", { instant: instant(at), ago: ago(at) });

/** Writes the ages on the page anew. */
export function showAges() {
    for (const element of document.querySelectorAll("[data-at]")) {
        element.textContent = ageText(element.getAttribute("data-at") ?? "");
    }
}
