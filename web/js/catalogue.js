// The catalogue of the API: what each column means. Labels, units and bands come from here.

import { hasOthers, product, viewsShown } from "./api.js";
import { spoken } from "./texts.js";

/** @typedef {{bad_below: number | null, good_above: number | null, good_from: number | null, good_to: number | null, bad_above: number | null}} Bands */
/** @typedef {{name: string, type: string, unit: string, better: "up" | "down" | "none", bands: Bands | null, label_es: string, label_en?: string | null, description_es: string, description_en: string, partial: boolean}} Column */
/** @typedef {{view: string, title_es: string, title_en: string, description_es: string, description_en: string, key: string[], time_column: "mes" | "semana" | "dia" | null, grain: string, dimensions: string[], columns: Column[], sources: string[], last_refresh: string | null, data_version: number | null, stale: boolean, has_history: boolean}} Kpi */

/** @type {Kpi[]} */
let kpis = [];
/** Words for the problems of health. @type {{name: string, label_es: string | null, label_en: string, cure_es: string | null}[]} */
let problems = [];
/** The time zone of the figures. Before the catalogue is here: that of most installations. */
let zone = "America/Bogota";
/** The request for it that was made last. @type {Promise<boolean>} */
let loading = Promise.resolve(false);

/**
 * Loads it, or what changed in it.
 * @returns {Promise<boolean>} whether it is another one
 */
export function loadCatalogue() {
    loading = load();
    return loading;
}

async function load() {
    const answer = await product("kpis");
    const before = kpis.map((kpi) => `${kpi.data_version} ${kpi.last_refresh}`).join();
    kpis = answer.data.kpis;
    problems = answer.data.problems ?? [];
    zone = answer.data.timezone;
    return answer.isNew && before !== kpis.map((k) => `${k.data_version} ${k.last_refresh}`).join();
}

export function catalogue() {
    return kpis;
}

// No zone is further ahead of UTC.
const MOST_AHEAD = 14 * 3600000;

/**
 * The day of a moment in the zone of the figures, as YYYY-MM-DD, wherever the reader is. If this
 * browser does not know the zone: the day in the zone where it is the latest.
 * @param {number} moment
 */
function dayOf(moment) {
    /** @type {Intl.DateTimeFormatPart[]} */
    let parts;
    try {
        const form = /** @type {const} */ ({ year: "numeric", month: "2-digit", day: "2-digit" });
        parts = new Intl.DateTimeFormat("en", { ...form, timeZone: zone }).formatToParts(moment);
    } catch {
        return new Date(moment + MOST_AHEAD).toISOString().slice(0, 10);
    }
    /** @param {string} type */
    const part = (type) => parts.find((one) => one.type === type)?.value;
    return `${part("year")}-${part("month")}-${part("day")}`;
}

/**
 * The newest month that the figures know, as YYYY-MM: the month of the last refresh. Before the
 * first refresh: the month of now.
 */
export function newestMonth() {
    const last = Math.max(...kpis.map((kpi) => Date.parse(kpi.last_refresh ?? "") || 0), 0);
    return dayOf(last || Date.now()).slice(0, 7);
}

/**
 * The day of a view's last refresh: no time of the view that begins later has begun. Waits for the
 * catalogue.
 * @param {string} view
 */
export async function dayOfRefresh(view) {
    await loading;
    return dayOf(Date.parse(kpiOf(view)?.last_refresh ?? "") || Date.now());
}

/** @param {string} view */
export function kpiOf(view) {
    return kpis.find((kpi) => kpi.view === view);
}

/**
 * General words for a problem of health, and what to do. In English the API itself says what to do.
 * @param {string} name
 */
export function problemOf(name) {
    const known = problems.find((problem) => problem.name === name);
    return spoken() === "en"
        ? { words: known?.label_en, cure: null }
        : { words: known?.label_es ?? known?.label_en, cure: known?.cure_es };
}

/** Whether rows of the tab are of another refresh than the catalogue. */
export function isMixed() {
    return viewsShown().some((view) => {
        const kpi = kpiOf(view);
        return kpi != null && hasOthers(view, kpi.data_version, kpi.last_refresh);
    });
}

/** What is known of a column that the catalogue does not have. */
const UNKNOWN = /** @type {const} */ ({
    type: "text",
    unit: "texto",
    better: "none",
    bands: null,
    description_es: "",
    description_en: "",
    partial: false,
});

/**
 * @param {string} view
 * @param {string} name
 * @returns {Column}
 */
export function columnOf(view, name) {
    const found = kpiOf(view)?.columns.find((column) => column.name === name);
    return found ?? { ...UNKNOWN, name, label_es: name };
}

/**
 * @param {string} view
 * @param {string} name
 */
export function label(view, name) {
    const column = columnOf(view, name);
    // A view of another team may have no English labels, and an older database sends none.
    return (spoken() === "en" && column.label_en) || column.label_es;
}

/** @param {Column} column */
export function meaning(column) {
    return spoken() === "en" ? column.description_en : column.description_es;
}

/** @param {Kpi} kpi */
export function title(kpi) {
    return spoken() === "en" ? kpi.title_en : kpi.title_es;
}

/**
 * How good a value is by the bands of its column; nothing without bands or value.
 * @param {Bands | null} bands
 * @param {unknown} value
 * @returns {"good" | "attention" | "bad" | null}
 */
export function bandOf(bands, value) {
    if (!bands || value == null) return null;
    const n = Number(value);
    if (bands.bad_below != null && n < bands.bad_below) return "bad";
    if (bands.bad_above != null && n > bands.bad_above) return "bad";
    const good =
        (bands.good_above == null || n > bands.good_above) &&
        (bands.good_from == null || n >= bands.good_from) &&
        (bands.good_to == null || n <= bands.good_to);
    return good ? "good" : "attention";
}
