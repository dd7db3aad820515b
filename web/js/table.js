// Tables of rows, sortable where that is wanted, and the same rows as CSV.

import { h, folded } from "./dom.js";
import { format } from "./format.js";
import { t } from "./texts.js";

/** @typedef {import("./api.js").Row} Row */
/** @typedef {import("./dom.js").Child} Child */
/** @typedef {{key: string, label: string, unit: string, cell?: (row: Row) => Child, note?: Child, plain?: boolean, column?: string}} Field column: that of the view, if the key is another one */

/** How each sortable table is sorted: survives a refresh. @type {Map<string, {key: string, down: boolean}>} */
const sorting = new Map();

/**
 * How a table is sorted, also as the API's parameter `order` says it.
 * @param {string} id
 * @param {{key: string, down: boolean}} first how it is sorted at first
 * @param {string[]} keys of its columns: a city has others than the country
 */
export function orderOf(id, first, keys) {
    const chosen = sorting.get(id);
    const { key, down } = chosen && keys.includes(chosen.key) ? chosen : first;
    return { key, down, order: down ? `-${key}` : key };
}

/**
 * @param {Row[]} rows
 * @param {string} key
 * @param {boolean} down
 */
function sorted(rows, key, down) {
    return [...rows].sort((one, other) => {
        const [a, b] = [one[key], other[key]];
        // What is missing comes last, whichever way.
        if (a == null || b == null) return Number(a == null) - Number(b == null);
        const order =
            typeof a === "number" && typeof b === "number"
                ? a - b
                : folded(String(a)).localeCompare(folded(String(b)));
        return down ? -order : order;
    });
}

/** @param {string} unit */
const isTime = (unit) => unit === "fecha" || unit === "instante";
/** @param {string} unit */
const isText = (unit) => unit === "texto" || isTime(unit);
/** @param {string} unit */
const kindOf = (unit) => (isTime(unit) ? "time" : isText(unit) ? "text" : "number");

/**
 * @param {Field} field
 * @param {Row} row
 */
export function cellText(field, row) {
    return format(row[field.key], field.unit);
}

/**
 * @param {{id: string, caption: string, fields: Field[], rows: Row[], sort?: {key: string, down: boolean}, onsort?: () => Promise<unknown>, titled?: boolean}} table
 *     sort: sortable, and by what at first; onsort: the rows are the first of more, in the order of
 *     orderOf(): shows those of another order; titled: a heading says what it is already
 * @returns {HTMLElement}
 */
export function table({ id, caption, fields, rows, sort, onsort, titled }) {
    const body = h("tbody");
    // A table that is not over time says in its title that its period is not over.
    const isOverTime = isTime(fields[0].unit);
    const keys = fields.map((field) => field.key);
    const heads = fields.map((field) => {
        const kind = kindOf(field.unit);
        if (!sort || field.plain)
            return h("th", { scope: "col", class: kind }, field.label, field.note);
        const button = h(
            "button",
            { type: "button", id: `${id}-by-${field.key}`, onclick: () => by(field) },
            field.label,
            h("span", { class: "order", "aria-hidden": "true" }),
        );
        return h("th", { scope: "col", class: kind }, button, field.note);
    });

    /** @param {Field} field */
    async function by(field) {
        const now = sort && orderOf(id, sort, keys);
        const down = now?.key === field.key ? !now.down : !isText(field.unit);
        sorting.set(id, { key: field.key, down });
        if (!onsort) return fill();
        const { activeElement } = document;
        await onsort();
        // The button is another one now.
        const isThere = [activeElement, document.body].includes(document.activeElement);
        if (isThere) document.getElementById(`${id}-by-${field.key}`)?.focus();
        return undefined;
    }

    function fill() {
        const now = sort && orderOf(id, sort, keys);
        const shown = now && !onsort ? sorted(rows, now.key, now.down) : rows;
        body.replaceChildren(
            ...shown.map((row) =>
                h(
                    "tr",
                    { class: isOverTime && row.incompleto ? "running" : null },
                    fields.map((field, index) =>
                        h(
                            index ? "td" : "th",
                            {
                                scope: index ? null : "row",
                                class: kindOf(field.unit),
                            },
                            field.cell ? field.cell(row) : cellText(field, row),
                            !index &&
                                isOverTime &&
                                row.incompleto &&
                                h("em", {}, ` ${t("running")}`),
                        ),
                    ),
                ),
            ),
        );
        fields.forEach((field, index) => {
            if (!now || field.plain) return;
            const order = now.key !== field.key ? "none" : now.down ? "descending" : "ascending";
            heads[index].setAttribute("aria-sort", order);
        });
    }

    fill();
    return h(
        "div",
        {
            class: "scroll",
            tabindex: "0",
            role: "region",
            "aria-label": caption,
            id: `${id}-scroll`,
        },
        h(
            "table",
            { id },
            h("caption", {}, h("span", { class: titled ? "unseen" : null }, caption)),
            h("thead", {}, h("tr", {}, heads)),
            body,
        ),
    );
}

/** @param {unknown} value */
function csvCell(value) {
    if (value == null) return "";
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    // A spreadsheet runs a text that begins like a formula.
    const text = /^[=+\-@\t\r]/.test(String(value)) ? `'${value}` : String(value);
    return text === "" || /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

/**
 * The figures as the API gave them: RFC 4180, the names of the columns as header. Rows of periods
 * also say whether their period is not over.
 * @param {Field[]} fields
 * @param {Row[]} rows
 */
export function csv(fields, rows) {
    const keys = fields.map((field) => field.key);
    if (rows.some((row) => row.incompleto != null)) keys.push("incompleto");
    const lines = [keys, ...rows.map((row) => keys.map((key) => row[key]))].map((cells) =>
        cells.map(csvCell),
    );
    return lines.map((line) => `${line.join(",")}\r\n`).join("");
}
