-- What is wrong, and what to do about it.
--
-- Invariant: each rule of the HTTP API's health is here, once. No row means healthy. An instant of
-- ours is compared with analytics.now(), a stamp of the server with the wall clock. The logs may be
-- long: only their last lines are read, by index.

CREATE OR REPLACE FUNCTION analytics.health_problems()
RETURNS TABLE (problem text, severity text, message text, alert_after interval)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $health_problems$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plans: each tick calls this.
    RETURN QUERY
        WITH views AS (
            SELECT
                staleness.view_name,
                staleness.relation,
                view_state.last_success_at,
                view_state.is_void,
                analytics.now() - view_state.last_success_at AS age,
                coalesce(pg_class.relispopulated, false) AS is_populated,
                last_try.refresh_status,
                last_try.error_message,
                last_try.error_sqlstate,
                last_try.rows_affected,
                before.rows_affected AS rows_before
            FROM kpi_engine.view_staleness() AS staleness
            LEFT JOIN pg_class ON pg_class.oid = staleness.relation
            LEFT JOIN kpi_engine.view_state USING (view_name)
            LEFT JOIN LATERAL (
                SELECT refresh_log.*
                FROM kpi_engine.refresh_log
                WHERE refresh_log.view_name = staleness.view_name
                ORDER BY refresh_log.log_id DESC
                LIMIT 1
            ) AS last_try ON true
            LEFT JOIN LATERAL (
                SELECT refresh_log.rows_affected
                FROM kpi_engine.refresh_log
                WHERE
                    refresh_log.view_name = staleness.view_name
                    AND refresh_log.log_id < last_try.log_id
                    AND refresh_log.refresh_status = 'SUCCESS'
                ORDER BY refresh_log.log_id DESC
                LIMIT 1
            ) AS before ON true
        ),

        last_run AS (
            SELECT refresh_log.log_id, refresh_log.mode, refresh_log.refresh_time_ms
            FROM kpi_engine.refresh_log
            WHERE refresh_log.view_name IS NULL AND refresh_log.refresh_status = 'SUCCESS'
            ORDER BY refresh_log.log_id DESC
            LIMIT 1
        ),

        speed AS (
            SELECT
                last_run.refresh_time_ms,
                percentile_cont(0.5) WITHIN GROUP (
                    ORDER BY earlier.refresh_time_ms::double precision
                ) AS median
            FROM last_run
            CROSS JOIN LATERAL (
                SELECT refresh_log.refresh_time_ms
                FROM kpi_engine.refresh_log
                WHERE
                    refresh_log.view_name IS NULL
                    AND refresh_log.refresh_status = 'SUCCESS'
                    AND refresh_log.mode = last_run.mode
                    AND refresh_log.log_id < last_run.log_id
                ORDER BY refresh_log.log_id DESC
                LIMIT 14
            ) AS earlier
            GROUP BY last_run.refresh_time_ms
            HAVING count(*) >= 5
        ),

        catalog AS MATERIALIZED (
            SELECT kpi_engine.is_settled() AS is_settled
        )

        SELECT
            'never_populated', 'unhealthy',
            format('view %s was never refreshed: POST /materialized-views/refresh, or '
                'SELECT * FROM refresh_all_mv();', views.view_name),
            -- A new view waits for the next daily refresh. If that fails, other problems show it.
            interval '25 hours'
        FROM views
        WHERE views.last_success_at IS NULL
        UNION ALL
        SELECT
            'never_populated', 'unhealthy',
            format('view %s has lost its contents: %s', views.view_name, CASE
                WHEN views.relation IS NULL THEN 'it is gone; make migrate creates it again'
                WHEN EXISTS (SELECT FROM kpi_engine.gate_holds WHERE gate_holds.view_name = views.view_name)
                    THEN 'what it would show is held back; see problem gate'
                ELSE 'POST /materialized-views/refresh, or SELECT * FROM refresh_all_mv();'
            END),
            NULL
        FROM views
        WHERE views.last_success_at IS NOT NULL AND NOT views.is_populated
        UNION ALL
        SELECT
            'old_rules', 'degraded',
            format('an upgrade changed rules of %s view(s), which may show figures of before until the '
                'next refresh: POST /materialized-views/refresh, or SELECT * FROM '
                'refresh_all_mv(); (%s)', count(*), string_agg(views.view_name, ', ' ORDER BY views.view_name)),
            -- The next daily refresh does it. If that fails, other problems show it.
            interval '25 hours'
        FROM views
        WHERE views.is_void
        HAVING count(*) > 0
        UNION ALL
        SELECT
            'stale', 'unhealthy',
            format('view %s was last refreshed %s hours ago: see the scheduler''s status and the '
                'last runs', views.view_name, round(extract(EPOCH FROM views.age) / 3600)),
            NULL
        FROM views
        WHERE kpi_engine.is_stale(views.last_success_at)
        UNION ALL
        SELECT
            'aging', 'degraded',
            format('view %s was last refreshed over 25 hours ago: the daily refresh is late',
                views.view_name),
            -- When clocks go back, a day has 25 hours, and the refresh is running.
            interval '15 minutes'
        FROM views
        WHERE views.age > interval '25 hours' AND NOT kpi_engine.is_stale(views.last_success_at)
        UNION ALL
        SELECT
            'refresh_failed', 'unhealthy',
            format('the last refresh of view %s failed: %s; see analytics.refresh_log',
                views.view_name,
                kpi_engine.error_in_short(views.error_message, views.error_sqlstate)),
            NULL
        FROM views
        WHERE
            views.refresh_status = 'ERROR'
            -- What the gate holds back is a problem of its own, and so are tables of other services.
            AND (views.error_sqlstate IN ('TA001', 'TA002')) IS NOT TRUE
        UNION ALL
        SELECT
            'gate', 'degraded',
            format('%s: %s%s. If that is right: SELECT analytics.accept_gate(%L, ''once'', '
                '''the reason''); else set the data right',
                CASE held.view_name
                    WHEN 'changes' THEN 'no change is applied since ' || held.since
                    ELSE format('view %s %s since %s', held.view_name, CASE
                        WHEN held.is_empty THEN 'is empty, and the gate holds its publish'
                        ELSE 'keeps its contents'
                    END, held.since)
                END,
                held.words, CASE WHEN held.number > 3 THEN format(
                    '; and %s more: SELECT * FROM analytics.gate_holds', held.number - 3) END,
                held.view_name),
            NULL
        FROM (
            SELECT
                listed.view_name,
                kpi_engine.iso_instant(min(listed.held_at)) AS since,
                string_agg(listed.words, '; ' ORDER BY listed.place) FILTER (
                    WHERE listed.place <= 3
                ) AS words,
                count(*) AS number,
                EXISTS (
                    SELECT FROM pg_class
                    WHERE
                        pg_class.oid = to_regclass(format('analytics.%I', listed.view_name))
                        AND NOT pg_class.relispopulated
                ) AS is_empty
            FROM (
                SELECT
                    gate_holds.view_name,
                    gate_holds.held_at,
                    kpi_engine.gate_words(
                        gate_holds.view_name, gate_holds.rule, gate_holds.column_name,
                        gate_holds.period, gate_holds.before, gate_holds.after, gate_holds.allowed
                    ) AS words,
                    row_number() OVER (
                        PARTITION BY gate_holds.view_name ORDER BY gate_holds.hold_id
                    ) AS place
                FROM kpi_engine.gate_holds
                -- A view that is gone holds nothing.
                WHERE
                    gate_holds.view_name = 'changes'
                    OR to_regclass(format('analytics.%I', gate_holds.view_name)) IS NOT NULL
            ) AS listed
            GROUP BY listed.view_name
        ) AS held
        UNION ALL
        SELECT
            'restated', 'degraded',
            format('%s figure(s) of closed periods changed since yesterday and are %s %% or more away '
                'from what was reported, the most %s of view %s for %s: SELECT * FROM '
                'analytics.restatements ORDER BY restatement_id DESC; it ends by itself after a day',
                restated.number, analytics.setting('restatement_alert_pct'), restated.column_name,
                restated.view_name, restated.period),
            -- It happened.
            interval '0'
        FROM (
            SELECT
                restatements.view_name,
                restatements.column_name,
                restatements.period,
                count(*) OVER () AS number
            FROM kpi_engine.restatements
            WHERE
                analytics.setting('restatement_alert_pct') <> 'off'
                -- Not in the future, by a clock that was ahead.
                AND restatements.since BETWEEN analytics.now() - interval '1 day' AND analytics.now()
                AND to_regclass(format('analytics.%I', restatements.view_name)) IS NOT NULL
                AND coalesce(
                    abs(restatements.difference_pct),
                    CASE WHEN restatements.current IS DISTINCT FROM restatements.reported
                        THEN 'infinity'::numeric END
                ) >= nullif(analytics.setting('restatement_alert_pct'), 'off')::numeric
                AND (
                    (SELECT sum(month_totals.requests) FROM kpi_engine.month_totals)
                    >= (SELECT analytics.setting('gate_least_requests')::numeric)
                    -- Or before: a loss of requests must be told too.
                    OR kpi_engine.requests_around(restatements.view_name, restatements.run_id)
                    >= (SELECT analytics.setting('gate_least_requests')::numeric)
                )
            ORDER BY abs(restatements.difference_pct) DESC NULLS LAST, restatements.restatement_id
            LIMIT 1
        ) AS restated
        UNION ALL
        SELECT
            'target_missed', 'degraded',
            missed.message,
            -- It happened. Each period has an alert of its own: kpi_engine.update_alerts().
            interval '0'
        FROM kpi_engine.missed_targets() AS missed
        UNION ALL
        SELECT
            'refresh_failed', 'unhealthy',
            format('the last refresh did not end: %s; see SELECT * FROM analytics.refresh_log '
                'ORDER BY log_id DESC LIMIT 1;',
                kpi_engine.error_in_short(run.error_message, run.error_sqlstate)),
            NULL
        FROM (
            SELECT
                refresh_log.run_id,
                refresh_log.refresh_status,
                refresh_log.error_message,
                refresh_log.error_sqlstate
            FROM kpi_engine.refresh_log
            WHERE refresh_log.view_name IS NULL
            ORDER BY refresh_log.log_id DESC
            LIMIT 1
        ) AS run
        WHERE
            run.refresh_status = 'ERROR'
            AND run.error_sqlstate IS DISTINCT FROM 'TA001'
            -- A failed view is a problem of its own.
            AND NOT EXISTS (
                SELECT FROM kpi_engine.refresh_log
                WHERE
                    refresh_log.run_id = run.run_id
                    AND refresh_log.view_name IS NOT NULL
                    AND refresh_log.refresh_status = 'ERROR'
            )
        UNION ALL
        SELECT
            'scheduler_down', 'unhealthy',
            format('no tick of the scheduler for 3 minutes: %s', analytics.scheduler_down_reason()),
            NULL
        WHERE NOT kpi_engine.scheduler_is_running()
        UNION ALL
        SELECT
            'drift', 'unhealthy',
            format('the audit found %s wrong cell(s), and the views still show them: '
                'SELECT * FROM refresh_all_mv(); (which: SELECT * FROM analytics.audit_log '
                'WHERE NOT is_healed;)', sum(audit_log.cells)),
            NULL
        FROM kpi_engine.audit_log
        WHERE NOT audit_log.is_healed
        HAVING count(*) > 0
        UNION ALL
        SELECT
            'drift', 'degraded',
            'the operational tables changed faster than the last refresh computed them: the views may '
            'show a part of a transaction: SELECT * FROM refresh_all_mv(); shows all of it',
            NULL
        FROM kpi_engine.engine_state
        WHERE engine_state.is_half_seen
        UNION ALL
        SELECT
            'slow', 'degraded',
            format('the last refresh took %s s, over three times the median of the last ones '
                '(%s s): see what else the database is doing, and analytics.explain_refresh()',
                round(speed.refresh_time_ms / 1000, 1), round((speed.median / 1000)::numeric, 1)),
            NULL
        FROM speed
        WHERE
            speed.refresh_time_ms > 3 * speed.median
            AND speed.refresh_time_ms > analytics.setting('slow_refresh_least_ms')::numeric
        UNION ALL
        SELECT
            'missing_indexes', 'degraded',
            format('%s index(es) on the operational tables are missing, refreshes are slower: '
                'make indexes, or the statements that this shows: '
                'SELECT statement FROM analytics.source_indexes() WHERE NOT is_present;', count(*)),
            NULL
        FROM analytics.source_indexes() AS source_index
        WHERE NOT source_index.is_present
        HAVING count(*) > 0
        UNION ALL
        SELECT
            'row_drop', 'degraded',
            format('view %s went from %s rows to %s in one refresh: was data lost in the source?',
                views.view_name, views.rows_before, views.rows_affected),
            -- It happened. The next refresh may come before the next tick.
            interval '0'
        FROM views
        WHERE
            views.refresh_status = 'SUCCESS'
            AND views.rows_before > 1
            AND views.rows_affected < views.rows_before / 2.0
        UNION ALL
        SELECT
            'missed_slot', 'degraded',
            format('%s daily refresh(es) did not start in time, the last one on %s: was the server '
                'or its scheduler down? The next successful refresh makes up for it',
                count(*), max(missed.slot_date)),
            -- It happened. It may be over before the next tick.
            interval '0'
        FROM kpi_engine.refresh_jobs AS missed
        WHERE
            missed.is_missed
            AND NOT missed.is_void
            AND (kpi_engine.last_success_at() > missed.requested_at) IS NOT TRUE
        HAVING count(*) > 0
        UNION ALL
        SELECT
            'lagging', 'degraded',
            lag.message,
            NULL
        FROM (SELECT kpi_engine.lag_problem() AS message OFFSET 0) AS lag
        WHERE lag.message IS NOT NULL
        UNION ALL
        SELECT
            'replica_lag', behind.severity,
            behind.message,
            NULL
        FROM (
            -- unhealthy comes after degraded.
            SELECT
                max(each.severity) AS severity,
                string_agg(each.message, '; ' ORDER BY each.message) AS message
            FROM kpi_engine.replica_problem() AS each
        ) AS behind
        WHERE behind.message IS NOT NULL
        UNION ALL
        SELECT
            'replica_lag', 'degraded',
            'the copy of the operational tables was behind at the last refresh, and has caught up '
            'since. The figures may lack what came in between: SELECT * FROM refresh_all_mv(); counts '
            'it. If nothing of it waits, the next tick ends this problem',
            NULL
        FROM kpi_engine.engine_state
        WHERE
            engine_state.facts_behind IS NOT NULL
            AND analytics.setting('replica_lag') <> 'off'
            AND NOT EXISTS (SELECT FROM kpi_engine.replica_problem())
        UNION ALL
        SELECT
            'outside_source', 'degraded',
            outside.message,
            NULL
        FROM (SELECT kpi_engine.outside_problem() AS message OFFSET 0) AS outside
        WHERE outside.message IS NOT NULL
        UNION ALL
        SELECT
            'hub_site', 'degraded',
            hub.message,
            NULL
        FROM (SELECT kpi_engine.hub_problem() AS message OFFSET 0) AS hub
        WHERE hub.message IS NOT NULL
        UNION ALL
        SELECT
            'clock', clock.severity,
            clock.message,
            -- It happened. It may be over before the next tick.
            interval '0'
        FROM kpi_engine.clock_problem() AS clock
        WHERE clock.message IS NOT NULL
        UNION ALL
        SELECT
            'lock_blocked', blocked.severity,
            blocked.message,
            NULL
        FROM analytics.lock_blocked_problem() AS blocked
        UNION ALL
        SELECT
            'uncountable_rows', 'degraded',
            uncountable.message,
            NULL
        FROM (SELECT kpi_engine.uncountable_problem() AS message OFFSET 0) AS uncountable
        WHERE uncountable.message IS NOT NULL
        UNION ALL
        SELECT
            'capture_gap', 'unhealthy',
            format('%s: %s. Until then refreshes compute more than what changed, or everything',
                concat_ws('; ', capture.gap, cure.reason), cure.in_words),
            NULL
        FROM catalog
        CROSS JOIN LATERAL (
            SELECT CASE WHEN NOT catalog.is_settled THEN analytics.capture_gap() END AS gap OFFSET 0
        ) AS capture
        CROSS JOIN LATERAL (
            SELECT cure_of_gap.*
            FROM kpi_engine.capture_cure() AS cure_of_gap
            WHERE capture.gap IS NOT NULL
            OFFSET 0
        ) AS cure
        WHERE
            analytics.setting('change_capture') = 'on'
            AND capture.gap IS NOT NULL
        UNION ALL
        SELECT
            source.problem,
            CASE WHEN bool_or(source.is_fatal) THEN 'unhealthy' ELSE 'degraded' END,
            format('%s: %s%s',
                string_agg(source.message, '; ' ORDER BY source.message),
                string_agg(DISTINCT source.remedy, '; '),
                CASE
                    WHEN bool_or(source.is_fatal)
                        THEN '. Until then every refresh fails and the views keep their contents'
                    ELSE ''
                END),
            NULL
        FROM catalog
        CROSS JOIN LATERAL analytics.source_problems() AS source
        WHERE NOT catalog.is_settled
        GROUP BY source.problem;
END;
$health_problems$;

-- The list gives GET /health its general words, and GET /metrics its names. These words are for
-- everybody: no statement, no table, no path, no figure.
COMMENT ON FUNCTION analytics.health_problems() IS
'What is wrong with the installation. One row for each problem: its name, its severity '
'(unhealthy or degraded), a text that says what to do, and the time after which it is an alert '
'(NULL: the setting alert_after_minutes). No row: healthy. The problems, each with words in '
'English and Spanish, and with what to do in Spanish:
never_populated: a view has no data yet
es: una vista aún no tiene datos
hacer: Actualice una vez: «Actualizar ahora», abajo.
old_rules: a view may still show figures of earlier rules
es: una vista aún puede mostrar cifras de reglas anteriores
hacer: Actualice, o espere a la próxima actualización diaria.
stale: the figures are over 26 hours old
es: las cifras tienen más de 26 horas
hacer: Mire si la última actualización falló y si el programador funciona. Después actualice.
aging: the figures are over 25 hours old
es: las cifras tienen más de 25 horas
hacer: Nada, si la actualización de hoy aún no empieza. Si no, mire la última actualización.
refresh_failed: the last refresh failed
es: la última actualización falló
hacer: Corrija la causa que dice el mensaje. Después actualice.
gate: a refresh holds back figures that look wrong until somebody accepts them
es: hay cifras retenidas hasta que alguien las acepte
hacer: Mire si las cifras son correctas. Si lo son, un operador las acepta con su motivo.
restated: figures of closed periods changed
es: cambiaron cifras de períodos cerrados
hacer: Avise a quien recibió las cifras anteriores. Nada está dañado.
target_missed: a figure of a closed period misses its target
es: un período cerrado no cumple su meta
hacer: Avise a quien responde por la cifra. Si la meta es errónea, cámbiela abajo.
scheduler_down: the scheduler does not run
es: el programador de actualizaciones no corre
hacer: Pida a quien administra el servidor que arranque el programador.
drift: some figures differ from the operational tables
es: algunas cifras difieren de las tablas operativas
hacer: Actualice. Si vuelve, pida a quien administra la base que reconstruya las cifras.
slow: the last refresh was slow
es: la última actualización fue lenta
hacer: Nada, si hubo más cambios de lo usual. Si no, mire qué más carga la base de datos.
missing_indexes: refreshes are slower than they need to be
es: las actualizaciones son más lentas de lo necesario
hacer: Pida a quien administra la base que cree los índices: make indexes.
row_drop: a view lost half of its rows
es: una vista perdió la mitad de sus filas
hacer: Mire si alguien borró datos de la plataforma. Si fue un error, restáurelos.
missed_slot: a daily refresh did not start in time
es: una actualización diaria no empezó a tiempo
hacer: Nada: la próxima actualización recupera lo perdido. Si se repite, avise.
lagging: changes wait for longer than they should
es: los cambios esperan más de lo debido
hacer: Mire si una actualización está en curso o falló. Las cifras son correctas.
replica_lag: the copy of the operational tables is behind or stands still
es: la copia de las tablas operativas está atrasada o detenida
hacer: Pida a quien administra la base que revise la copia de la plataforma.
outside_source: a view can not follow the tables of another service
es: una vista no puede seguir las tablas de otro servicio
hacer: Pida a quien administra el otro servicio que revise lo que envía.
hub_site: a site of this hub gives nothing new
es: una sede de este hub no entrega nada nuevo
hacer: Pregunte a esa sede si su base de datos y la conexión funcionan.
clock: the clock of the server was wrong or is wrong
es: el reloj del servidor estuvo o está mal
hacer: Pida a quien administra el servidor que corrija su reloj.
lock_blocked: a session holds a lock that stops refreshes
es: una sesión bloquea las actualizaciones
hacer: Pida a quien administra la base que termine la sesión que nombra el mensaje.
uncountable_rows: rows hold values that can not be counted
es: hay filas con valores que no se pueden contar
hacer: Pida a quien opera la plataforma que corrija las filas.
capture_gap: changes are not noted
es: no se anotan los cambios
hacer: Pida a quien administra la base que active la captura de cambios.
source_moved: the operational tables changed and have to be bound again
es: las tablas operativas cambiaron y hay que enlazarlas de nuevo
hacer: Pida a quien administra la base que ejecute make migrate.
source_hidden: the operational tables can not be read in full
es: las tablas operativas no se pueden leer completas
hacer: Pida a quien administra la base lo que nombra el mensaje.';

REVOKE ALL ON FUNCTION analytics.health_problems() FROM public;
