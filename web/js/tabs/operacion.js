// Operación: problems with what to do, views, runs, the schedule; an operator acts here.

import { ApiError, change, product } from "../api.js";
import { kpiOf, title } from "../catalogue.js";
import { h } from "../dom.js";
import { format, instant, number } from "../format.js";
import { isOperator } from "../token.js";
import { table } from "../table.js";
import { problemList } from "./confianza.js";
import { copies } from "./copias.js";
import { marks } from "./marcas.js";
import { named, t } from "../texts.js";

/** @typedef {import("../api.js").Row} Row */

/** What the last action said: survives a refresh. @type {Node[]} */
let said = [];
let since = 0;

/** @param {ApiError | unknown} error */
function failure(error) {
    const problem = error instanceof ApiError ? error : new ApiError(0, { message: String(error) });
    return [
        h("p", { class: "error" }, problem.status === 409 ? t("refresh.running") : problem.message),
        ...(problem.hint ? [h("p", { class: "note" }, problem.hint)] : []),
    ];
}

/** @param {Row} data */
function result(data) {
    return [
        h(
            "p",
            { class: data.success ? "good-text" : "error" },
            data.success ? "✓ " : "✕ ",
            t(data.success ? "refresh.done" : "refresh.failed", {
                n: data.successful_refreshes,
                of: data.total_views,
                time: number(data.total_duration_ms / 1000, 1),
            }),
        ),
        h(
            "ul",
            { class: "plain" },
            /** @type {Row[]} */ (data.details ?? [])
                .filter((one) => one.error_message)
                .map((one) => h("li", {}, `${one.view_name}: ${one.error_message}`)),
        ),
    ];
}

/** The buttons of an operator; a reader sees none. @param {Row} scheduler */
function actions(scheduler) {
    if (!isOperator()) return null;
    const answer = h("div", { class: "answer", role: "status", id: "answer" }, ...said);
    const progress = h("progress", { "aria-label": t("refresh.progress"), hidden: !since });
    const seconds = h("span", { class: "note" });
    const refresh = h(
        "button",
        { type: "button", class: "primary", id: "refresh", onclick: run, disabled: since > 0 },
        t("refresh.now"),
    );
    const [hour, minute] = String(scheduler.schedule ?? "01:00").split(":");
    const time = h("input", {
        type: "time",
        id: "slot",
        required: true,
        value: `${hour}:${minute}`,
    });

    /** @param {Node[]} nodes */
    function say(nodes) {
        said = nodes;
        (document.getElementById("answer") ?? answer).replaceChildren(...nodes);
    }

    async function run() {
        since = Date.now();
        refresh.disabled = true;
        progress.hidden = false;
        say([h("p", {}, t("refresh.going"))]);
        const clock = setInterval(() => {
            seconds.textContent = ` ${number((Date.now() - since) / 1000)} s`;
        }, 1000);
        try {
            const { status, data } = await change("POST", "refresh");
            say(
                status === 202
                    ? [h("p", {}, String(data.message ?? t("refresh.queued")))]
                    : result(data),
            );
        } catch (error) {
            say(failure(error));
        } finally {
            clearInterval(clock);
            since = 0;
            seconds.textContent = "";
            window.dispatchEvent(new CustomEvent("refreshed"));
        }
    }

    /** @param {Event} event */
    async function reschedule(event) {
        event.preventDefault();
        const [newHour, newMinute] = time.value.split(":").map(Number);
        try {
            const { data } = await change("PUT", "scheduler/reschedule", {
                hour: newHour,
                minute: newMinute,
            });
            say([
                h(
                    "p",
                    { class: "good-text" },
                    "✓ ",
                    t("slot.moved", {
                        time: data.new_schedule,
                        zone: data.timezone,
                        next: data.next_run_time ? instant(data.next_run_time) : "—",
                    }),
                ),
            ]);
        } catch (error) {
            say(failure(error));
        }
        window.dispatchEvent(new CustomEvent("refreshed"));
    }

    return h(
        "section",
        { class: "panel operator" },
        h("h2", {}, t("operator.title")),
        h("p", {}, refresh, " ", progress, seconds),
        h(
            "form",
            { onsubmit: reschedule },
            h("label", { for: "slot" }, t("slot.label", { zone: scheduler.timezone ?? "" })),
            " ",
            time,
            " ",
            h("button", { type: "submit" }, t("slot.move")),
        ),
        answer,
    );
}

/** @param {Row} health */
function problems(health) {
    return h(
        "section",
        { class: `panel health ${health.status}` },
        h("h2", {}, t("problems.title")),
        h("p", {}, h("b", {}, named("status", health.status))),
        health.problems.length
            ? problemList(health.problems, true)
            : h("p", {}, "✓ ", t("problems.none")),
    );
}

/** @param {Promise<unknown>} needed the catalogue and the marks, which come meanwhile */
export default async function operacion(needed) {
    const [{ data: status }, { data: scheduler }, { data: health }] = await Promise.all([
        product("status"),
        product("scheduler/status"),
        product("health"),
        needed,
    ]);
    const last = scheduler.last_refresh_result;
    const views = /** @type {Row[]} */ (status.views).map((view) => {
        const kpi = kpiOf(view.name);
        return { ...view, title: kpi ? title(kpi) : view.name };
    });
    const jobs = /** @type {Row[]} */ (scheduler.recent_jobs);
    return [
        problems(health),
        actions(scheduler),
        marks(),
        h(
            "section",
            { class: "panel" },
            h("h2", {}, t("schedule.title")),
            h(
                "dl",
                { class: "facts" },
                h("dt", {}, t("schedule.daily")),
                h(
                    "dd",
                    { id: "schedule" },
                    `${scheduler.schedule ?? "—"} ${scheduler.timezone ?? ""}`,
                ),
                h("dt", {}, t("schedule.next")),
                h("dd", {}, scheduler.next_run_time ? instant(scheduler.next_run_time) : "—"),
                h("dt", {}, t("schedule.running")),
                h("dd", {}, scheduler.is_running ? `✓ ${t("yes")}` : `✕ ${t("no")}`),
                h("dt", {}, t("schedule.last")),
                h(
                    "dd",
                    { id: "last-run" },
                    last
                        ? `${instant(last.started_at)} · ${named("run", last.refresh_status)} · ${number(last.refresh_time_ms / 1000, 1)} s · ${last.requested_by ?? ""}`
                        : t("fresh.never"),
                    last?.error_message && h("span", { class: "error" }, ` ${last.error_message}`),
                ),
            ),
        ),
        copies(status),
        h(
            "section",
            { class: "panel" },
            h("h2", {}, t("views.title")),
            table({
                id: "vistas",
                caption: t("views.title"),
                titled: true,
                rows: views,
                sort: { key: "title", down: false },
                fields: [
                    { key: "title", label: t("views.view"), unit: "texto" },
                    { key: "row_count", label: t("views.rows"), unit: "conteo" },
                    { key: "last_refresh", label: t("views.refresh"), unit: "instante" },
                    {
                        key: "last_status",
                        label: t("views.status"),
                        unit: "texto",
                        cell: (row) => named("run", row.last_status),
                    },
                    {
                        key: "last_duration_ms",
                        label: t("views.time"),
                        unit: "conteo",
                        cell: (row) =>
                            format(
                                row.last_duration_ms == null
                                    ? null
                                    : Math.round(row.last_duration_ms),
                                "conteo",
                            ),
                    },
                    { key: "pending_changes", label: t("views.pending"), unit: "conteo" },
                ],
            }),
        ),
        h(
            "section",
            { class: "panel" },
            h("h2", {}, t("jobs.title")),
            jobs.length
                ? table({
                      id: "trabajos",
                      caption: t("jobs.title"),
                      titled: true,
                      rows: jobs,
                      fields: [
                          { key: "requested_at", label: t("jobs.asked"), unit: "instante" },
                          { key: "requested_by", label: t("jobs.by"), unit: "texto" },
                          {
                              key: "state",
                              label: t("views.status"),
                              unit: "texto",
                              cell: (row) => named("run", row.state),
                          },
                          { key: "finished_at", label: t("jobs.finished"), unit: "instante" },
                          { key: "error", label: t("jobs.error"), unit: "texto" },
                      ],
                  })
                : h("p", { class: "note" }, t("jobs.none")),
        ),
    ];
}
