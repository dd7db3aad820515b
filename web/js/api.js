// Asks the API. What came last stays in memory with its ETag, so that asking again costs a 304.

import { t } from "./texts.js";
import { current } from "./token.js";

/** @typedef {Record<string, any>} Row */
/** @typedef {{origins: string, since: string}[]} Partial empty: the figures are whole */
/** @typedef {{data: any, etag: string, isNew: boolean, partial: Partial}} Answer */

/** An answer that is no success; status 0 where there was none. */
export class ApiError extends Error {
    /**
     * @param {number} status
     * @param {{message?: string, details?: string | null, hint?: string | null}} body
     */
    constructor(status, body) {
        super(body.message ?? "");
        this.status = status;
        this.details = body.details ?? "";
        this.hint = body.hint ?? "";
    }
}

/** @type {Map<string, Answer>} */
const known = new Map();
/** @type {Map<string, Promise<Answer>>} */
const asked = new Map();
/** What figures of the last refresh lack, by view; "": of any view. @type {Map<string, Partial>} */
const partial = new Map();
/** The views that the tab asked for, and of which refreshes rows came. @type {Map<string, Set<string>>} */
const views = new Map();

/** @returns {string[]} the views that were asked for since forgetViews() */
export function viewsShown() {
    return [...views.keys()].sort();
}

/**
 * Whether rows of other refreshes than this one came since forgetViews().
 * @param {string} view
 * @param {number | null} version
 * @param {string | null} refreshed
 */
export function hasOthers(view, version, refreshed) {
    return [...(views.get(view) ?? [])].some((one) => one !== `${version} ${refreshed}`);
}

export function forgetViews() {
    views.clear();
    partial.clear();
}

/** @returns {Partial} of the figures of the last refresh that came since forgetViews() */
export function missing() {
    const ofViews = [...partial].filter(([view]) => view).map(([, lacking]) => lacking);
    const all = ofViews.length ? ofViews.flat() : (partial.get("") ?? []);
    return [...new Map(all.map((one) => [JSON.stringify(one), one])).values()];
}

// A site of a hub has the instant until when it is counted with its name.
const SITE = /^(.*)=(\d{4}-\d\d-\d\dT[\d:.]+Z)$/;

/**
 * What an answer says that its figures lack: origins, which share an instant, and sites.
 * @param {Headers} headers
 * @returns {Partial}
 */
function lackingOf(headers) {
    const names = headers.get("X-Partial")?.split(", ") ?? [];
    // A header has ASCII alone.
    const all = names.map((name) => SITE.exec(name) ?? [name, name, ""]);
    const sites = all.filter(([, , since]) => since);
    const origins = all.filter(([, , since]) => !since).map(([, name]) => decodeURIComponent(name));
    return [
        ...(origins.length
            ? [{ origins: origins.join(", "), since: headers.get("X-Partial-Since") ?? "" }]
            : []),
        ...sites.map(([, name, since]) => ({ origins: decodeURIComponent(name), since })),
    ];
}

/** Forgets all answers: another token may see others. */
export function forgetAnswers() {
    known.clear();
    asked.clear();
}

/**
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} [query]
 * @returns {string} the path with its query, without empty values
 */
export function address(path, query = {}) {
    const pairs = Object.entries(query)
        .filter(([, value]) => value != null && value !== "")
        .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
    return pairs.length ? `${path}?${pairs.join("&")}` : path;
}

/**
 * @param {string} method
 * @param {string} url
 * @param {Record<string, string>} [headers]
 */
async function send(method, url, headers = {}) {
    const token = current();
    try {
        return await fetch(url, {
            method,
            cache: "no-store",
            headers: { ...headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) },
        });
    } catch (error) {
        throw new ApiError(0, { message: String(error) });
    }
}

/** @param {Response} response */
async function bodyOf(response) {
    const text = await response.text();
    try {
        return JSON.parse(text);
    } catch {
        throw new ApiError(response.ok ? 502 : response.status, { message: text.slice(0, 200) });
    }
}

/** @param {string} path */
const viewOf = (path) => /(?:kpis|rest)\/(mv_\w+)/.exec(path)?.[1] ?? "";

/**
 * @param {string} url
 * @param {number[]} accepted
 * @returns {Promise<Answer>}
 */
async function ask(url, accepted) {
    const before = known.get(url);
    const response = await send("GET", url, before?.etag ? { "If-None-Match": before.etag } : {});
    const lacking = lackingOf(response.headers);
    // Figures of this moment lack other rows than those of the last refresh.
    if (response.headers.has("X-Stale") && !url.includes("/live")) {
        partial.set(viewOf(url), lacking);
    }
    const [version, refreshed] = ["X-Data-Version", "X-Refreshed-At"].map((name) =>
        response.headers.get(name),
    );
    if (version) views.get(viewOf(url))?.add(`${version} ${refreshed}`);
    if (response.status === 304 && before) return { ...before, isNew: false, partial: lacking };
    const data = await bodyOf(response);
    if (!response.ok && !accepted.includes(response.status)) {
        throw new ApiError(response.status, data);
    }
    const etag = response.headers.get("ETag") ?? "";
    const answer = { data, etag, isNew: true, partial: lacking };
    known.set(url, answer);
    return answer;
}

/**
 * GET; the same request at the same time is made once.
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} [query]
 * @param {number[]} [accepted] statuses with a body that is wanted, too
 * @returns {Promise<Answer>}
 */
export function get(path, query = {}, accepted = []) {
    const url = address(path, query);
    const view = viewOf(path);
    if (view && !views.has(view)) views.set(view, new Set());
    const running = asked.get(url);
    if (running) return running;
    const promise = ask(url, accepted).finally(() => asked.delete(url));
    asked.set(url, promise);
    return promise;
}

/**
 * What a token for some cities may not see is left out.
 * @template T
 * @param {Promise<T>} promise
 * @returns {Promise<T | null>}
 */
export async function ifAllowed(promise) {
    try {
        return await promise;
    } catch (error) {
        if (error instanceof ApiError && error.status === 403) return null;
        throw error;
    }
}

/**
 * What the other figures can do without: an answer that fails is told in its place. That the API is
 * away, or the token is refused, is told for all.
 * @template T
 * @param {Promise<T>} promise
 * @param {(error: ApiError) => T} instead
 * @returns {Promise<T>}
 */
export async function orElse(promise, instead) {
    try {
        return await promise;
    } catch (error) {
        if (!(error instanceof ApiError) || [0, 401].includes(error.status)) throw error;
        return instead(error);
    }
}

const BELOW = "materialized-views";

/**
 * The rows of a KPI view.
 * @param {string} view
 * @param {Record<string, string | number | null | undefined>} [query]
 * @returns {Promise<Row[]>}
 */
export async function rows(view, query = {}) {
    return (await get(`${BELOW}/kpis/${view}`, query)).data;
}

// The most rows that the API gives in one answer.
const MOST = 1000;
// How often all are asked for if a refresh comes between two answers. The gateway may keep an
// answer of before for a second.
const ATTEMPTS = 5;
const KEPT = 1100;

/**
 * All rows of a KPI view, however many: in as many answers as it takes, all of one refresh.
 * @param {string} view
 * @param {Record<string, string | number | null | undefined>} [query]
 * @returns {Promise<Row[]>}
 */
export async function allRows(view, query = {}) {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        /** @type {Answer[]} */
        const answers = [];
        do {
            const offset = answers.length * MOST || null;
            answers.push(await get(`${BELOW}/kpis/${view}`, { ...query, limit: MOST, offset }));
        } while (answers[answers.length - 1].data.length === MOST);
        // Rows of two refreshes would be there twice, or not at all.
        if (answers.every((answer) => answer.etag === answers[0].etag)) {
            return answers.flatMap((answer) => answer.data);
        }
        await new Promise((done) => setTimeout(done, KEPT));
    }
    throw new Error(t("error.changed"));
}

/**
 * A path below /materialized-views.
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} [query]
 */
export function product(path, query = {}) {
    return get(`${BELOW}/${path}`, query, path === "health" ? [503] : []);
}

/**
 * A request that changes something.
 * @param {"POST" | "PUT" | "DELETE"} method
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} [query]
 * @returns {Promise<{status: number, data: any}>}
 */
export async function change(method, path, query = {}) {
    const response = await send(method, address(`${BELOW}/${path}`, query));
    const data = await bodyOf(response);
    if (!response.ok) throw new ApiError(response.status, data);
    return { status: response.status, data };
}
