// Targets and dated notes of operators: loaded beside the catalogue, shown with each figure.

import { ifAllowed, product } from "./api.js";

/** @typedef {{view: string, column: string, from: string, next_from: string | null, value: number, better: "up" | "down", stale: string | null, set_by: string}} Target */
/** @typedef {{id: number, day: string, text: string, view: string | null, author: string}} Note */

/** The API gives no more of them. */
export const MOST = 1000;

/** @type {Target[]} */
let targets = [];
/** @type {Note[]} */
let notes = [];

/**
 * Loads them, or what changed in them.
 * @returns {Promise<boolean>} whether there are others
 */
export async function loadMarks() {
    const [aims, written] = await Promise.all([
        ifAllowed(product("targets")),
        ifAllowed(product("notes")),
    ]);
    targets = aims?.data ?? [];
    notes = written?.data ?? [];
    return Boolean(aims?.isNew || written?.isNew);
}

/** All targets, also those that nothing can be compared with any more. */
export const allTargets = () => targets;
/** All notes, newest first. */
export const allNotes = () => notes;

/**
 * The targets of some columns that hold for a part of a time.
 * @param {string} view
 * @param {string[]} columns
 * @param {string} from
 * @param {string} to
 */
export function targetsIn(view, columns, from, to) {
    return targets.filter(
        (target) =>
            target.view === view &&
            columns.includes(target.column) &&
            !target.stale &&
            target.from <= to &&
            (target.next_from == null || target.next_from > from),
    );
}

/**
 * The target of a column for a period.
 * @param {string} view
 * @param {string} column
 * @param {string} period its first day
 * @returns {Target | undefined}
 */
export function targetOf(view, column, period) {
    return targetsIn(view, [column], period, period)[0];
}

/**
 * The notes about a view, or about all, between two days.
 * @param {string} view
 * @param {string} from
 * @param {string} to
 */
export function notesIn(view, from, to) {
    return notes
        .filter((note) => note.day >= from && note.day <= to)
        .filter((note) => note.view == null || note.view === view)
        .reverse();
}

/**
 * @param {Target} target
 * @param {number} value
 */
export function isMet(target, value) {
    return target.better === "up" ? value >= target.value : value <= target.value;
}
