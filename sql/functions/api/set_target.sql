-- POST /materialized-views/targets: sets the target of a KPI column.

CREATE OR REPLACE FUNCTION api.set_target(
    view text DEFAULT NULL,
    columna text DEFAULT NULL,
    desde text DEFAULT NULL,
    value text DEFAULT NULL,
    better text DEFAULT NULL
)
RETURNS json
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
AS $set_target$
DECLARE
    v_from constant date := kpi_engine.period_parameter('from', desde);
    v_value constant numeric := kpi_engine.number_parameter('value', value);
BEGIN
    PERFORM kpi_engine.raise_bad_parameter(wrong.parameter, wrong.given, wrong.right_values)
    FROM kpi_engine.wrong_target(view, columna, v_from, v_value, better) AS wrong;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    PERFORM analytics.set_target(view, columna, v_from, v_value, better);
    RETURN (
        SELECT json_build_object(
            'success', true,
            'message', format(
                'the target of %s.%s is %s or %s from %s on',
                target.view_name, target.column_name, target.value,
                CASE target.better WHEN 'up' THEN 'more' ELSE 'less' END, target.first_period
            ),
            'view', target.view_name,
            'column', target.column_name,
            'from', target.first_period,
            'value', target.value,
            'better', target.better,
            'set_by', target.set_by,
            'set_at', kpi_engine.iso_instant(target.set_at)
        )
        FROM kpi_engine.known_targets(set_target.view) AS target
        WHERE target.column_name = columna AND target.first_period = v_from
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('set_target', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$set_target$;

COMMENT ON FUNCTION api.set_target(text, text, text, text, text) IS
'Sets the target of a column of a KPI view, from a period on until the next target of the column. '
'from: YYYY-MM for months, else YYYY-MM-DD: the first day of a month, week or day of the view. '
'better: up (value or more is right) or down (value or less); it is needed where the catalogue has '
'no direction for the column, else leave it out. A target of the same period is replaced. The name '
'of the caller and the instant are kept.';

REVOKE ALL ON FUNCTION api.set_target(text, text, text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.set_target(text, text, text, text, text) TO analytics_operador;
