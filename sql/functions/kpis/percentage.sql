-- 100 × part / whole with 2 decimals. Over nothing it is 0; an average is NULL then.

CREATE OR REPLACE FUNCTION kpi_engine.percentage(p_part numeric, p_whole numeric)
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN coalesce(kpi_engine.rounded_quotient(100 * p_part, p_whole), 0.00);

COMMENT ON FUNCTION kpi_engine.percentage(numeric, numeric) IS
'100 × p_part / p_whole with 2 decimals, half away from zero; 0 when p_whole is 0 or NULL.';

REVOKE ALL ON FUNCTION kpi_engine.percentage(numeric, numeric) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.percentage(numeric, numeric)
TO analytics_lector, analytics_operador;
