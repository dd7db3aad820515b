-- Applies objects in their order: those that need no source, or those that do.

CREATE FUNCTION pg_temp.release_apply_all(p_needs_source boolean, p_kinds text[])
RETURNS void
LANGUAGE plpgsql
AS $release_apply_all$
DECLARE
    v_name text;
    v_kind text;
BEGIN
    FOR v_name, v_kind IN
        SELECT release_files.name, release_files.kind FROM pg_temp.release_files
        WHERE
            release_files.kind = ANY (p_kinds)
            AND release_files.needs_source = p_needs_source
        ORDER BY release_files.place
    LOOP
        IF EXISTS (
            SELECT FROM pg_temp.release_waiting
            INNER JOIN pg_temp.release_files ON release_files.name = v_name
            WHERE release_waiting.name = ANY (release_files.needs)
        ) THEN
            -- It reads what was built aside: a plain view follows that to its place at the end.
            IF v_kind = 'view' THEN
                INSERT INTO pg_temp.release_waiting (name, is_staged) VALUES (v_name, false);
                CONTINUE;
            END IF;
            PERFORM pg_temp.release_swap();
        END IF;
        PERFORM pg_temp.release_apply(v_name);
    END LOOP;
END;
$release_apply_all$;
