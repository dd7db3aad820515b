-- The local date of now, in the zone of the KPIs.

CREATE OR REPLACE FUNCTION analytics.today()
RETURNS date
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $today$
BEGIN
    -- PL/pgSQL keeps the plan: a refresh asks this often.
    RETURN (analytics.now() AT TIME ZONE analytics.setting('time_zone'))::date;
END;
$today$;

COMMENT ON FUNCTION analytics.today() IS
'The local date of analytics.now() in the zone of the setting time_zone.';

REVOKE ALL ON FUNCTION analytics.today() FROM public;
GRANT EXECUTE ON FUNCTION analytics.today() TO analytics_lector, analytics_operador;
