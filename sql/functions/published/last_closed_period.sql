-- Finds the last period that closed already, among those of a grain.

CREATE OR REPLACE FUNCTION kpi_engine.last_closed_period(p_grain text)
RETURNS date
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $last_closed_period$
BEGIN
    -- PL/pgSQL keeps the plan: each publish asks this.
    RETURN (
        date_trunc(
            p_grain, (analytics.today() - analytics.setting('closing_days')::integer)::timestamp)
        - ('1 ' || p_grain)::interval
    )::date;
END;
$last_closed_period$;

COMMENT ON FUNCTION kpi_engine.last_closed_period(text) IS
'First day of the last period that is closed today, by the setting closing_days. p_grain is day, '
'week or month. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.last_closed_period(text) FROM public;
