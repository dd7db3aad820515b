// Puts the page together: token, tab, figures; and brings it up to date when the data change.

import { ApiError, forgetAnswers, forgetViews, missing, viewsShown } from "./api.js";
import { isMixed, loadCatalogue } from "./catalogue.js";
import { signs } from "./data.js";
import { h } from "./dom.js";
import { loadMarks } from "./marks.js";
import { expiry, oldText, signIn, trouble } from "./notices.js";
import { missingText, showAges } from "./parts.js";
import { replaceContent } from "./replace.js";
import { filters, navigation, restoreTheme, showPeriod } from "./shell.js";
import { link, onChange, state } from "./state.js";
import { speak, t } from "./texts.js";
import { cities, current, forget, secondsLeft, takeFromAddress } from "./token.js";

/** @typedef {import("./dom.js").Child} Child */

const EVERY = 30000;
// The gateway may keep an answer for a second.
const KEPT = 1100;
/** @type {Record<string, () => Promise<{default: (needed: Promise<unknown>) => Promise<Child[]>}>>} */
const TABS = {
    resumen: () => import("./tabs/resumen.js"),
    embudo: () => import("./tabs/embudo.js"),
    mercado: () => import("./tabs/mercado.js"),
    finanzas: () => import("./tabs/finanzas.js"),
    ciudades: () => import("./tabs/ciudades.js"),
    asesores: () => import("./tabs/asesores.js"),
    indicadores: () => import("./tabs/indicadores.js"),
    operacion: () => import("./tabs/operacion.js"),
};

const skipLink = h("a", { class: "skip", href: "#main", onclick: skip });
const brand = h("span", {});
const nav = h("nav", {});
const bar = h("div", { class: "filters" });
const warning = h("p", { class: "warning", role: "status", hidden: true, id: "warning" });
const stale = h("p", { class: "warning", role: "status", hidden: true, id: "behind" });
const partial = h("p", { class: "warning", role: "status", hidden: true, id: "partial" });
const old = h("p", { class: "warning", role: "status", hidden: true, id: "old" });
const heading = h("h1", { tabindex: "-1", id: "heading" });
const content = h("div", { id: "content" });
const main = h("main", { id: "main" }, heading, content);

/** Counts what was asked for: an answer that comes late is not shown. */
let turn = 0;
/** What of the address is shown; nothing before the first tab and without a token. @type {string | null} */
let shown = null;
/** What the tab showed that changes without a refresh. */
let seen = "";

/** @param {string} reason */
function askForToken(reason) {
    turn++;
    name();
    shown = null;
    forgetAnswers();
    forget();
    // The field says it: no need to say it twice.
    expiry(warning);
    document.body.classList.add("signed-out");
    heading.textContent = t("brand.long");
    content.replaceChildren(
        signIn(reason, () => {
            document.body.classList.remove("signed-out");
            render(true);
        }),
    );
    main.removeAttribute("aria-busy");
    document.getElementById("token")?.focus();
}

/** @param {unknown} error @param {boolean} isFirst whether nothing of this tab is there yet */
function failed(error, isFirst) {
    if (error instanceof ApiError && error.status === 401) {
        const expired = (secondsLeft() ?? 1) <= 0;
        askForToken(expired ? t("token.expired") : t("token.refused", { why: error.message }));
    } else if (isFirst) {
        // Nothing of before is shown.
        stale.hidden = true;
        old.hidden = true;
        content.replaceChildren(trouble(error, () => render(true)));
    } else {
        stale.textContent = t("error.behind");
        stale.hidden = false;
    }
}

/** Says which figures of the tab are older than they should be, and of which rows are missing. */
function showDoubts() {
    const about = oldText(viewsShown());
    old.hidden = about === "";
    if (about && old.textContent !== about) old.textContent = about;
    const text = missingText(missing());
    partial.hidden = text === "";
    if (text && partial.textContent !== text) partial.textContent = text;
}

/**
 * Asks for what the tab of the address shows. A tab asks for its figures while what every tab
 * needs is on its way.
 * @returns {Promise<Child[]>}
 */
async function ask() {
    const { vista, lang } = state();
    const tab = TABS[vista]();
    const needed = Promise.all([loadCatalogue(), loadMarks(), speak(lang)]);
    const [parts] = await Promise.all([tab.then((one) => one.default(needed)), needed]);
    return parts;
}

/**
 * Shows the tab of the address.
 * @param {boolean} moved whether it is another one, so that its heading takes the focus
 * @param {boolean} [again] whether a refresh came between the answers of the last time
 */
async function render(moved, again = false) {
    const mine = ++turn;
    const { vista, lang } = state();
    if (!current()) {
        await speak(lang);
        return mine === turn ? askForToken("") : undefined;
    }
    if (vista === "resumen" && !state().ciudad && cities().length) {
        history.replaceState(null, "", link({ ciudad: cities()[0] }));
    }
    const isFirst = shown !== location.search;
    main.setAttribute("aria-busy", "true");
    // A refresh leaves alone what somebody may just be typing into.
    if (isFirst) seen = "";
    forgetViews();
    const asked = ask();
    const framed = speak(lang).then(() => isFirst && mine === turn && frame());
    try {
        const [parts] = await Promise.all([asked, framed]);
        if (mine !== turn) return undefined;
        replaceContent(
            content,
            /** @type {Node[]} */ (parts.filter((part) => part instanceof Node)),
        );
        showPeriod();
        shown = location.search;
        stale.hidden = true;
        showDoubts();
        if (!again && isMixed()) setTimeout(() => mine === turn && render(false, true), KEPT);
        if (moved || (isFirst && state().kpi)) {
            scrollTo(0, 0);
            focusTarget().focus({ preventScroll: !state().kpi });
        }
    } catch (error) {
        // An answer may fail before the texts are here.
        await framed.catch(() => undefined);
        if (mine === turn) failed(error, isFirst);
    } finally {
        if (mine === turn) main.removeAttribute("aria-busy");
    }
    return undefined;
}

/** @returns {HTMLElement} the chosen KPI, or the heading */
function focusTarget() {
    return document.querySelector("details.chosen summary") ?? heading;
}

/** What does not depend on the tab. */
function name() {
    skipLink.textContent = t("skip");
    brand.textContent = t("brand");
}

/** What stands around the figures. */
function frame() {
    expiry(warning);
    const { vista, ciudad } = state();
    const title = t(/** @type {import("./texts.js").Key} */ (`tab.${vista}`));
    name();
    document.title = `${title}${ciudad ? ` · ${ciudad}` : ""} · TeLOO`;
    heading.textContent = ciudad ? `${title} · ${ciudad}` : title;
    nav.setAttribute("aria-label", t("nav.label"));
    const focused = document.activeElement?.id ?? "";
    nav.replaceChildren(navigation(vista));
    bar.replaceChildren(...filters(() => askForToken("")));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    showCurrentTab();
}

/**
 * Scrolls the tabs so that the current one is in their middle. Not by scrollIntoView(): in
 * Chromium 150 the key Tab goes on from there, past the link that skips the tabs.
 */
function showCurrentTab() {
    const tab = nav.querySelector("[aria-current]")?.getBoundingClientRect();
    if (!tab) return;
    const { left, width } = nav.getBoundingClientRect();
    nav.scrollLeft += tab.left - left - (width - tab.width) / 2;
}

/** Asks whether there are other data, and shows them. */
async function poll() {
    expiry(warning);
    showAges();
    if (!current() || document.hidden) return;
    if ((secondsLeft() ?? 1) <= 0) return askForToken(t("token.expired"));
    const mine = turn;
    try {
        const [isOther, hasOthers, now] = await Promise.all([
            loadCatalogue(),
            loadMarks(),
            signs(state().vista),
        ]);
        showDoubts();
        const isBehind = !stale.hidden || content.querySelector(".trouble") != null;
        const isOld = isMixed();
        const isNews = seen !== "" && now !== seen;
        if (mine === turn) seen = now;
        if (mine === turn && (isOther || hasOthers || isBehind || isOld || isNews))
            await render(false);
    } catch (error) {
        if (mine === turn) failed(error, false);
    }
}

async function start() {
    restoreTheme();
    takeFromAddress();
    document.body.append(
        skipLink,
        h("header", { class: "head" }, h("p", { class: "brand" }, "TeLOO", brand), nav, bar),
        warning,
        stale,
        partial,
        old,
        main,
    );
    onChange((moved) => render(moved));
    window.addEventListener("hashchange", () => {
        const isTaken = takeFromAddress();
        if (isTaken == null) return;
        // Nothing of what the other token showed stays.
        forgetAnswers();
        shown = null;
        if (!isTaken) return askForToken(t("token.none"));
        document.body.classList.remove("signed-out");
        render(true);
    });
    window.addEventListener("focus", poll);
    window.addEventListener("refreshed", () => render(false));
    document.addEventListener("visibilitychange", poll);
    setInterval(poll, EVERY);
    await render(false);
}

/** @param {Event} event */
function skip(event) {
    event.preventDefault();
    heading.focus();
}

start();
