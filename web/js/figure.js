// A chart with its title, its rule with values (mouse, finger or arrow keys), its table and CSV.

import { h, save } from "./dom.js";
import { period } from "./format.js";
import { joined } from "./parts.js";
import { cellText, csv, table } from "./table.js";
import { t } from "./texts.js";

/** @typedef {import("./api.js").Row} Row */
/** @typedef {import("./dom.js").Child} Child */
/** @typedef {import("./table.js").Field} Field */
/** @typedef {{svg: Element, positions: number[], words: Node | null}} Drawn */
/** @typedef {{id: string, title: string, about?: Child, time: Field, series: Field[], rows: Row[], draw: (width: number) => Drawn, notes?: Child, lead?: Child, legend?: boolean, more?: Field[]}} Figure */

/** Which tables are open and where the rules stand: survives a refresh. @type {Set<string>} */
const opened = new Set();
/** @type {Map<string, number>} */
const rules = new Map();
/** @typedef {(isPaper?: boolean) => void} Redraw */
/** What is drawn when it is on the page, because a chart must know its width. @type {Redraw[]} */
let waiting = [];
/** @type {Redraw[]} */
let onPage = [];
// How wide a chart is on paper, alone and beside another one: it would shrink, with its words.
const PAPER = [650, 300];

/** Draws the charts that came onto the page. */
export function drawCharts() {
    onPage = waiting;
    waiting = [];
    for (const draw of onPage) draw();
}

for (const event of ["beforeprint", "afterprint"]) {
    window.addEventListener(event, () => {
        for (const draw of onPage) draw(event === "beforeprint");
    });
}

/**
 * The buttons for the table and the CSV of some figures, and the place of the table.
 * @param {string} id
 * @param {string} name
 * @param {Field[]} fields
 * @param {Row[]} rows
 */
export function tools(id, name, fields, rows) {
    const panel = h("div", { class: "data", id: `${id}-data` });
    const toggle = h(
        "button",
        {
            type: "button",
            class: "quiet",
            id: `${id}-table`,
            "aria-controls": `${id}-data`,
            "aria-keyshortcuts": "t",
            title: t("table.key"),
            onclick: () => show(!opened.has(id)),
        },
        t("table"),
    );
    const download = h(
        "button",
        {
            type: "button",
            class: "quiet",
            id: `${id}-csv`,
            "aria-label": t("csv.of", { name }),
            onclick: () => save(`${id}.csv`, csv(fields, rows)),
        },
        "CSV",
    );

    /** @param {boolean} open */
    function show(open) {
        opened[open ? "add" : "delete"](id);
        toggle.setAttribute("aria-expanded", String(open));
        panel.hidden = !open;
        panel.replaceChildren(
            ...(open ? [table({ id: `${id}-rows`, caption: name, fields, rows })] : []),
        );
    }

    show(opened.has(id));
    /** @param {KeyboardEvent} event */
    const onkeydown = (event) => {
        const target = /** @type {Element} */ (event.target);
        if (event.key.toLowerCase() !== "t" || event.ctrlKey || event.metaKey || event.altKey)
            return;
        if (target.matches("input, select, textarea")) return;
        event.preventDefault();
        show(!opened.has(id));
    };
    return { buttons: h("span", { class: "tools" }, toggle, download), download, panel, onkeydown };
}

/**
 * The rule of a chart: follows the pointer, and the arrow keys where the chart has the focus.
 * @param {Figure} figure
 * @param {HTMLElement} chart
 */
function rule({ id, time, series, rows, title }, chart) {
    /** @type {number[]} */
    let positions = [];
    const line = h("div", { class: "rule" });
    const tip = h("div", { class: "tip" });
    const words = rows.map((row) => {
        const name = period(String(row[time.key]), time.key);
        return {
            name: row.incompleto ? `${name} (${t("running")})` : name,
            values: series.map((field) => [field.label, cellText(field, row)]),
        };
    });

    /** @param {number} index @param {boolean} [keep] */
    function at(index, keep = true) {
        const word = words[index];
        const x = positions[index];
        if (!word || x == null) return;
        if (keep) rules.set(id, index);
        line.style.left = `${x}px`;
        const left = x > chart.clientWidth / 2;
        tip.style.left = left ? "" : `${x + 10}px`;
        tip.style.right = left ? `${chart.clientWidth - x + 10}px` : "";
        tip.replaceChildren(
            h("strong", {}, word.name),
            ...word.values.map(([label, value], place) =>
                h(
                    "span",
                    {},
                    series.length > 1 && h("i", { class: `swatch s${place + 1}` }),
                    series.length > 1 ? `${label}: ` : "",
                    h("b", {}, value),
                ),
            ),
        );
        chart.classList.add("ruled");
        chart.setAttribute("aria-valuenow", String(index));
        chart.setAttribute(
            "aria-valuetext",
            `${word.name}: ${word.values.map((pair) => pair.join(" ")).join(", ")}`,
        );
    }

    const hide = () => chart.classList.remove("ruled");
    const keys = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
    chart.setAttribute("role", "slider");
    chart.setAttribute("tabindex", "0");
    chart.setAttribute("aria-label", `${title}. ${t("chart.keys")}`);
    chart.setAttribute("aria-valuemin", "0");
    chart.setAttribute("aria-valuemax", String(rows.length - 1));
    chart.setAttribute("aria-valuenow", String(rows.length - 1));
    chart.addEventListener("pointermove", (event) => {
        const x = event.clientX - chart.getBoundingClientRect().left;
        let nearest = 0;
        positions.forEach((position, index) => {
            if (Math.abs(position - x) < Math.abs(positions[nearest] - x)) nearest = index;
        });
        at(nearest, false);
    });
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("blur", hide);
    chart.addEventListener("focus", () => at(rules.get(id) ?? rows.length - 1));
    chart.addEventListener("keydown", (event) => {
        const now = rules.get(id) ?? rows.length - 1;
        const step = keys[/** @type {keyof typeof keys} */ (event.key)];
        let next = step == null ? null : now + step;
        if (event.key === "Home") next = 0;
        if (event.key === "End") next = rows.length - 1;
        if (event.key === "Escape") hide();
        if (next == null) return;
        event.preventDefault();
        at(Math.max(0, Math.min(rows.length - 1, next)));
    });
    return {
        parts: [line, tip],
        /** @param {number[]} placed */
        place(placed) {
            positions = placed;
            if (document.activeElement === chart) at(rules.get(id) ?? rows.length - 1);
        },
    };
}

/**
 * @param {Figure} figure
 * @returns {HTMLElement}
 */
export function figure(figure) {
    const {
        id,
        title,
        about,
        time,
        series,
        rows,
        draw,
        lead,
        notes,
        legend = series.length > 1,
    } = figure;
    const newestFirst = [...rows].reverse();
    const { buttons, panel, onkeydown } = tools(
        id,
        title,
        [time, ...series, ...(figure.more ?? [])],
        newestFirst,
    );
    const canvas = h("div", { class: "canvas" });
    const chart = h("div", { class: "chart", id: `${id}-chart` }, canvas);
    const words = h("div", {});
    const ruler = rule(figure, chart);
    chart.append(...ruler.parts);
    let width = 0;
    /** @type {Redraw} */
    const redraw = (isPaper = false) => {
        const now = isPaper ? PAPER[chart.closest(".grid") ? 1 : 0] : chart.clientWidth;
        if (!now || now === width) return;
        width = now;
        const drawn = draw(width);
        drawn.svg.setAttribute("aria-hidden", "true");
        canvas.replaceChildren(drawn.svg);
        words.replaceChildren(...(drawn.words ? [drawn.words] : []));
        ruler.place(drawn.positions);
    };
    waiting.push(redraw);
    new ResizeObserver(() => redraw()).observe(chart);
    return h(
        "figure",
        { class: "panel", id, onkeydown },
        h("figcaption", {}, h("h3", {}, joined(title, about)), buttons),
        lead,
        legend &&
            h(
                "ul",
                { class: "legend" },
                series.map((field, index) =>
                    h("li", {}, h("i", { class: `swatch s${index + 1}` }), field.label, field.note),
                ),
            ),
        rows.length ? chart : h("p", { class: "empty" }, t("empty.rows")),
        words,
        rows[rows.length - 1]?.incompleto &&
            h("p", { class: "note" }, t("running.dashed", { period: runningName(rows, time) })),
        notes,
        panel,
    );
}

/**
 * @param {Row[]} rows
 * @param {Field} time
 */
function runningName(rows, time) {
    const open = rows.filter((row) => row.incompleto);
    const [first, last] = [open[0], open[open.length - 1]].map((row) =>
        period(String(row[time.key]), time.key),
    );
    return first === last ? first : `${first} – ${last}`;
}
