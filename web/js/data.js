// What several tabs ask the API for.

import { allRows, ifAllowed, product, rows } from "./api.js";
import { columnOf, label } from "./catalogue.js";
import { chosen } from "./periods.js";
import { named, t } from "./texts.js";

/** @typedef {import("./api.js").Row} Row */
/** @typedef {import("./table.js").Field} Field */
/** @typedef {"mes" | "semana" | "dia"} Time */

/**
 * A column of the API as a field of a chart or table.
 * @param {string} view
 * @param {string} key
 * @param {Partial<Field>} [more]
 * @returns {Field}
 */
export function field(view, key, more = {}) {
    return { key, label: label(view, key), unit: columnOf(view, key).unit, ...more };
}

/**
 * The field of a time, whose cells are periods.
 * @param {Time} key
 * @returns {Field}
 */
export function timeField(key) {
    return { key, label: t(`time.${key}`), unit: "fecha" };
}

/**
 * The rows of the chosen period, oldest first. `incompleto` says whether a row's period is not
 * over: the API says so of the newest one. Both requests have `fill`, because the running period
 * may have no row of its own.
 * @param {string} view
 * @param {Time} time
 * @param {Record<string, string | number | null>} [query] limit: null for all rows
 * @returns {Promise<Row[]>}
 */
export async function series(view, time, query = {}) {
    /** @type {Record<string, string | number | null>} */
    const wanted = { ...chosen(time), ...query, fill: "true" };
    const [all, newest] = await Promise.all([
        (wanted.limit == null ? allRows : rows)(view, wanted),
        rows(view, { ...wanted, limit: 1, compare: "previous" }),
    ]);
    const running = newest[0]?.incompleto ? newest[0][time] : null;
    return all.map((row) => ({ ...row, incompleto: row[time] === running })).reverse();
}

/**
 * The rows of each value of a dimension side by side: one row a period, one column a value.
 * @param {Row[]} all
 * @param {Time} time
 * @param {string} dimension
 * @param {string} column
 * @returns {{rows: Row[], keys: string[]}}
 */
export function pivot(all, time, dimension, column) {
    /** @type {Map<string, Row>} */
    const periods = new Map();
    const keys = new Set();
    for (const row of all) {
        const key = `${dimension}_${row[dimension]}`;
        keys.add(key);
        const into = periods.get(row[time]) ?? { [time]: row[time] };
        into.incompleto = row.incompleto;
        into[key] = row[column];
        periods.set(row[time], into);
    }
    return { rows: [...periods.values()], keys: [...keys].sort() };
}

/** @param {string} segment */
export const segmentName = (segment) => named("segment", segment);

/**
 * What a tab shows that changes without a refresh of the views: health, the moment, the schedule.
 * @param {string} vista
 * @returns {Promise<string>}
 */
export async function signs(vista) {
    const paths = { resumen: ["health", "live"], operacion: ["health", "scheduler/status"] };
    const answers = await Promise.all(
        (paths[/** @type {keyof typeof paths} */ (vista)] ?? []).map((path) =>
            ifAllowed(product(path)),
        ),
    );
    return JSON.stringify(
        answers.map((answer) => answer?.data),
        (key, value) => (key === "checked_at" || key === "calculado_at" ? undefined : value),
    );
}
