-- DELETE /materialized-views/targets: removes the target of a KPI column.

CREATE OR REPLACE FUNCTION api.remove_target(
    view text DEFAULT NULL,
    columna text DEFAULT NULL,
    desde text DEFAULT NULL
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
AS $remove_target$
DECLARE
    v_from constant date := kpi_engine.period_parameter('from', desde);
BEGIN
    IF coalesce(view, '') = '' THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'view', nullif(view, ''), 'the view of a target');
    ELSIF coalesce(columna, '') = '' THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'column', nullif(columna, ''), 'the column of a target');
    ELSIF v_from IS NULL THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'from', NULL, 'the period with which a target begins, as YYYY-MM or YYYY-MM-DD');
    END IF;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    PERFORM analytics.remove_target(view, columna, v_from);
    RETURN json_build_object(
        'success', true,
        'message', format(
            'the target of %s.%s from %s on is removed', view, columna, v_from),
        'view', view,
        'column', columna,
        'from', v_from
    );
EXCEPTION
    WHEN no_data_found THEN
        PERFORM kpi_engine.raise_http_error(
            404,
            'there is no target of this view and column that begins with this period',
            NULL,
            'GET /materialized-views/targets lists them.'
        );
        RETURN NULL;
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('remove_target', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$remove_target$;

COMMENT ON FUNCTION api.remove_target(text, text, text) IS
'Removes the target of a column that begins with this period. The target before it holds from then '
'on. Error: status 404 if there is none.';

REVOKE ALL ON FUNCTION api.remove_target(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.remove_target(text, text, text) TO analytics_operador;
