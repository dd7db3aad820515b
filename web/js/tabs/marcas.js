// Targets and notes, in Operación: everybody reads them, an operator writes and removes them.

import { ApiError, change } from "../api.js";
import { catalogue, columnOf, kpiOf, label, title } from "../catalogue.js";
import { h } from "../dom.js";
import { format, number, period, read } from "../format.js";
import { allNotes, allTargets, MOST } from "../marks.js";
import { isOperator } from "../token.js";
import { named, t } from "../texts.js";

/** @typedef {import("../marks.js").Target} Target */
/** @typedef {import("../marks.js").Note} Note */

const KEPT = 1100;
/** What the last action said: survives a refresh. */
let said = "";
let isError = false;

/**
 * Asks for a change, says what came of it, and shows the page again.
 * @param {"POST" | "DELETE"} method
 * @param {"targets" | "notes"} path
 * @param {Record<string, string | number | null>} query
 * @returns {Promise<boolean>} whether it was done
 */
async function ask(method, path, query) {
    try {
        await change(method, path, query);
        [said, isError] = [t("marks.done"), false];
    } catch (error) {
        const problem = error instanceof ApiError ? error : new ApiError(0, {});
        // At once: if the API is away, nothing is rendered anew.
        refuse([problem.message, problem.hint].filter(Boolean).join(" "));
    }
    const show = () => window.dispatchEvent(new CustomEvent("refreshed"));
    show();
    // The gateway may keep the list of before for a second.
    setTimeout(show, KEPT);
    return !isError;
}

/**
 * Says what is wrong. A form keeps what is in it.
 * @param {string} text
 */
function refuse(text) {
    [said, isError] = [text, true];
    const place = document.getElementById("marks-said");
    if (place) [place.textContent, place.className] = [text, "error"];
}

/**
 * @param {string} id
 * @param {string} name
 * @param {() => void} onclick
 */
function removal(id, name, onclick) {
    if (!isOperator()) return null;
    return h(
        "button",
        {
            type: "button",
            class: "quiet",
            id,
            "aria-label": t("marks.remove.of", { name }),
            onclick,
        },
        t("marks.remove"),
    );
}

/** The title of a view, or its name if it is gone. @param {string} view */
function titleOf(view) {
    const kpi = kpiOf(view);
    return kpi ? title(kpi) : view;
}

/** @param {Note} note */
function noteLine(note) {
    const about = note.view == null ? "" : ` · ${titleOf(note.view)}`;
    const words = `${period(note.day, "dia")}${about}: ${note.text}`;
    return h(
        "li",
        {},
        `${words} — ${note.author} `,
        removal(`remove-note-${note.id}`, words, () => ask("DELETE", "notes", { id: note.id })),
    );
}

/** @param {Target} target */
function targetLine(target) {
    const { view, column, from, value, stale } = target;
    const time = kpiOf(view)?.time_column ?? "dia";
    const words = t("target.line", {
        label: `${label(view, column)} · ${titleOf(view)}`,
        value: format(value, columnOf(view, column).unit),
        from: period(from, time),
    });
    return h(
        "li",
        {},
        `${words} — ${target.set_by} `,
        stale && h("span", { class: "error" }, `${t("marks.stale", { why: stale })} `),
        removal(`remove-target-${view}-${column}-${from}`, words, () =>
            ask("DELETE", "targets", { view, column, from }),
        ),
    );
}

/**
 * A field with its name above it.
 * @param {string} id
 * @param {string} name
 * @param {HTMLElement} input
 * @param {Node} [after] what stands beside the field
 */
function labelled(id, name, input, after) {
    input.id = id;
    const both = after ? h("span", { class: "with-unit" }, input, after) : input;
    return h("span", { class: "labelled" }, h("label", { for: id }, name), both);
}

function noteForm() {
    const day = h("input", { type: "date", required: true });
    const text = h("input", { type: "text", required: true, maxlength: 200 });
    /** @param {Event} event */
    const onsubmit = async (event) => {
        event.preventDefault();
        const written = text.value;
        // At once: a second click adds it no second time.
        text.value = "";
        if (await ask("POST", "notes", { day: day.value, text: written.trim() })) return;
        const field = /** @type {HTMLInputElement | null} */ (document.getElementById("note-text"));
        if (field && field.value === "") field.value = written;
    };
    return h(
        "form",
        { class: "fields", onsubmit },
        labelled("note-day", t("marks.day"), day),
        labelled("note-text", t("marks.text"), text),
        h("button", { type: "submit", id: "note-add" }, t("marks.add")),
    );
}

function targetForm() {
    const figure = h(
        "select",
        { required: true },
        catalogue().map((kpi) =>
            h(
                "optgroup",
                { label: title(kpi) },
                kpi.columns
                    .filter((column) => column.unit !== "texto" && !kpi.key.includes(column.name))
                    .filter((column) => !["fecha", "instante"].includes(column.unit))
                    .map((column) =>
                        h(
                            "option",
                            { value: `${kpi.view} ${column.name}` },
                            label(kpi.view, column.name),
                        ),
                    ),
            ),
        ),
    );
    const from = h("input", { type: "date", required: true });
    const value = h("input", {
        type: "text",
        inputmode: "decimal",
        required: true,
        size: 12,
        "aria-describedby": "target-unit",
    });
    const unit = h("span", { class: "note", id: "target-unit" });
    const showUnit = () => {
        const [view, column] = figure.value.split(" ");
        const wanted = columnOf(view, column).unit;
        unit.textContent = wanted === "segundos" ? t("unit.seconds") : named("unit", wanted);
    };
    figure.addEventListener("change", showUnit);
    showUnit();
    const better = h(
        "select",
        {},
        h("option", { value: "" }, t("marks.usual")),
        h("option", { value: "up" }, t("better.up")),
        h("option", { value: "down" }, t("better.down")),
    );
    /** @param {Event} event */
    const onsubmit = (event) => {
        event.preventDefault();
        const [view, column] = figure.value.split(" ");
        const wanted = read(value.value);
        if (wanted == null) {
            const [whole, part] = [number(1500), number(1500.5, 1)];
            return refuse(t("marks.number", { value: value.value.trim(), whole, part }));
        }
        return ask("POST", "targets", {
            view,
            column,
            from: from.value,
            value: wanted,
            better: better.value,
        });
    };
    return h(
        "form",
        { class: "fields", onsubmit },
        labelled("target-figure", t("marks.figure"), figure),
        labelled("target-from", t("marks.from"), from),
        labelled("target-value", t("marks.value"), value, unit),
        labelled("target-better", t("marks.better"), better),
        h("button", { type: "submit", id: "target-set" }, t("marks.set")),
    );
}

/** Targets and notes, with forms for an operator. */
export function marks() {
    const targets = allTargets();
    const notes = allNotes();
    const none = () => h("p", { class: "note" }, t("marks.none"));
    /** @param {unknown[]} list */
    const cut = (list) =>
        list.length >= MOST && h("p", { class: "note" }, t("marks.cut", { n: list.length }));
    return h(
        "section",
        { class: "panel", id: "marks" },
        h("h2", {}, t("marks.title")),
        h("h3", {}, t("marks.targets")),
        targets.length ? h("ul", { class: "plain" }, targets.map(targetLine)) : none(),
        cut(targets),
        isOperator() && targetForm(),
        h("h3", {}, t("marks.notes")),
        notes.length ? h("ul", { class: "plain" }, notes.map(noteLine)) : none(),
        cut(notes),
        isOperator() && noteForm(),
        h("p", { class: isError ? "error" : "good-text", role: "status", id: "marks-said" }, said),
    );
}
