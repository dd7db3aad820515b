// The texts of the page in one language, which is loaded alone.

/** @typedef {keyof typeof import("../texts/es.js").default} Key */
/** @typedef {"es" | "en"} Language */

/** @type {Record<string, string>} */
let texts = {};
/** @type {Language} */
let language = "es";

/**
 * @param {Language} wanted
 * @returns {Promise<void>}
 */
export async function speak(wanted) {
    if (wanted === "en") {
        texts = (await import("../texts/en.js")).default;
    } else {
        texts = (await import("../texts/es.js")).default;
    }
    language = wanted;
    document.documentElement.lang = wanted;
}

/** @returns {Language} */
export function spoken() {
    return language;
}

/**
 * The text of a key, with values for the names in braces.
 * @param {Key} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
    return (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * The text of a key that is made of data, such as a segment; the data where there is none.
 * @param {string} prefix
 * @param {unknown} value
 * @returns {string}
 */
export function named(prefix, value) {
    return texts[`${prefix}.${value}`] ?? String(value ?? "");
}
