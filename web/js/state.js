// What the page shows is in the address: a link shows the same.

/** @typedef {{vista: string, desde: string, hasta: string, ciudad: string, kpi: string, lang: import("./texts.js").Language}} State */

export const TABS = [
    "resumen",
    "embudo",
    "mercado",
    "finanzas",
    "ciudades",
    "asesores",
    "indicadores",
    "operacion",
];
const MONTH = /^\d{4}-(0[1-9]|1[0-2])$/;

/** @returns {State} */
export function state() {
    const query = new URLSearchParams(location.search);
    /** @param {string} name */
    const month = (name) => {
        const value = query.get(name) ?? "";
        return MONTH.test(value) ? value : "";
    };
    const vista = query.get("vista") ?? "";
    const [desde, hasta] = [month("desde"), month("hasta")];
    return {
        vista: TABS.includes(vista) ? vista : TABS[0],
        desde: desde && hasta && desde > hasta ? hasta : desde,
        hasta: desde && hasta && desde > hasta ? desde : hasta,
        ciudad: (query.get("ciudad") ?? "").trim(),
        kpi: query.get("kpi") ?? "",
        lang: query.get("lang") === "en" ? "en" : "es",
    };
}

/**
 * The address of the page with some changes.
 * @param {Partial<State>} changes
 */
export function link(changes) {
    const next = { ...state(), kpi: "", ...changes };
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(next)) {
        if (
            value &&
            !(name === "vista" && value === TABS[0]) &&
            !(name === "lang" && value === "es")
        )
            query.set(name, value);
    }
    const text = query.toString();
    return text ? `?${text}` : location.pathname;
}

/** @type {((moved: boolean) => void)[]} */
const listeners = [];

/** @param {(moved: boolean) => void} listener told whether the tab is another one */
export function onChange(listener) {
    listeners.push(listener);
}

/** @param {Partial<State>} changes */
export function go(changes) {
    const before = state().vista;
    const target = link(changes);
    if (target === (location.search || location.pathname)) return;
    history.pushState(null, "", target);
    for (const listener of listeners) listener(state().vista !== before || "kpi" in changes);
}

window.addEventListener("popstate", () => {
    for (const listener of listeners) listener(false);
});

/**
 * Listeners of a link inside the page: it is a link, so that it opens in another tab, too.
 * @param {Partial<State>} changes
 */
export function linkProps(changes) {
    return {
        href: link(changes),
        onclick: /** @param {MouseEvent} event */ (event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
            event.preventDefault();
            go(changes);
        },
    };
}
