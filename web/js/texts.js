// The texts of the page in one language, which is loaded alone.

/** @typedef {keyof typeof import("../texts/es.js").default} Key */
/** @typedef {"es" | "en"} Language */

/** @type {Record<string, string>} */
let texts = {};
/** @type {Record<string, string>} */
let labels = {};
/** @type {Language} */
let language = "es";

/**
 * @param {Language} wanted
 * @returns {Promise<void>}
 */
export async function speak(wanted) {
    if (wanted === "en") {
        const [loaded, columns] = await Promise.all([
            import("../texts/en.js"),
            import("../texts/labels-en.js"),
        ]);
        texts = loaded.default;
        labels = columns.default;
    } else {
        texts = (await import("../texts/es.js")).default;
        labels = {};
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

/**
 * The label of a column: in English from a list of our own, the catalogue has Spanish ones.
 * @param {string} column
 * @param {string} spanish
 */
export function labelOf(column, spanish) {
    return labels[column] ?? spanish;
}
