// The charts: lines and stacked bars over time, by Observable Plot.

import { aims, annotations } from "./annotations.js";
import { format, monthName, number } from "./format.js";
import { dateOf } from "./periods.js";
import { Plot } from "./plot.js";
import { t } from "./texts.js";

/** @typedef {import("./api.js").Row} Row */
/** @typedef {import("./table.js").Field} Field */
/** @typedef {import("./catalogue.js").Bands} Bands */
/** @typedef {{view: string, time: Field, series: Field[], rows: Row[], bands?: Bands | null, zero?: boolean, height?: number, negative?: string[]}} Chart */

/**
 * Times are divided, so that ticks are whole hours or days.
 * @param {string} unit
 * @param {number} most
 */
function axis(unit, most) {
    if (unit === "segundos") {
        const [divide, name] =
            most > 2 * 86400
                ? [86400, t("unit.days")]
                : most > 7200
                  ? [3600, "h"]
                  : most > 120
                    ? [60, "min"]
                    : [1, "s"];
        return {
            divide,
            /** @param {number} n */
            tick: (n) => `${number(n, Number.isInteger(n) ? 0 : 1)} ${name}`,
        };
    }
    return { divide: 1, tick: /** @param {number} n */ (n) => format(n, unit, true) };
}

/**
 * Some of the days to be named below the axis, so that no two names touch.
 * @param {string[]} days
 * @param {number} width
 * @param {string} time
 */
function ticksOf(days, width, time) {
    const step = Math.max(1, Math.ceil(days.length / Math.max(2, Math.floor(width / 64))));
    const last = days.length - 1;
    const ticks = days.filter((_, index) => (last - index) % step === 0);
    const names = new Map(
        ticks.map((day, index) => {
            const isNewYear = !index || ticks[index - 1].slice(0, 4) !== day.slice(0, 4);
            const name =
                time === "mes" ? monthName(day) : `${Number(day.slice(8))} ${monthName(day)}`;
            return [day, isNewYear ? `${name}\n${day.slice(0, 4)}` : name];
        }),
    );
    return { ticks, names };
}

const LEFT = 64;

/** @param {Chart} chart @param {number} width */
function common(chart, width) {
    return {
        width,
        height: chart.height ?? 260,
        marginLeft: LEFT,
        marginRight: 24,
        marginTop: 16,
        marginBottom: 40,
        style: { fontSize: "0.75rem", background: "none", overflow: "visible" },
    };
}

/**
 * @param {Bands} bands
 * @param {number} low
 * @param {number} high
 */
function goodArea(bands, low, high) {
    const from = bands.good_from ?? bands.good_above ?? low;
    return { from: Math.max(low, from), to: Math.min(high, bands.good_to ?? high) };
}

/**
 * Lines over time. What is not over is dashed, and ends in an open circle.
 * @param {Chart} chart
 * @param {number} width
 */
export function lines(chart, width) {
    const { time, series, rows, bands, view } = chart;
    const values = series
        .flatMap((field) => rows.map((row) => row[field.key]))
        .filter((value) => value != null)
        .map(Number);
    const days = rows.map((row) => String(row[time.key]));
    const bounds = [
        ...(bands ? [bands.good_from, bands.good_above, bands.good_to] : []),
        ...aims({ view, time, series, days, divide: 1, isBand: false }).map((aim) => aim.value),
    ].filter((bound) => bound != null);
    const { divide, tick } = axis(series[0].unit, Math.max(...values, 0));
    let low = Math.min(...values, ...bounds) / divide;
    let high = Math.max(...values, ...bounds) / divide;
    if (!Number.isFinite(low)) [low, high] = [0, 1];
    const room = (high - low || Math.abs(high) || 1) * 0.1;
    low = chart.zero || (low >= 0 && low < room * 3) ? Math.min(0, low) : low - room;
    high += room;
    const { ticks, names } = ticksOf(days, width - LEFT, time.key);
    const running = Boolean(rows[rows.length - 1]?.incompleto);
    const over = rows.filter((row) => !row.incompleto);
    const about = { view, time, series, days, divide, isBand: false, over: over[over.length - 1] };
    const extra = annotations(about);
    const open = running ? rows.slice(Math.max(0, over.length - 1)) : [];
    /** @param {Row} row */
    const x = (row) => dateOf(String(row[time.key]));
    /** @param {string} key */
    const y = (key) => (/** @type {Row} */ row) => (row[key] == null ? NaN : row[key] / divide);
    const good = bands && goodArea(bands, low, high);
    const plot = Plot.plot({
        ...common(chart, width),
        x: { type: "utc", domain: [x(rows[0]), x(rows[rows.length - 1])] },
        y: { domain: [low, high], nice: !bands },
        marks: [
            good
                ? Plot.rect([good], { y1: "from", y2: "to", fill: "var(--good)", fillOpacity: 0.1 })
                : null,
            Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
            Plot.axisY({ ticks: 5, tickFormat: tick, tickSize: 0, label: null }),
            Plot.axisX(ticks.map(dateOf), {
                tickFormat: (/** @type {Date} */ day) =>
                    names.get(day.toISOString().slice(0, 10)) ?? "",
                tickSize: 0,
                tickPadding: 8,
                label: null,
            }),
            ...series.flatMap((field, index) => {
                const stroke = `var(--s${index + 1})`;
                const common = { x, y: y(field.key), stroke, strokeWidth: 2 };
                const last = rows[rows.length - 1];
                return [
                    Plot.line(over, common),
                    open.length > 1 ? Plot.line(open, { ...common, strokeDasharray: "4 4" }) : null,
                    // A number between two that are missing makes no line.
                    rows.length < 3 ? Plot.dot(rows, { ...common, r: 3 }) : null,
                    Plot.dot([last], {
                        ...common,
                        r: 4,
                        fill: running ? "var(--surface)" : stroke,
                    }),
                ];
            }),
            good
                ? Plot.text([good], {
                      y: "to",
                      text: () => `✓ ${t("band.good")}`,
                      frameAnchor: "left",
                      textAnchor: "start",
                      dx: 6,
                      dy: 10,
                      stroke: "var(--surface)",
                      fill: "var(--good)",
                  })
                : null,
            ...extra.marks,
        ],
    });
    const scale = /** @type {{apply: (day: Date) => number}} */ (plot.scale("x"));
    const positions = rows.map((row) => scale.apply(x(row)));
    return { svg: plot, positions, words: extra.words };
}

/**
 * Bars over time, one on the other; those of `negative` below the line.
 * @param {Chart} chart
 * @param {number} width
 */
export function bars(chart, width) {
    const { time, series, rows, view, negative = [] } = chart;
    const { tick } = axis(series[0].unit, 0);
    const days = rows.map((row) => String(row[time.key]));
    const { ticks, names } = ticksOf(days, width - LEFT, time.key);
    const extra = annotations({ view, time, series, days, divide: 1, isBand: true });
    const parts = rows.flatMap((row) =>
        series.map((field, index) => ({
            day: String(row[time.key]),
            value: (negative.includes(field.key) ? -1 : 1) * Number(row[field.key] ?? 0),
            fill: `var(--s${index + 1})`,
            running: Boolean(row.incompleto),
        })),
    );
    const plot = Plot.plot({
        ...common(chart, width),
        x: { type: "band", domain: days, padding: 0.25 },
        y: { nice: true },
        marks: [
            Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
            Plot.axisY({ ticks: 5, tickFormat: tick, tickSize: 0, label: null }),
            Plot.axisX(ticks, {
                tickFormat: (/** @type {string} */ day) => names.get(day) ?? "",
                tickSize: 0,
                tickPadding: 8,
                label: null,
            }),
            Plot.barY(parts, {
                x: "day",
                y: "value",
                fill: "fill",
                fillOpacity: (part) => (part.running ? 0.4 : 1),
                stroke: "fill",
                strokeDasharray: "4 3",
                strokeOpacity: (part) => (part.running ? 1 : 0),
            }),
            Plot.ruleY([0], { stroke: "var(--muted)" }),
            ...extra.marks,
        ],
    });
    const scale = /** @type {{apply: (day: string) => number, bandwidth: number}} */ (
        plot.scale("x")
    );
    const positions = days.map((day) => scale.apply(day) + scale.bandwidth / 2);
    return { svg: plot, positions, words: extra.words };
}
