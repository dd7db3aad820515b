// Indicadores: what each KPI means, by what rule, from which tables, how fresh.

import { catalogue, label, meaning, title } from "../catalogue.js";
import { folded, h } from "../dom.js";
import { facts } from "../explain.js";
import { instant } from "../format.js";
import { empty } from "../parts.js";
import { state } from "../state.js";
import { spoken, t } from "../texts.js";

/** @typedef {import("../catalogue.js").Kpi} Kpi */

let searched = "";

/**
 * @param {Kpi} kpi
 * @param {string} wanted what to search for, folded
 * @param {string} chosen the KPI of the address
 */
function entry(kpi, wanted, chosen) {
    const columns = kpi.columns.filter(
        (column) =>
            !wanted ||
            folded(
                `${column.name} ${label(kpi.view, column.name)} ${meaning(column)} ${title(kpi)}`,
            ).includes(wanted),
    );
    if (!columns.length) return null;
    return h(
        "section",
        { class: "panel" },
        h("h2", {}, title(kpi)),
        h("p", {}, spoken() === "en" ? kpi.description_en : kpi.description_es),
        h(
            "p",
            { class: "note" },
            `${kpi.view} · `,
            kpi.last_refresh
                ? t("fresh.at", { instant: instant(kpi.last_refresh) })
                : t("fresh.never"),
            kpi.stale ? ` · ${t("fresh.stale")}` : "",
        ),
        columns.map((column) => {
            const id = `${kpi.view}.${column.name}`;
            return h(
                "details",
                { id, open: id === chosen, class: id === chosen ? "chosen" : null },
                h("summary", {}, label(kpi.view, column.name)),
                h("p", {}, meaning(column)),
                facts(kpi.view, column.name),
            );
        }),
    );
}

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export default async function indicadores(needed) {
    await needed;
    const { kpi: chosen } = state();
    if (!catalogue().length) return [empty(t("empty.rows"))];
    const list = h("div", { class: "stack" });
    const box = h("input", {
        type: "search",
        id: "indicadores-busca",
        value: searched,
        placeholder: t("kpis.search"),
        "aria-label": t("kpis.search"),
        oninput: () => {
            searched = box.value;
            fill();
        },
    });
    function fill() {
        const found = catalogue()
            .map((kpi) => entry(kpi, folded(searched.trim()), chosen))
            .filter((one) => one != null);
        list.replaceChildren(...(found.length ? found : [empty(t("kpis.none"))]));
    }
    if (chosen) searched = "";
    fill();
    return [h("p", { class: "lead" }, t("kpis.lead")), h("p", {}, box), list];
}
