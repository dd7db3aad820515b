-- Applies one object, if it is pending.

CREATE FUNCTION pg_temp.release_apply(p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_apply$
DECLARE
    v_kind text;
    v_started_at constant timestamptz := clock_timestamp();
BEGIN
    IF NOT pg_temp.release_is_pending(p_name) THEN
        PERFORM pg_temp.release_note_text(p_name, false);
        RETURN;
    END IF;
    SELECT release_files.kind INTO STRICT v_kind FROM pg_temp.release_files
    WHERE release_files.name = p_name;
    IF v_kind = 'function' THEN
        PERFORM pg_temp.release_apply_function(p_name);
    ELSIF v_kind = 'materialized view' THEN
        PERFORM pg_temp.release_stage(p_name);
    ELSE
        PERFORM pg_temp.release_apply_view(p_name);
    END IF;
    PERFORM pg_temp.release_record(p_name, 'applied', v_started_at);
END;
$release_apply$;
