-- Makes the sets that a rebuild filled the active ones: by the views, or row by row.
--
-- Invariant: its time is bounded. To let the views show another set, it waits for sessions that
-- have read one of them in an open transaction, 50 ms at a time. Nobody else waits longer. If a
-- session stays for 5 s, a warning names it. Then the rows that differ are written into the set
-- that this session reads. That needs no waiting.

CREATE OR REPLACE FUNCTION kpi_engine.publish_set()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $publish_set$
DECLARE
    v_wait constant interval := interval '5 seconds';
    v_deadline constant timestamptz := clock_timestamp() + v_wait;
    v_lock_timeout constant text := current_setting('lock_timeout');
    v_readers text;
BEGIN
    PERFORM set_config('lock_timeout', '50ms', true);
    LOOP
        BEGIN
            PERFORM kpi_engine.activate_set();
            PERFORM set_config('lock_timeout', v_lock_timeout, true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            EXIT WHEN clock_timestamp() > v_deadline;
        END;
        PERFORM pg_sleep(0.2);
    END LOOP;
    PERFORM set_config('lock_timeout', v_lock_timeout, true);
    SELECT string_agg(
        format(
            'process %s (role %I, application %L%s)', reader.pid, reader.role_name,
            reader.application, ', transaction since ' || kpi_engine.iso_instant(reader.xact_start)
        ), ', '
    )
    INTO v_readers
    FROM (
        SELECT DISTINCT
            held.pid,
            pg_get_userbyid(session.usesysid) AS role_name,
            session.application_name AS application,
            session.xact_start
        FROM pg_locks AS held
        INNER JOIN kpi_engine.derived_tables
            ON held.relation = to_regclass(format('kpi_engine.%I', derived_tables.table_name))
        CROSS JOIN LATERAL pg_stat_get_activity(held.pid) AS session
        WHERE held.granted AND held.pid <> pg_backend_pid()
    ) AS reader;
    RAISE WARNING 'teloo-analytics: % read the derived tables for over %; the rows that '
        'differ are written one by one', coalesce(v_readers, 'a prepared transaction, or a session that is gone,'),
        v_wait
        USING HINT = 'Nothing is lost. An open transaction also keeps dead rows on disk: end it, '
            'or SELECT pg_terminate_backend(pid);';
    PERFORM kpi_engine.merge_set();
END;
$publish_set$;

COMMENT ON FUNCTION kpi_engine.publish_set() IS
'Makes the complete sets of a rebuild the ones that are read; where somebody reads the views for '
'longer than 5 s, writes the differences into the active sets, with a warning that names him. '
'Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.publish_set() FROM public;
