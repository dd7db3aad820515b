// What several tabs ask the API for.

import { allRows, orElse, product, rows } from "./api.js";
import { columnOf, dayOfRefresh, label } from "./catalogue.js";
import { chosen } from "./periods.js";
import { state } from "./state.js";
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
 * Rows up to the last refresh, newest first. Later rows are shown only if the address asks for
 * their months: they say nothing about the running period, or about the last one that is over.
 * @param {string} view
 * @param {Time} time
 * @param {(more: Record<string, string>) => Promise<Row[]>} ask for the rows, newest first
 * @returns {Promise<Row[]>}
 */
export async function upToRefresh(view, time, ask) {
    const { desde, hasta } = state();
    const [all, last] = await Promise.all([ask({}), dayOfRefresh(view)]);
    if (hasta || desde > last.slice(0, 7)) return all;
    const isAhead = all.length > 0 && all[0][time] > last;
    const known = isAhead ? await ask({ to: time === "mes" ? last.slice(0, 7) : last }) : all;
    // If the browser does not know the zone, the last day may be one too late: the older of two open
    // periods runs.
    const running = known.filter((row) => row.incompleto).pop();
    return running ? known.filter((row) => row[time] <= running[time]) : known;
}

/**
 * The periods that are not over, as the API says of each. All before one that is over are over: so
 * a few rows are enough, if the last of them is over.
 * @param {string} view
 * @param {Time} time
 * @param {Record<string, string | number | null>} query
 * @returns {Promise<Set<string>>}
 */
async function openPeriods(view, time, query) {
    /** @type {Row[]} */
    let newest = [];
    for (const limit of [12, 1000]) {
        newest = await rows(view, { ...query, limit, compare: "previous" });
        if (newest.length < limit || !newest[limit - 1].incompleto) break;
    }
    return new Set(newest.filter((row) => row.incompleto).map((row) => row[time]));
}

/**
 * The rows of the chosen period, oldest first. `incompleto` says whether a row's period is not
 * over. Asked with `fill`, because the running period may have no row of its own.
 * @param {string} view
 * @param {Time} time
 * @param {Record<string, string | number | null>} [query] limit: null for all rows
 * @returns {Promise<Row[]>}
 */
export async function series(view, time, query = {}) {
    /** @type {Record<string, string | number | null>} */
    const wanted = { ...chosen(time), ...query, fill: "true" };
    // Before its first row, nobody knows what a view would show: `fill` has zeros from `from` on.
    const oldest = wanted.from ? rows(view, { order: time, limit: 1 }) : [];
    const all = await upToRefresh(view, time, async (more) => {
        const asked = { ...wanted, ...more };
        const [list, open, [first]] = await Promise.all([
            (wanted.limit == null ? allRows : rows)(view, asked),
            openPeriods(view, time, asked),
            oldest,
        ]);
        return list
            .filter((row) => !wanted.from || (first && row[time] >= first[time]))
            .map((row) => ({ ...row, incompleto: open.has(row[time]) }));
    });
    return all.reverse();
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
            orElse(
                product(path).then((answer) => answer.data),
                (error) => error.status,
            ),
        ),
    );
    return JSON.stringify(answers, (key, value) =>
        key === "checked_at" || key === "calculado_at" ? undefined : value,
    );
}
