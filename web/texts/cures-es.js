// What to do about each problem, in Spanish. In English the API says it. See docs/runbook.md.

/** @type {Record<string, string>} */
export default {
    never_populated: "Actualice una vez: «Actualizar ahora», abajo.",
    old_rules: "Actualice, o espere a la próxima actualización diaria.",
    stale: "Mire si la última actualización falló y si el programador funciona. Después actualice.",
    aging: "Nada, si la actualización de hoy aún no empieza. Si no, mire la última actualización.",
    refresh_failed: "Corrija la causa que dice el mensaje. Después actualice.",
    gate: "Mire si las cifras son correctas. Si lo son, un operador las acepta con su motivo.",
    restated: "Avise a quien recibió las cifras anteriores. Nada está dañado.",
    target_missed: "Avise a quien responde por la cifra. Si la meta es errónea, cámbiela abajo.",
    scheduler_down: "Pida a quien administra el servidor que arranque el programador.",
    drift: "Actualice. Si vuelve, pida a quien administra la base que reconstruya las cifras.",
    slow: "Nada, si hubo más cambios de lo usual. Si no, mire qué más carga la base de datos.",
    missing_indexes: "Pida a quien administra la base que cree los índices: make indexes.",
    row_drop: "Mire si alguien borró datos de la plataforma. Si fue un error, restáurelos.",
    missed_slot: "Nada: la próxima actualización recupera lo perdido. Si se repite, avise.",
    lagging: "Mire si una actualización está en curso o falló. Las cifras son correctas.",
    replica_lag: "Pida a quien administra la base que revise la copia de la plataforma.",
    outside_source: "Pida a quien administra el otro servicio que revise lo que envía.",
    hub_site: "Pregunte a esa sede si su base de datos y la conexión funcionan.",
    clock: "Pida a quien administra el servidor que corrija su reloj.",
    lock_blocked: "Pida a quien administra la base que termine la sesión que nombra el mensaje.",
    uncountable_rows: "Pida a quien opera la plataforma que corrija las filas.",
    capture_gap: "Pida a quien administra la base que active la captura de cambios.",
    source_moved: "Pida a quien administra la base que ejecute make migrate.",
    source_hidden: "Pida a quien administra la base el permiso que nombra el mensaje.",
};
