// What is drawn over a chart beside its own figures: target lines and numbered notes.

import { columnOf, label } from "./catalogue.js";
import { h } from "./dom.js";
import { format, pair, period } from "./format.js";
import { isMet, notesIn, targetsIn } from "./marks.js";
import { dateOf, lastDay } from "./periods.js";
import { Plot } from "./plot.js";
import { t } from "./texts.js";

/** @typedef {import("./table.js").Field} Field */
/** @typedef {{view: string, time: Field, series: Field[], days: string[], divide: number, isBand: boolean, over?: import("./api.js").Row}} About over: the newest period that is over */

/** The column that a field shows. @param {Field} field */
const columnShown = (field) => field.column ?? field.key;

/**
 * The targets that a chart shows: lines do, bars stand on each other.
 * @param {About} about
 */
export function aims({ view, series, days, isBand }) {
    const columns = series.map(columnShown);
    return isBand || !days.length ? [] : targetsIn(view, columns, days[0], days[days.length - 1]);
}

/**
 * Whether the newest period that is over met a target, and the fields that did or did not. A column
 * has more than one field if the rows of a dimension stand side by side: all must meet it.
 * @param {About} about
 * @param {import("./marks.js").Target} target
 * @returns {{kind: "met" | "missed", fields: Field[]} | null} nothing if the target is not for that period
 */
function verdict({ over, time, series }, target) {
    const day = over?.[time.key];
    if (!over || day < target.from || (target.next_from && day >= target.next_from)) return null;
    const known = series
        .filter((field) => columnShown(field) === target.column)
        .filter((field) => over[field.key] != null);
    const missed = known.filter((field) => !isMet(target, over[field.key]));
    if (!known.length) return null;
    return missed.length ? { kind: "missed", fields: missed } : { kind: "met", fields: known };
}

/**
 * A target, and whether the newest period that is over met it.
 * @param {About} about
 * @param {import("./marks.js").Target} target
 */
function targetLine(about, target) {
    const { view, time, over } = about;
    const { unit } = columnOf(view, target.column);
    const found = verdict(about, target);
    const pairs = (found?.fields ?? []).map((field) => pair(over?.[field.key], target.value, unit));
    const usual = format(target.value, unit);
    const isOne = about.series.filter((one) => columnShown(one) === target.column).length === 1;
    const figures = pairs.map(([value], index) =>
        isOne ? value : `${found?.fields[index].label}: ${value}`,
    );
    return h(
        "li",
        { class: `target ${found?.kind ?? ""}` },
        t("target.line", {
            label: label(view, target.column),
            value: pairs.map(([, value]) => value).find((value) => value !== usual) ?? usual,
            from: period(target.from, time.key),
        }),
        found &&
            h(
                "b",
                {},
                found.kind === "met" ? " ✓ " : " ✕ ",
                t(`target.was.${found.kind}`, {
                    period: period(over?.[time.key], time.key),
                    figures: figures.join(", "),
                }),
            ),
    );
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
        const found = verdict(about, target);
        const own = series.findIndex((field) => field.key === target.column);
        if (series.length > 1 && own >= 0) return `var(--s${own + 1})`;
        return found ? COLOURS[found.kind] : "var(--muted)";
    };
    /** The notes of each place, by their numbers. @type {Map<string, {at: string | Date, numbers: number[]}>} */
    const places = new Map();
    for (const [index, note] of notes.entries()) {
        const at = place(note.day);
        const one = places.get(String(at)) ?? { at, numbers: [] };
        places.set(String(at), one);
        one.numbers.push(index + 1);
    }
    const noted = [...places.values()];
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
            Plot.ruleX(noted, {
                x: "at",
                stroke: "var(--muted)",
                strokeDasharray: "1 3",
            }),
            Plot.text(noted, {
                x: "at",
                text: ({ numbers }) => numbers.join(", "),
                frameAnchor: "top",
                dy: -10,
                fill: "var(--text)",
                fontWeight: "bold",
            }),
        ],
        words: h(
            "ul",
            { class: "marks" },
            targets.map((target) => targetLine(about, target)),
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
