// What the page says instead of figures: without a token, with a dead API.

import { ApiError } from "./api.js";
import { catalogue, kpiOf, title } from "./catalogue.js";
import { h } from "./dom.js";
import { duration, instant } from "./format.js";
import { linkProps } from "./state.js";
import { cities, secondsLeft, take } from "./token.js";
import { t } from "./texts.js";

/**
 * The field for a token, and what to do to get one.
 * @param {string} reason
 * @param {() => void} signedIn
 */
export function signIn(reason, signedIn) {
    const problem = h("p", { class: "error", role: "alert", id: "token-problem" }, reason);
    const field = h("textarea", {
        id: "token",
        rows: 3,
        required: true,
        spellcheck: "false",
        autocomplete: "off",
        "aria-describedby": "token-help",
    });
    return h(
        "form",
        {
            class: "panel sign-in",
            onsubmit: (/** @type {Event} */ event) => {
                event.preventDefault();
                const good = take(field.value);
                field.value = "";
                if (good) signedIn();
                else problem.textContent = t("token.none");
            },
        },
        h("h2", {}, t("token.title")),
        problem,
        h("label", { for: "token" }, t("token.label")),
        field,
        h("p", {}, h("button", { type: "submit", class: "primary" }, t("token.enter"))),
        h("p", { class: "note", id: "token-help" }, t("token.help")),
        h("pre", {}, "make token ROLE=analytics_lector\nmake demo"),
        h("p", { class: "note" }, t("token.memory")),
    );
}

/**
 * What failed, in words, and what to do.
 * @param {unknown} error
 * @param {() => void} retry
 */
export function trouble(error, retry) {
    const status = error instanceof ApiError ? error.status : -1;
    const dead = status === 0 || status === 502 || status === 503 || status === 504;
    const message = error instanceof Error ? error.message : String(error);
    const unfilled = status === 503 && message.includes("never populated");
    const text = unfilled
        ? t("error.unfilled")
        : dead
          ? t("error.dead")
          : status === 403
            ? t("error.forbidden")
            : status === 429
              ? t("error.busy")
              : t("error.other");
    return h(
        "section",
        { class: "panel trouble", role: "alert" },
        h("h2", {}, text),
        h(
            "p",
            {},
            unfilled
                ? [
                      t("error.unfilled.do"),
                      " ",
                      h("a", linkProps({ vista: "operacion" }), t("tab.operacion")),
                  ]
                : dead
                  ? t("error.dead.do")
                  : status === 403 && cities().length
                    ? t("error.forbidden.do", { cities: cities().join(", ") })
                    : t("error.other.do"),
        ),
        h(
            "p",
            {},
            h(
                "button",
                { type: "button", id: "retry", class: "primary", onclick: retry },
                t("retry"),
            ),
        ),
        h("p", { class: "note" }, status > 0 ? `HTTP ${status}: ` : "", message),
    );
}

/** Seconds before the end of a token when it is told. */
const WARN = 15 * 60;

/**
 * Tells the end of the token before it comes.
 * @param {HTMLElement} place
 */
export function expiry(place) {
    const left = secondsLeft();
    const text =
        left == null || left > WARN
            ? ""
            : left <= 0
              ? t("token.expired")
              : t("token.expires", { time: duration(Math.max(60, left), true) });
    if (place.textContent !== text) place.textContent = text;
    place.hidden = !text;
}

/**
 * Which of some views show older figures than they should: late ones, and those that the last
 * refresh of the others left as they were.
 * @param {string[]} views
 */
export function oldText(views) {
    const shown = views.flatMap((view) => kpiOf(view) ?? []);
    const newest = Math.max(...catalogue().map((kpi) => kpi.data_version ?? 0));
    const parts = /** @type {const} */ ([
        ["fresh.old", shown.filter((kpi) => kpi.stale)],
        ["fresh.behind", shown.filter((kpi) => !kpi.stale && (kpi.data_version ?? 0) < newest)],
    ]);
    return parts
        .filter(([, some]) => some.length)
        .map(([key, some]) => t(key, { views: some.map(named).join("; ") }))
        .join(" ");
}

/** @param {import("./catalogue.js").Kpi} kpi */
function named(kpi) {
    const at = kpi.last_refresh ? instant(kpi.last_refresh) : t("fresh.never");
    return t("fresh.of", { view: title(kpi), instant: at });
}
