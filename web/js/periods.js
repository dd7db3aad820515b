// Which periods a request asks for.

import { state } from "./state.js";
import { period } from "./format.js";
import { t } from "./texts.js";

/**
 * @param {string} month YYYY-MM, or a day of it
 * @param {number} count
 */
export function addMonths(month, count) {
    const whole = Number(month.slice(0, 4)) * 12 + Number(month.slice(5, 7)) - 1 + count;
    return `${Math.floor(whole / 12)}-${String((whole % 12) + 1).padStart(2, "0")}`;
}

/** @param {string} day */
export const dateOf = (day) => new Date(`${day}T00:00:00Z`);

/**
 * The last day of a period.
 * @param {string} day its first day
 * @param {string} time mes, semana or dia
 */
export function lastDay(day, time) {
    const date = dateOf(day);
    if (time === "mes") date.setUTCMonth(date.getUTCMonth() + 1, 0);
    if (time === "semana") date.setUTCDate(date.getUTCDate() + 6);
    return date.toISOString().slice(0, 10);
}

/** How many periods are shown where the address names no first month. With one: all of them. */
export const USUAL = { mes: 13, semana: 26, dia: 90 };

/**
 * The parameters for the chosen period, newest first.
 * @param {"mes" | "semana" | "dia"} column
 * @returns {Record<string, string | number>}
 */
export function chosen(column) {
    const { desde, hasta } = state();
    /** @type {Record<string, string | number>} */
    const query = {};
    if (desde) query.from = column === "mes" ? desde : `${desde}-01`;
    if (hasta) query.to = column === "mes" ? hasta : lastDay(`${hasta}-01`, "mes");
    if (!desde) query.limit = USUAL[column];
    return query;
}

/**
 * The chosen period in words.
 * @param {"mes" | "semana" | "dia"} column
 */
export function inWords(column) {
    const { desde, hasta } = state();
    const from = desde && period(`${desde}-01`, "mes");
    const to = hasta && period(`${hasta}-01`, "mes");
    if (from && to) return from === to ? from : t("period.between", { from, to });
    if (from) return t("period.from", { from });
    const usual = t(`period.last.${column}`, { n: USUAL[column] });
    return to ? t("period.until", { usual, to }) : usual;
}
