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
        -- A restore may have left the comments out.
        PERFORM pg_temp.release_note_text(p_name, (
            SELECT
                (
                    release_files.comment_starts <> '{}'
                    OR release_files.kind IN ('api view', 'source view')
                )
                AND NOT EXISTS (
                    SELECT FROM pg_description
                    WHERE
                        pg_description.objoid = to_regclass(pg_temp.release_quoted(p_name))
                        AND pg_description.classoid = 'pg_class'::regclass
                    UNION ALL
                    SELECT FROM pg_proc
                    INNER JOIN pg_namespace ON pg_namespace.oid = pg_proc.pronamespace
                    INNER JOIN pg_description
                        ON pg_description.objoid = pg_proc.oid
                        AND pg_description.classoid = 'pg_proc'::regclass
                    WHERE
                        pg_proc.proname = regexp_replace(p_name, '^.*\.', '')
                        AND format('%I.%I', pg_namespace.nspname, pg_proc.proname)
                        = pg_temp.release_quoted(p_name)
                )
            FROM pg_temp.release_files
            WHERE release_files.name = p_name
        ));
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
