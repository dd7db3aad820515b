-- DELETE /materialized-views/notes: removes a note.

CREATE OR REPLACE FUNCTION api.remove_note(id text DEFAULT NULL)
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
AS $remove_note$
DECLARE
    v_id constant integer := kpi_engine.integer_parameter('id', id, 1, 999999999, NULL);
BEGIN
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    PERFORM analytics.remove_note(v_id);
    RETURN json_build_object(
        'success', true, 'message', format('note %s is removed', v_id), 'id', v_id);
EXCEPTION
    WHEN no_data_found THEN
        PERFORM kpi_engine.raise_http_error(
            404, format('there is no note %s', v_id), NULL,
            'GET /materialized-views/notes lists them.');
        RETURN NULL;
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('remove_note', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$remove_note$;

COMMENT ON FUNCTION api.remove_note(text) IS
'Removes a note by its id, as GET /materialized-views/notes has it. Error: status 404 if there is '
'none.';

REVOKE ALL ON FUNCTION api.remove_note(text) FROM public;
GRANT EXECUTE ON FUNCTION api.remove_note(text) TO analytics_operador;
