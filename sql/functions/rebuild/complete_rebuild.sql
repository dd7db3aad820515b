-- Fills what follows from the facts of a rebuild: months, reference counts, advisors.
--
-- Invariant: afterwards the set that is being filled is complete for p_today.

CREATE OR REPLACE FUNCTION kpi_engine.complete_rebuild(p_today date)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $complete_rebuild$
DECLARE
    v_suffix constant text := kpi_engine.inactive_set();
    v_table_name text;
BEGIN
    PERFORM kpi_engine.hold_time_zone(rebuild_batches.time_zone)
    FROM kpi_engine.rebuild_batches
    WHERE rebuild_batches.batch = 1;
    PERFORM kpi_engine.empty_set(v_suffix, ARRAY['solicitud_facts']);
    -- Its file may be larger than its rows, or known as that of an empty table.
    EXECUTE format('ANALYZE kpi_engine.%I', 'solicitud_facts' || v_suffix);
    PERFORM kpi_engine.fill_months(v_suffix);

    FOREACH v_table_name IN ARRAY ARRAY['asesor_facts', 'auditoria_facts'] LOOP
        EXECUTE format(
            'INSERT INTO kpi_engine.%I SELECT * FROM kpi_engine.%I',
            v_table_name || v_suffix, 'recomputed_' || v_table_name
        );
    END LOOP;
    FOREACH v_table_name IN ARRAY ARRAY['historica_facts', 'notificacion_facts'] LOOP
        EXECUTE format(
            'INSERT INTO kpi_engine.%I SELECT * FROM kpi_engine.%I WHERE local_day >= $1',
            v_table_name || v_suffix, 'recomputed_' || v_table_name
        ) USING p_today - 29;
    END LOOP;
    PERFORM kpi_engine.empty_work_table('changed_asesor_rows');
    PERFORM kpi_engine.empty_work_table('changed_asesor_ids');
    EXECUTE format(
        'INSERT INTO kpi_engine.changed_asesor_rows
         SELECT
             sign, asesor_id, offers, offers_won, offers_accepted, offers_delivered,
             response_seconds, amount, notifications, notifications_answered, answer_seconds
         FROM (%s) AS window_row
         WHERE local_day <= $1',
        kpi_engine.asesor_window_query(v_suffix)
    ) USING p_today;
    EXECUTE format(
        'INSERT INTO kpi_engine.changed_asesor_ids SELECT DISTINCT asesor_id FROM kpi_engine.%I',
        'auditoria_facts' || v_suffix
    );
    -- Vacuum may have noted each as an empty table: what is joined is counted first.
    ANALYZE kpi_engine.changed_asesor_rows, kpi_engine.changed_asesor_ids;
    EXECUTE format(
        'ANALYZE kpi_engine.%I, kpi_engine.%I, kpi_engine.%I, kpi_engine.%I',
        'asesor_facts' || v_suffix, 'auditoria_facts' || v_suffix, 'historica_facts' || v_suffix,
        'notificacion_facts' || v_suffix
    );
    PERFORM kpi_engine.apply_asesor_rows(v_suffix, p_today);
    EXECUTE format(
        'ANALYZE kpi_engine.%I, kpi_engine.%I',
        'month_totals' || v_suffix, 'asesor_totals' || v_suffix
    );
END;
$complete_rebuild$;

COMMENT ON FUNCTION kpi_engine.complete_rebuild(date) IS
'Adds up months, reference counts and advisors of the set that is being filled, for windows '
'that end with p_today. Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.complete_rebuild(date) FROM public;
