-- Each minute: keeps the change log small on a busy day, and empties that of tables of other
-- services that no view reads any more.
--
-- Invariant: it takes nothing while a refresh does, and nobody waits for it. A small log stays for
-- the next refresh.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.tidy_change_log()
RETURNS void
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
AS $tidy_change_log$
BEGIN
    PERFORM kpi_engine.forget_outside_changes();
    -- The rows are counted, because the file keeps its size.
    IF NOT EXISTS (SELECT FROM kpi_engine.change_log OFFSET 10000)
        OR NOT kpi_engine.hold_change_log(false) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM analytics.source_problems(true) AS problems WHERE problems.is_fatal) THEN
        -- Offers can't be resolved to their requests in another table. Everything is computed again
        -- when the source is bound again.
        RETURN;
    END IF;
    PERFORM kpi_engine.compact_change_log();
END;
$tidy_change_log$;

COMMENT ON FUNCTION kpi_engine.tidy_change_log() IS
'Moves a change log of more than 10,000 rows into kpi_engine.pending_changes, each key once. '
'Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.tidy_change_log() FROM public;
