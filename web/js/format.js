// Numbers, money, times and dates as people read them.

import { spoken, t } from "./texts.js";

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/**
 * @param {number} value
 * @param {number} digits
 */
export function number(value, digits = 0) {
    const key = `${spoken()} ${digits}`;
    let format = formats.get(key);
    if (!format) {
        format = new Intl.NumberFormat(spoken() === "es" ? "es-CO" : "en-US", {
            minimumFractionDigits: digits,
            maximumFractionDigits: digits,
        });
        formats.set(key, format);
    }
    const text = format.format(value);
    // What is rounded to zero has no sign.
    return Math.abs(value) < 1 && !/[1-9]/.test(text) ? format.format(0) : text;
}

/**
 * A number that somebody wrote as the page writes numbers: 1.500,5 in Spanish, 1,500.5 in English.
 * @param {string} text
 * @returns {string | null} as the API reads it; null: it has another form
 */
export function read(text) {
    const [group, mark] = spoken() === "es" ? [".", ","] : [",", "."];
    const form = new RegExp(`^[-−]?(\\d+|[1-9]\\d{0,2}([${group}]\\d{3})+)([${mark}]\\d+)?$`);
    const wanted = text.trim();
    if (!form.test(wanted)) return null;
    return wanted.replaceAll(group, "").replace(mark, ".").replace("−", "-");
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

/**
 * A duration in all its units that are not 0, rounded to a step.
 * @param {number} seconds
 * @param {number} step in units of the last decimal
 * @param {number} [digits] decimals of a second
 */
function spelled(seconds, step, digits = 0) {
    const scale = 10 ** digits;
    const all = Math.round((Math.abs(seconds) * scale) / step) * step;
    const whole = Math.floor(all / scale);
    const days = Math.floor(whole / DAY);
    const rest = (all % (MINUTE * scale)) / scale;
    /** @type {[number, string, number?][]} */
    const parts = [
        [days, t(days === 1 ? "unit.day" : "unit.days")],
        [Math.floor((whole % DAY) / HOUR), "h"],
        [Math.floor((whole % HOUR) / MINUTE), "min"],
        [rest, "s", digits],
    ];
    const words = parts
        .filter(([n]) => n)
        .map(([n, unit, decimals]) => `${number(n, decimals)} ${unit}`);
    return (seconds < 0 && all ? "−" : "") + (words.join(" ") || `${number(0, digits)} s`);
}

/**
 * A duration of its two largest units, rounded to the smaller one: 3 h 12 min, 2 días 4 h.
 * @param {number} seconds
 * @param {boolean} [short] one unit alone
 */
export function duration(seconds, short = false) {
    const steps = short ? [DAY, HOUR, MINUTE, 1] : [HOUR, MINUTE, 1, 1];
    const all = Math.abs(seconds);
    return spelled(seconds, steps[[DAY, HOUR, MINUTE, 0].findIndex((unit) => all >= unit)]);
}

/**
 * A value of the API in its unit; an em dash where there is none.
 * @param {unknown} value
 * @param {string} unit
 * @param {boolean} [short] for axes: in millions, one unit of time
 * @returns {string}
 */
export function format(value, unit, short = false) {
    if (value == null || value === "") return "—";
    if (unit === "fecha") return date(String(value));
    if (unit === "instante") return instant(String(value));
    const n = Number(value);
    if (unit === "texto" || typeof value === "boolean" || Number.isNaN(n)) return String(value);
    switch (unit) {
        case "COP":
            return short && Math.abs(n) >= 1e6 ? `$ ${digitsNeeded(millions(n))} M` : pesos(n);
        case "segundos":
            return duration(n, short);
        case "pct":
            return `${number(n, short && Number.isInteger(n) ? 0 : 1)} %`;
        case "dias":
            return `${digitsNeeded(n)} ${t(digitsNeeded(n) === "1" ? "unit.day" : "unit.days")}`;
        case "meses":
            return `${digitsNeeded(n)} ${t(digitsNeeded(n) === "1" ? "unit.month" : "unit.months")}`;
        case "razon":
            return short ? digitsNeeded(n) : number(n, 2);
        default:
            return number(n, Number.isInteger(n) ? 0 : 2);
    }
}

/** @param {number} n @param {number} [digits] */
function pesos(n, digits = 0) {
    const text = number(Math.abs(n), digits);
    return `${n < 0 && /[1-9]/.test(text) ? "−" : ""}$ ${text}`;
}

/**
 * A number in its unit with so many decimals; a duration in all its units.
 * @param {number} n
 * @param {string} unit
 * @param {number} digits
 */
function exact(n, unit, digits) {
    switch (unit) {
        case "COP":
            return pesos(n, digits);
        case "segundos":
            return spelled(n, 1, digits);
        case "pct":
            return `${number(n, digits)} %`;
        case "dias":
            return `${number(n, digits)} ${t("unit.days")}`;
        case "meses":
            return `${number(n, digits)} ${t("unit.months")}`;
        default:
            return number(n, digits);
    }
}

/**
 * Two values beside each other. If they differ and would read the same, both have more detail.
 * @param {unknown} one
 * @param {unknown} other
 * @param {string} unit
 * @returns {[string, string]}
 */
export function pair(one, other, unit) {
    /** @type {[string, string]} */
    let shown = [format(one, unit), format(other, unit)];
    const [a, b] = [Number(one), Number(other)];
    if (one == null || other == null || !Number.isFinite(a) || !Number.isFinite(b)) return shown;
    for (const digits of unit === "segundos" ? [0, 1, 2, 3, 4, 5, 6] : [2, 3, 4, 5, 6]) {
        if (a === b || shown[0] !== shown[1]) break;
        shown = [exact(a, unit, digits), exact(b, unit, digits)];
    }
    return shown;
}

/** Hundreds of millions need no decimals. @param {number} n */
const millions = (n) => (Math.abs(n) >= 1e8 ? Math.round(n / 1e6) : n / 1e6);

/** @param {number} n */
function digitsNeeded(n) {
    return number(n, Number.isInteger(Math.round(n * 10) / 10) ? 0 : 1);
}

const MONTHS = {
    es: ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"],
    en: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
};

/** @param {string} day YYYY-MM-DD */
export function monthName(day) {
    return MONTHS[spoken()][Number(day.slice(5, 7)) - 1];
}

/** @param {string} day YYYY-MM-DD, as 12 mar 2026 */
export function date(day) {
    return `${Number(day.slice(8, 10))} ${monthName(day)} ${day.slice(0, 4)}`;
}

/**
 * A period by its first day: nov 2026, the week of a Monday, a day.
 * @param {string} day
 * @param {string | null} column mes, semana or dia
 */
export function period(day, column) {
    if (column === "mes") return `${monthName(day)} ${day.slice(0, 4)}`;
    if (column === "semana") return t("period.week", { day: date(day) });
    return date(day);
}

/**
 * An instant in the reader's own zone.
 * @param {string} text
 */
export function instant(text) {
    const when = new Date(text);
    if (Number.isNaN(when.getTime())) return text;
    /** @param {number} n */
    const two = (n) => String(n).padStart(2, "0");
    const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
    return `${date(day)}, ${two(when.getHours())}:${two(when.getMinutes())}`;
}

/**
 * How long ago, in words.
 * @param {string} text
 */
export function ago(text) {
    const seconds = (Date.now() - new Date(text).getTime()) / 1000;
    return seconds < 60 ? t("ago.now") : t("ago.since", { time: duration(seconds, true) });
}

/**
 * A difference in percent with its direction: ▲ 8,2 %.
 * @param {number} percent
 */
export function difference(percent) {
    const text = number(Math.abs(percent), 1);
    const arrow = text === number(0, 1) ? "=" : percent > 0 ? "▲" : "▼";
    return `${arrow} ${text} %`;
}
