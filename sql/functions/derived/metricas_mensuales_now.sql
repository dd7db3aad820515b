-- The monthly KPIs at this moment.
--
-- SECURITY DEFINER: readers get sums, never a source table.

CREATE OR REPLACE FUNCTION analytics.metricas_mensuales_now()
RETURNS SETOF analytics.mv_metricas_mensuales
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $metricas_mensuales_now$
BEGIN
    RETURN QUERY SELECT * FROM analytics.rows_now(NULL::analytics.mv_metricas_mensuales);
END;
$metricas_mensuales_now$;

COMMENT ON FUNCTION analytics.metricas_mensuales_now() IS
'Rows of mv_metricas_mensuales as they would be after a refresh at this moment: for '
'v_metricas_mensuales_tiempo_real. The cost follows what changed since the last refresh.';

REVOKE ALL ON FUNCTION analytics.metricas_mensuales_now() FROM public;
GRANT EXECUTE ON FUNCTION analytics.metricas_mensuales_now()
TO analytics_lector, analytics_operador;
