// Where the figures come from, in the tab Operación: subscriptions, or the sites of a hub.

import { h } from "../dom.js";
import { format } from "../format.js";
import { table } from "../table.js";
import { named, t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

/** @param {Row} one a subscription */
function stateOf(one) {
    if (one.lost.length) return "gone";
    if (!one.is_enabled) return "disabled";
    if (!one.is_running) return "stopped";
    if (one.copying.length) return "copying";
    if (one.is_failing) return "failing";
    return one.is_late ? "late" : "ok";
}

/** @param {Row} one a site */
function stateOfSite(one) {
    if (one.state !== "ok") return one.state;
    if (one.is_partial) return "partial";
    return one.is_old ? "late" : "ok";
}

/**
 * How far the operational databases behind the figures are: subscriptions, or the sites of a hub.
 * @param {Row} status
 */
export function copies(status) {
    const origins = /** @type {Row[]} */ (status.origins);
    const rows = [
        .../** @type {Row[]} */ (status.replication).map((one) => {
            const origin = origins.find((each) => each.subscriptions.includes(one.subscription));
            return { name: one.subscription, as_of: origin?.as_of, ...one, state: stateOf(one) };
        }),
        .../** @type {Row[]} */ (status.sites).map((one) => ({
            name: one.site,
            ...one,
            state: stateOfSite(one),
        })),
    ];
    if (!rows.length) return null;
    return h(
        "section",
        { class: "panel" },
        h("h2", {}, t("copies.title")),
        table({
            id: "copias",
            caption: t("copies.title"),
            titled: true,
            rows,
            fields: [
                { key: "name", label: t("copies.name"), unit: "texto" },
                {
                    key: "state",
                    label: t("views.status"),
                    unit: "texto",
                    cell: (row) => named("copy", row.state),
                },
                { key: "as_of", label: t("copies.as_of"), unit: "instante" },
                {
                    key: "seconds_behind",
                    label: t("copies.seconds"),
                    unit: "conteo",
                    cell: (row) =>
                        format(
                            row.seconds_behind == null ? null : Math.round(row.seconds_behind),
                            "conteo",
                        ),
                },
                { key: "bytes_behind", label: t("copies.bytes"), unit: "conteo" },
            ],
        }),
    );
}
