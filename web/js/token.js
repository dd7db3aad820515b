// The token: in this module's memory and nowhere else. A reload forgets it.

/** @typedef {{role?: string, exp?: number, sub?: string, ciudades?: string[]}} Claims */

let token = "";
/** @type {Claims} */
let claims = {};

/**
 * @param {string} text
 * @returns {Claims}
 */
function read(text) {
    try {
        const part = text.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
        const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
        const payload = JSON.parse(new TextDecoder().decode(bytes));
        return payload && typeof payload === "object" ? payload : {};
    } catch {
        return {};
    }
}

/**
 * Takes a token as it was pasted: alone, after Bearer, or in a link.
 * @param {string} text
 * @returns {boolean} whether it looks like one
 */
export function take(text) {
    const found = /[\w-]+\.[\w-]+\.[\w-]*/.exec(text.replace(/^.*#token=/, "").trim());
    token = found ? found[0] : "";
    claims = read(token);
    return token !== "";
}

/**
 * Takes the token out of the address bar's fragment, and the fragment away.
 * @returns {boolean | null} whether it looks like one; none if the address has no such fragment
 */
export function takeFromAddress() {
    const given = /^#token=(.*)$/.exec(location.hash);
    if (!given) return null;
    history.replaceState(history.state, "", location.pathname + location.search);
    return take(given[1]);
}

export function forget() {
    token = "";
    claims = {};
}

export function current() {
    return token;
}

export function isOperator() {
    return claims.role === "analytics_operador";
}

/**
 * The cities that the token is for; none if it is for the whole country.
 * @returns {string[]}
 */
export function cities() {
    return Array.isArray(claims.ciudades) ? claims.ciudades.map(String) : [];
}

export function holder() {
    return { name: claims.sub ?? "", role: claims.role ?? "" };
}

/**
 * Seconds until the token ends; none without a token.
 * @returns {number | null}
 */
export function secondsLeft() {
    return token && claims.exp ? claims.exp - Date.now() / 1000 : null;
}
