// Builds elements. Texts become text nodes and nothing else: a name with markup is shown, not run.

/** @typedef {Node | string | number | null | undefined | false} Part */
/** @typedef {Part | readonly (Part | readonly (Part | readonly Part[])[])[]} Child */
/** @typedef {Record<string, unknown>} Props */

/**
 * @param {Element} element
 * @param {Props} props
 */
function apply(element, props) {
    for (const [name, value] of Object.entries(props)) {
        if (value == null || value === false) continue;
        if (typeof value === "function") {
            element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
        } else {
            element.setAttribute(name, value === true ? "" : String(value));
        }
    }
}

/**
 * @param {readonly any[]} children
 * @returns {(Node | string)[]}
 */
function flat(children) {
    return children.flatMap((child) => {
        if (child == null || child === false) return [];
        if (Array.isArray(child)) return flat(child);
        return [typeof child === "number" ? String(child) : child];
    });
}

/**
 * An HTML element: attributes by name, listeners as onclick and so on.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Props} [props]
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
    const element = document.createElement(tag);
    apply(element, props);
    element.append(...flat(children));
    return element;
}

/**
 * An SVG element.
 * @param {string} tag
 * @param {Props} [props]
 * @param {Child[]} children
 * @returns {SVGElement}
 */
export function svg(tag, props = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    apply(element, props);
    element.append(...flat(children));
    return element;
}

/**
 * Saves a text as a file.
 * @param {string} name
 * @param {string} text
 */
export function save(name, text) {
    const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/**
 * Lower case without accents, to search and compare by.
 * @param {string} text
 */
export function folded(text) {
    return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}
