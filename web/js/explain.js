// What a number means: opens from any number.

import { columnOf, kpiOf, label, meaning, title } from "./catalogue.js";
import { h } from "./dom.js";
import { instant, number } from "./format.js";
import { linkProps } from "./state.js";
import { named, t } from "./texts.js";

/** @typedef {import("./catalogue.js").Bands} Bands */

/**
 * The bands in words.
 * @param {Bands} bands
 * @param {string} unit
 */
export function bandWords(bands, unit) {
    const sign = unit === "pct" ? " %" : "";
    /** @param {number | null} n */
    const n = (n) => (n == null ? "" : number(n, Number.isInteger(n) ? 0 : 1) + sign);
    if (bands.bad_above != null) {
        return t("band.range", {
            from: n(bands.good_from),
            to: n(bands.good_to),
            low: n(bands.bad_below),
            high: n(bands.bad_above),
        });
    }
    return t(bands.good_from != null ? "band.from" : "band.above", {
        good: n(bands.good_from ?? bands.good_above),
        bad: n(bands.bad_below),
    });
}

/**
 * The facts of a column, as a list of terms.
 * @param {string} view
 * @param {string} name
 */
export function facts(view, name) {
    const column = columnOf(view, name);
    const kpi = kpiOf(view);
    /** @type {[string, string][]} */
    const list = [
        [t("explain.unit"), named("unit", column.unit)],
        [t("explain.better"), t(`better.${column.better}`)],
    ];
    if (column.bands) list.push([t("explain.bands"), bandWords(column.bands, column.unit)]);
    if (kpi) {
        list.push([t("explain.view"), title(kpi)]);
        list.push([t("explain.sources"), kpi.sources.join(", ")]);
        const fresh = kpi.last_refresh ? instant(kpi.last_refresh) : t("fresh.never");
        list.push([t("explain.fresh"), kpi.stale ? `${fresh} · ${t("fresh.stale")}` : fresh]);
    }
    list.push([t("explain.name"), `${view}.${name}`]);
    return h(
        "dl",
        { class: "facts" },
        list.map(([term, fact]) => [h("dt", {}, term), h("dd", {}, fact)]),
    );
}

/**
 * Opens the explanation of a column.
 * @param {string} view
 * @param {string} name
 */
export function explain(view, name) {
    const opener = /** @type {HTMLElement | null} */ (document.activeElement);
    const openerId = opener?.id ?? "";
    const dialog = h(
        "dialog",
        { class: "explain", "aria-labelledby": "explain-title" },
        h("h2", { id: "explain-title" }, label(view, name)),
        h("p", {}, meaning(columnOf(view, name))),
        facts(view, name),
        h(
            "p",
            { class: "actions" },
            h("button", { type: "button", onclick: () => dialog.close() }, t("close")),
            h(
                "a",
                { ...linkProps({ vista: "indicadores", kpi: `${view}.${name}` }), class: "button" },
                t("explain.more"),
            ),
        ),
    );
    dialog.addEventListener("click", (event) => {
        const target = /** @type {Element} */ (event.target);
        if (target === dialog || target.closest("a")) dialog.close();
    });
    dialog.addEventListener("close", () => {
        dialog.remove();
        // A refresh meanwhile has made another button of the same id.
        (openerId ? document.getElementById(openerId) : opener)?.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
}
