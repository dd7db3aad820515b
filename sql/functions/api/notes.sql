-- GET /materialized-views/notes: dated notes of operators, newest first.
--
-- Invariant: the ETag changes with the answer.

CREATE OR REPLACE FUNCTION api.notes(
    desde text DEFAULT NULL,
    hasta text DEFAULT NULL,
    view text DEFAULT NULL,
    limite text DEFAULT NULL
)
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $notes$
DECLARE
    v_from constant date := kpi_engine.day_parameter('from', desde);
    v_to constant date := kpi_engine.day_parameter('to', hasta);
    v_view constant text := view;
    v_limit constant integer := kpi_engine.integer_parameter('limit', limite, 1, 1000, 1000);
    v_hidden text[];
    v_answer json;
BEGIN
    v_hidden := kpi_engine.hidden_views();
    IF v_from > v_to THEN
        PERFORM kpi_engine.raise_bad_parameter('to', hasta, 'a day not before from');
    ELSIF NOT EXISTS (
        -- Those of a view that is gone can be read, too.
        SELECT FROM kpi_engine.notes
        WHERE notes.view_name = v_view AND notes.view_name <> ALL (v_hidden)
    ) THEN
        PERFORM kpi_engine.choice_parameter('view', v_view, VARIADIC ARRAY(
            SELECT kpi.view_name
            FROM kpi_engine.kpi_views() AS kpi
            WHERE kpi.view_name <> ALL (v_hidden)
        ));
    END IF;
    SELECT json_agg(shown)
    INTO v_answer
    FROM (
        SELECT
            notes.note_id AS id,
            notes.day,
            notes.note AS text,
            notes.view_name AS view,
            notes.author,
            kpi_engine.iso_instant(notes.written_at) AS written_at
        FROM kpi_engine.notes
        WHERE
            (v_from IS NULL OR notes.day >= v_from)
            AND (v_to IS NULL OR notes.day <= v_to)
            AND (v_view IS NULL OR notes.view_name IS NULL OR notes.view_name = v_view)
            AND (notes.view_name IS NULL OR notes.view_name <> ALL (v_hidden))
        ORDER BY notes.day DESC, notes.note_id DESC
        LIMIT v_limit
    ) AS shown;
    PERFORM kpi_engine.begin_reading_all('notes-' || md5(coalesce(v_answer::text, '')));
    IF kpi_engine.csv_is_wanted() THEN
        PERFORM set_config(
            'analytics.answer_columns',
            '["id", "day", "text", "view", "author", "written_at"]',
            true);
    END IF;
    RETURN coalesce(v_answer, '[]');
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('notes', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$notes$;

COMMENT ON FUNCTION api.notes(text, text, text, text) IS
'Dated notes of operators, newest day first. from and to: days as YYYY-MM-DD, both included. view: '
'only notes about this view and about all of them. limit: 1 to 1000, default 1000. The text is '
'plain text: escape it where you show it.';

REVOKE ALL ON FUNCTION api.notes(text, text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.notes(text, text, text, text)
TO analytics_lector, analytics_operador;
