-- Fills what follows from the facts of a rebuild: months, reference counts, advisors.
--
-- Invariant: afterwards the set that is being filled is complete for p_today.

CREATE OR REPLACE FUNCTION analytics.complete_rebuild(p_today date)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $complete_rebuild$
DECLARE
    v_suffix constant text := analytics.inactive_set();
    v_table_name text;
BEGIN
    PERFORM analytics.hold_time_zone(rebuild_batches.time_zone)
    FROM analytics.rebuild_batches
    WHERE rebuild_batches.batch = 1;
    PERFORM analytics.empty_set(v_suffix, ARRAY['solicitud_facts']);
    -- Its file may be larger than its rows, or known as that of an empty table.
    EXECUTE format('ANALYZE analytics.%I', 'solicitud_facts' || v_suffix);
    PERFORM analytics.fill_months(v_suffix);

    FOREACH v_table_name IN ARRAY ARRAY['asesor_facts', 'auditoria_facts'] LOOP
        EXECUTE format(
            'INSERT INTO analytics.%I SELECT * FROM analytics.%I',
            v_table_name || v_suffix, 'recomputed_' || v_table_name
        );
    END LOOP;
    FOREACH v_table_name IN ARRAY ARRAY['historica_facts', 'notificacion_facts'] LOOP
        EXECUTE format(
            'INSERT INTO analytics.%I SELECT * FROM analytics.%I WHERE local_day >= $1',
            v_table_name || v_suffix, 'recomputed_' || v_table_name
        ) USING p_today - 29;
    END LOOP;
    PERFORM analytics.empty_work_table('changed_asesor_rows');
    PERFORM analytics.empty_work_table('changed_asesor_ids');
    EXECUTE format(
        'INSERT INTO analytics.changed_asesor_rows
         SELECT
             sign, asesor_id, offers, offers_won, offers_accepted, offers_delivered,
             response_seconds, amount, notifications, notifications_answered, answer_seconds
         FROM (%s) AS window_row
         WHERE local_day <= $1',
        analytics.asesor_window_query(v_suffix)
    ) USING p_today;
    EXECUTE format(
        'INSERT INTO analytics.changed_asesor_ids SELECT DISTINCT asesor_id FROM analytics.%I',
        'auditoria_facts' || v_suffix
    );
    -- Vacuum may have noted each as an empty table: what is joined is counted first.
    ANALYZE analytics.changed_asesor_rows, analytics.changed_asesor_ids;
    EXECUTE format(
        'ANALYZE analytics.%I, analytics.%I, analytics.%I, analytics.%I',
        'asesor_facts' || v_suffix, 'auditoria_facts' || v_suffix, 'historica_facts' || v_suffix,
        'notificacion_facts' || v_suffix
    );
    PERFORM analytics.apply_asesor_rows(v_suffix, p_today);
    EXECUTE format(
        'ANALYZE analytics.%I, analytics.%I', 'month_totals' || v_suffix, 'asesor_totals' || v_suffix
    );
END;
$complete_rebuild$;

COMMENT ON FUNCTION analytics.complete_rebuild(date) IS
'Adds up months, reference counts and advisors of the set that is being filled, for windows '
'that end with p_today. Internal to the rebuild.';

REVOKE ALL ON FUNCTION analytics.complete_rebuild(date) FROM public;
