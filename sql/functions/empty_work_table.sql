-- Empties a work table of the refresh.
--
-- Invariant: nobody but the one refresh that runs uses these tables. Small ones are emptied
-- by DELETE, which writes no catalog; large ones by TRUNCATE, which leaves no dead rows.

CREATE OR REPLACE FUNCTION analytics.empty_work_table(p_table_name text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $empty_work_table$
BEGIN
    IF pg_relation_size(format('analytics.%I', p_table_name)::regclass) > 262144 THEN
        EXECUTE format('TRUNCATE analytics.%I', p_table_name);
    ELSE
        EXECUTE format('DELETE FROM analytics.%I', p_table_name);
    END IF;
END;
$empty_work_table$;

COMMENT ON FUNCTION analytics.empty_work_table(text) IS
'Empties a work table in schema analytics. Internal to the refresh.';

REVOKE ALL ON FUNCTION analytics.empty_work_table(text) FROM public;
