// The rules for the page's JavaScript. Types are tsc's affair, the form is prettier's.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.local/node/package.json", import.meta.url));
const js = require("@eslint/js");

const browser = [
    "AbortController",
    "Blob",
    "CSS",
    "CustomEvent",
    "Event",
    "Headers",
    "Intl",
    "Node",
    "Response",
    "ResizeObserver",
    "TextDecoder",
    "URL",
    "URLSearchParams",
    "atob",
    "clearInterval",
    "clearTimeout",
    "console",
    "document",
    "fetch",
    "globalThis",
    "history",
    "localStorage",
    "location",
    "matchMedia",
    "performance",
    "requestAnimationFrame",
    "scrollTo",
    "scrollX",
    "scrollY",
    "setInterval",
    "setTimeout",
    "window",
];

export default [
    js.configs.recommended,
    {
        languageOptions: {
            ecmaVersion: 2022,
            sourceType: "module",
            globals: Object.fromEntries(browser.map((name) => [name, "readonly"])),
        },
        linterOptions: { reportUnusedDisableDirectives: "error" },
        rules: {
            eqeqeq: ["error", "always", { null: "ignore" }],
            "max-lines": ["error", 299],
            "no-eval": "error",
            "no-implied-eval": "error",
            "no-restricted-properties": [
                "error",
                ...["innerHTML", "outerHTML", "insertAdjacentHTML"].map((property) => ({
                    property,
                    message: "Names from the API are text: use textContent.",
                })),
                { property: "sessionStorage", message: "A token is kept in memory only." },
            ],
            "no-var": "error",
            "prefer-const": "error",
        },
    },
    // Lists of words.
    { files: ["web/texts/*.js"], rules: { "max-lines": "off" } },
];
