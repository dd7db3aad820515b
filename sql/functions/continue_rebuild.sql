-- Does one step of a rebuild: a batch or, without one, the completion and the swap.
--
-- Invariant: each step is a transaction of its own. The caller, a procedure, holds the refresh
-- lock for its session; without it nothing is done. Readers of the real-time view are waited
-- for 50 ms at a time, and wait no longer themselves.
-- SECURITY DEFINER: operators do not own the derived tables.

CREATE OR REPLACE FUNCTION analytics.continue_rebuild(p_batch integer DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
AS $continue_rebuild$
DECLARE
    v_suffix text;
    v_today constant date := analytics.today();
    v_deadline timestamptz;
BEGIN
    PERFORM analytics.require_refresh_lock();
    IF p_batch IS NOT NULL THEN
        RETURN analytics.run_rebuild_batch(p_batch);
    END IF;
    v_suffix := analytics.inactive_set();
    PERFORM analytics.complete_rebuild(v_today);
    PERFORM analytics.finish_rebuild(v_today);
    PERFORM analytics.note_derived_change(
        ARRAY(SELECT derived_tables.table_name FROM analytics.derived_tables)
    );
    v_deadline := clock_timestamp() + interval '1 minute';
    PERFORM set_config('lock_timeout', '50ms', true);
    LOOP
        BEGIN
            PERFORM analytics.activate_set(v_suffix);
            EXIT;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF clock_timestamp() > v_deadline THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.2);
    END LOOP;
    RETURN 0;
END;
$continue_rebuild$;

COMMENT ON FUNCTION analytics.continue_rebuild(integer) IS
'Computes one batch of a rebuild and returns its requests; without a batch completes the rebuilt '
'set and makes it the one that is read. 55P03 when the facts are being read all the time. Internal '
'to analytics.rebuild().';

REVOKE ALL ON FUNCTION analytics.continue_rebuild(integer) FROM public;
GRANT EXECUTE ON FUNCTION analytics.continue_rebuild(integer)
TO analytics_operador, analytics_scheduler;
