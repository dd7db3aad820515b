// New figures in the place of the old ones, so that nobody loses what he is at.

import { drawCharts } from "./figure.js";

const FOCUSABLE = "a, button, summary, input, select";

/**
 * Where the focus is in the figures: in the element of this id, or in its n-th part that can have it.
 * @param {Element} element
 * @returns {() => HTMLElement | null | undefined} finds the same place in other figures
 */
function placeOf(element) {
    const around = element.closest("[id]") ?? document.body;
    if (around === element) return () => document.getElementById(element.id);
    const index = [...around.querySelectorAll(FOCUSABLE)].indexOf(element);
    return () => {
        /** @type {NodeListOf<HTMLElement> | undefined} */
        const parts = document.getElementById(around.id)?.querySelectorAll(FOCUSABLE);
        return parts?.[index];
    };
}

/**
 * Puts new figures in the place of the old ones. What is open, filled in, chosen or has the focus in
 * these goes on in the new ones.
 * @param {HTMLElement} content
 * @param {Node[]} nodes
 */
export function replaceContent(content, nodes) {
    const focused = /** @type {HTMLInputElement | null} */ (document.activeElement);
    const find = focused && content.contains(focused) ? placeOf(focused) : null;
    const selection = find && focused ? focused.selectionStart : null;
    const open = [...content.querySelectorAll("details[open]")].map((details) => details.id);
    const scrolled = [...content.querySelectorAll(".scroll")].map((one) => [
        one.id,
        one.scrollLeft,
    ]);
    /** @type {NodeListOf<HTMLInputElement>} */
    const inputs = content.querySelectorAll("input[id]");
    const filled = [...inputs].filter((one) => one.value !== one.defaultValue);
    /** @type {NodeListOf<HTMLSelectElement>} */
    const chosen = content.querySelectorAll("select[id]");
    const { scrollX: x, scrollY: y } = window;
    content.replaceChildren(...nodes);
    drawCharts();
    for (const one of open) document.getElementById(one)?.setAttribute("open", "");
    for (const { id: one, value } of filled) {
        const element = /** @type {HTMLInputElement | null} */ (document.getElementById(one));
        if (element) element.value = value;
    }
    for (const { id: one, value } of chosen) {
        const element = /** @type {HTMLSelectElement | null} */ (document.getElementById(one));
        if (element && [...element.options].some((option) => option.value === value)) {
            element.value = value;
            element.dispatchEvent(new Event("change"));
        }
    }
    for (const [one, left] of scrolled) {
        const element = document.getElementById(String(one));
        if (element) element.scrollLeft = Number(left);
    }
    const again = find?.();
    again?.focus({ preventScroll: true });
    if (again && selection != null) {
        /** @type {HTMLInputElement} */ (again).setSelectionRange?.(selection, selection);
    }
    scrollTo(x, y);
}
