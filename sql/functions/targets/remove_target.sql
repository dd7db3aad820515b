-- Removes the target of a KPI column that begins with a period.
--
-- Invariant: the target before it, if there is one, holds for its periods from now on. A target
-- whose view is gone can be removed, too.
-- SECURITY DEFINER: operators write nothing by themselves.

CREATE OR REPLACE FUNCTION analytics.remove_target(
    p_view_name text, p_column_name text, p_first_period date
)
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
SET search_path = pg_catalog, pg_temp
AS $remove_target$
BEGIN
    PERFORM kpi_engine.end_target_alerts(p_view_name, p_column_name, p_first_period);
    DELETE FROM kpi_engine.targets
    WHERE
        targets.view_name = p_view_name
        AND targets.column_name = p_column_name
        AND targets.first_period = p_first_period;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no target of column %.% from %',
            coalesce(p_view_name, 'NULL'), coalesce(p_column_name, 'NULL'),
            coalesce(p_first_period::text, 'NULL')
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM analytics.targets; lists them.';
    END IF;
END;
$remove_target$;

COMMENT ON FUNCTION analytics.remove_target(text, text, date) IS
'Removes the target of a column that begins with this period. The target before it holds from then '
'on. Alerts about its periods end. Error: P0002 if there is none.';

REVOKE ALL ON FUNCTION analytics.remove_target(text, text, date) FROM public;
GRANT EXECUTE ON FUNCTION analytics.remove_target(text, text, date) TO analytics_operador;
