-- Runs a text; an error names the file.

CREATE FUNCTION pg_temp.release_execute(p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_execute$
DECLARE
    v_file record;
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
BEGIN
    SELECT * INTO STRICT v_file FROM pg_temp.release_files WHERE release_files.name = p_name;
    EXECUTE v_file.contents;
EXCEPTION
    -- CREATE OR REPLACE can't replace it: the caller moves the old object away.
    WHEN invalid_function_definition OR invalid_table_definition OR wrong_object_type THEN
        RAISE;
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
            v_hint = PG_EXCEPTION_HINT;
        RAISE EXCEPTION '% failed; nothing was changed: %',
            coalesce(nullif(v_file.file, ''), v_file.name), v_message
            USING ERRCODE = v_state, DETAIL = v_detail, HINT = v_hint;
END;
$release_execute$;
