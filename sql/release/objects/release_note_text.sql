-- Takes over what is no code: a reworded comment, a file that moved.

CREATE FUNCTION pg_temp.release_note_text(p_name text, p_anyway boolean)
RETURNS boolean
LANGUAGE plpgsql
AS $release_note_text$
DECLARE
    v_file record;
    v_known record;
    v_place integer;
BEGIN
    SELECT * INTO STRICT v_file FROM pg_temp.release_files WHERE release_files.name = p_name;
    SELECT * INTO STRICT v_known FROM kpi_engine.migration_ledger AS ledger
    WHERE ledger.name = p_name;
    IF NOT p_anyway AND v_known.text_checksum = v_file.text_checksum THEN
        IF v_known.file <> v_file.file THEN
            PERFORM pg_temp.release_record(p_name, NULL, NULL);
        END IF;
        RETURN false;
    END IF;
    IF v_file.kind <> 'migration' THEN
        PERFORM pg_temp.release_forget_comments(p_name, v_file.kind);
    END IF;
    -- What was written here: nobody has noted where its COMMENTs are. The code is the same.
    IF v_file.kind = 'api view' THEN
        PERFORM pg_temp.release_execute(p_name);
    ELSIF v_file.kind = 'source view' THEN
        EXECUTE substring(v_file.contents FROM $text$COMMENT ON [^']* IS '(?:[^']|'')*';$text$);
    END IF;
    PERFORM set_config('search_path', 'analytics, pg_catalog, pg_temp', true);
    FOR v_place IN 1 .. cardinality(v_file.comment_starts) LOOP
        BEGIN
            EXECUTE substr(
                v_file.contents, v_file.comment_starts[v_place], v_file.comment_lengths[v_place]
            );
        EXCEPTION
            -- A later migration may have taken it away.
            WHEN undefined_object OR undefined_table OR undefined_column OR undefined_function THEN
                IF v_file.kind <> 'migration' THEN
                    RAISE;
                END IF;
        END;
    END LOOP;
    IF v_file.derived_table IS NOT NULL THEN
        PERFORM kpi_engine.comment_derived_table(v_file.derived_table);
    END IF;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    PERFORM pg_temp.release_record(p_name, 'reworded', NULL);
    RETURN true;
END;
$release_note_text$;
