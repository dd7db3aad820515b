// What is drawn over a chart beside its own figures: target lines and numbered notes.

import { columnOf, label } from "./catalogue.js";
import { h } from "./dom.js";
import { format, period } from "./format.js";
import { isMet, notesIn, targetsIn } from "./marks.js";
import { dateOf, lastDay } from "./periods.js";
import { Plot } from "./plot.js";
import { t } from "./texts.js";

/** @typedef {import("./table.js").Field} Field */
/** @typedef {{view: string, time: Field, series: Field[], days: string[], divide: number, isBand: boolean, over?: import("./api.js").Row}} About over: the newest period that is over */

/**
 * The targets that a chart shows: lines do, bars stand on each other.
 * @param {About} about
 */
export function aims({ view, series, days, isBand }) {
    const columns = series.map((field) => field.key);
    return isBand || !days.length ? [] : targetsIn(view, columns, days[0], days[days.length - 1]);
}

/**
 * Whether the newest period that is over met a target.
 * @param {About} about
 * @param {import("./marks.js").Target} target
 * @returns {"met" | "missed" | null} nothing if the target is not for that period
 */
function verdict({ over, time }, target) {
    const day = over?.[time.key];
    if (!over || over[target.column] == null || day < target.from) return null;
    if (target.next_from && day >= target.next_from) return null;
    return isMet(target, over[target.column]) ? "met" : "missed";
}

const COLOURS = { met: "var(--good)", missed: "var(--bad)" };

/**
 * More marks for a chart, and the same in words.
 * @param {About} about
 * @returns {{marks: import("@observablehq/plot").Markish[], words: Node | null}}
 */
export function annotations(about) {
    const { view, time, series, days, divide, isBand } = about;
    const targets = aims(about);
    const end = days.length ? lastDay(days[days.length - 1], time.key) : "";
    const notes = days.length ? notesIn(view, days[0], end) : [];
    if (!targets.length && !notes.length) return { marks: [], words: null };
    const first = dateOf(days[0]);
    const last = dateOf(days[days.length - 1]);
    /** The place of a day: in a line the day itself, in bars that of its period. @param {string} day */
    const place = (day) => {
        if (isBand) return [...days].reverse().find((one) => one <= day) ?? days[0];
        return dateOf(day) > last ? last : dateOf(day);
    };
    /** @param {import("./marks.js").Target} target */
    const stroke = (target) => {
        const kind = verdict(about, target);
        if (series.length > 1)
            return `var(--s${series.findIndex((field) => field.key === target.column) + 1})`;
        return kind ? COLOURS[kind] : "var(--muted)";
    };
    return {
        marks: [
            ...targets.map((target) => {
                const from = dateOf(target.from) < first ? first : dateOf(target.from);
                const to = target.next_from ? place(target.next_from) : last;
                return Plot.ruleY([target.value / divide], {
                    x1: from,
                    x2: to,
                    stroke: stroke(target),
                    strokeWidth: 1.5,
                    strokeDasharray: "8 4",
                });
            }),
            Plot.ruleX(notes, {
                x: (note) => place(note.day),
                stroke: "var(--muted)",
                strokeDasharray: "1 3",
            }),
            Plot.text(notes, {
                x: (note) => place(note.day),
                text: (_, index) => String(index + 1),
                frameAnchor: "top",
                dy: -10,
                fill: "var(--text)",
                fontWeight: "bold",
            }),
        ],
        words: h(
            "ul",
            { class: "marks" },
            targets.map((target) => {
                const kind = verdict(about, target);
                return h(
                    "li",
                    { class: `target ${kind ?? ""}` },
                    t("target.line", {
                        label: label(view, target.column),
                        value: format(target.value, columnOf(view, target.column).unit),
                        from: period(target.from, time.key),
                    }),
                    kind &&
                        h(
                            "b",
                            {},
                            kind === "met" ? " ✓ " : " ✕ ",
                            t(`target.was.${kind}`, {
                                period: period(about.over?.[time.key], time.key),
                            }),
                        ),
                );
            }),
            notes.map((note, index) =>
                h(
                    "li",
                    { class: "noted" },
                    h("b", {}, `${index + 1} `),
                    `${period(note.day, "dia")}: ${note.text} — ${note.author}`,
                ),
            ),
        ),
    };
}
