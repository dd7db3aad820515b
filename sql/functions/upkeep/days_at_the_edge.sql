-- The local days whose rows enter or leave a window when its last day moves.

CREATE OR REPLACE FUNCTION kpi_engine.days_at_the_edge(
    p_window_days integer[], p_today_before date, p_today date
)
RETURNS date[]
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $days_at_the_edge$
    SELECT ARRAY(
        SELECT p_today_before + entering.place
        FROM generate_series(1, p_today - p_today_before) AS entering (place)
        UNION
        -- A window of n days begins n - 1 days before its last one.
        SELECT p_today_before - length.days + leaving.place
        FROM unnest(p_window_days) AS length (days)
        CROSS JOIN generate_series(1, least(p_today - p_today_before, length.days))
            AS leaving (place)
    );
$days_at_the_edge$;

COMMENT ON FUNCTION kpi_engine.days_at_the_edge(integer[], date, date) IS
'Local days that enter or leave windows of these lengths when they end with p_today instead of the '
'earlier p_today_before. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.days_at_the_edge(integer[], date, date) FROM public;
