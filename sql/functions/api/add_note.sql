-- POST /materialized-views/notes: writes a dated note.

CREATE OR REPLACE FUNCTION api.add_note(
    day text DEFAULT NULL,
    texto text DEFAULT NULL,
    view text DEFAULT NULL
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
AS $add_note$
DECLARE
    v_day constant date := kpi_engine.day_parameter('day', day);
    v_note_id bigint;
BEGIN
    PERFORM kpi_engine.raise_bad_parameter(wrong.parameter, wrong.given, wrong.right_values)
    FROM kpi_engine.wrong_note(v_day, texto, view) AS wrong;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    v_note_id := analytics.add_note(v_day, texto, view);
    RETURN (
        SELECT json_build_object(
            'success', true,
            'message', format('note %s is written', notes.note_id),
            'id', notes.note_id,
            'day', notes.day,
            'text', notes.note,
            'view', notes.view_name,
            'author', notes.author,
            'written_at', kpi_engine.iso_instant(notes.written_at)
        )
        FROM kpi_engine.notes
        WHERE notes.note_id = v_note_id
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('add_note', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$add_note$;

COMMENT ON FUNCTION api.add_note(text, text, text) IS
'Writes a note about a day (YYYY-MM-DD). text: 1 to 200 characters in one line, no control '
'characters; markup has no meaning. view: the KPI view that it is about; without it, it is about '
'all. The name of the caller and the instant are kept.';

REVOKE ALL ON FUNCTION api.add_note(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.add_note(text, text, text) TO analytics_operador;
