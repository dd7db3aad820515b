// What is drawn over a chart beside its own figures: the place for target lines and note marks.

/** @typedef {{view: string, columns: string[], from: Date, to: Date}} About */

/**
 * More marks for a chart of these columns of a view, between two days.
 *
 * A target is Plot.ruleY([value]), a note Plot.ruleX([day]); both in the units of the API (see
 * `divide` in charts.js for times). There are none yet.
 * @param {About} _about
 * @returns {import("@observablehq/plot").Markish[]}
 */
// eslint-disable-next-line no-unused-vars
export function annotations(_about) {
    return [];
}
