// What stands around the tabs: the name, the tabs, the period, the city, language and theme.

import { product } from "./api.js";
import { newestMonth } from "./catalogue.js";
import { h } from "./dom.js";
import { go, linkProps, state, TABS } from "./state.js";
import { t } from "./texts.js";
import { cities as own, forget, holder, isOperator } from "./token.js";
import { addMonths } from "./periods.js";

/** @typedef {import("./texts.js").Key} Key */

// What a token for some cities can see.
const NARROW = ["resumen", "ciudades", "asesores", "indicadores"];

/** @param {string} theme light, dark, or nothing for the system's */
function setTheme(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
}

/** The theme that was chosen here before. No more than that is stored. */
export function restoreTheme() {
    try {
        setTheme(localStorage.getItem("theme") ?? "");
    } catch {
        // A browser that stores nothing has the system's theme.
    }
}

function toggleTheme() {
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const next = dark ? "light" : "dark";
    setTheme(next);
    try {
        localStorage.setItem("theme", next);
    } catch {
        // It holds until the page is closed.
    }
}

/**
 * The tabs, as links.
 * @param {string} current
 */
export function navigation(current) {
    return h(
        "ul",
        {},
        TABS.filter((tab) => !own().length || NARROW.includes(tab)).map((tab) =>
            h(
                "li",
                {},
                h(
                    "a",
                    {
                        ...linkProps({ vista: tab }),
                        id: `tab-${tab}`,
                        "aria-current": tab === current ? "page" : null,
                    },
                    t(/** @type {Key} */ (`tab.${tab}`)),
                ),
            ),
        ),
    );
}

// So many months up to the newest one can be chosen.
const MONTHS = [3, 6, 13, 24, 36];
let choose = () => {};

/** Chooses the period of the address in the list: what it is called depends on the catalogue. */
export function showPeriod() {
    choose();
}

/** @param {() => void} signOut */
export function filters(signOut) {
    const { desde, hasta, ciudad, lang } = state();
    const between = h(
        "span",
        { class: "own" },
        monthField("desde", desde),
        monthField("hasta", hasta),
    );
    let isBeingWritten = false;
    const select = h(
        "select",
        {
            id: "period",
            onchange: () => {
                if (select.value === "own") {
                    isBeingWritten = true;
                    between.hidden = false;
                    between.querySelector("input")?.focus();
                } else {
                    const n = Number(select.value);
                    go({ desde: n ? addMonths(newestMonth(), 1 - n) : "", hasta: "" });
                }
            },
        },
        h("option", { value: "" }, t("filter.usual")),
        MONTHS.map((n) => h("option", { value: n }, t("filter.months", { n }))),
        h("option", { value: "own" }, t("filter.own")),
    );
    choose = () => {
        if (isBeingWritten) return;
        const newest = newestMonth();
        const n = MONTHS.find((each) => !hasta && desde === addMonths(newest, 1 - each));
        select.value = n ? String(n) : desde || hasta ? "own" : "";
        between.hidden = select.value !== "own";
    };
    choose();
    const cities = h("datalist", { id: "cities" });
    const city = h("input", {
        id: "city",
        type: "search",
        list: "cities",
        value: ciudad,
        placeholder: t("filter.all"),
        autocomplete: "off",
        onfocus: () => fillCities(cities),
        onchange: () => go({ ciudad: city.value.trim() }),
        onsearch: () => go({ ciudad: city.value.trim() }),
    });
    const role = isOperator() ? t("role.operator") : t("role.reader");
    return [
        h("span", { class: "field" }, h("label", { for: "period" }, t("filter.period")), select),
        between,
        h("span", { class: "field" }, h("label", { for: "city" }, t("filter.city")), city, cities),
        h(
            "span",
            { class: "right" },
            h(
                "button",
                {
                    type: "button",
                    class: "quiet",
                    id: "language",
                    lang: lang === "en" ? "es" : "en",
                    onclick: () => go({ lang: lang === "en" ? "es" : "en", kpi: state().kpi }),
                },
                lang === "en" ? "Español" : "English",
            ),
            h(
                "button",
                { type: "button", class: "quiet", id: "theme", onclick: toggleTheme },
                t("theme.switch"),
            ),
            h(
                "button",
                {
                    type: "button",
                    class: "quiet",
                    id: "sign-out",
                    title: `${holder().name} · ${role}`,
                    onclick: () => {
                        forget();
                        signOut();
                    },
                },
                `${role} · ${t("token.leave")}`,
            ),
        ),
    ];
}

/**
 * @param {"desde" | "hasta"} name
 * @param {string} value
 */
function monthField(name, value) {
    const field = h("input", {
        type: "month",
        id: name,
        value,
        pattern: "[0-9]{4}-(0[1-9]|1[0-2])",
        placeholder: "2026-01",
        "aria-label": t(`filter.${name}`),
        onchange: () => {
            if (field.validity.valid) go({ [name]: field.value });
        },
    });
    return field;
}

/** @param {HTMLDataListElement} list */
async function fillCities(list) {
    if (list.childElementCount) return;
    try {
        const { data } = await product("city-summary");
        list.replaceChildren(
            ...data.cities.map((/** @type {{ciudad: string}} */ one) =>
                h("option", { value: one.ciudad }),
            ),
        );
    } catch {
        // Without the list a city can be typed.
    }
}
