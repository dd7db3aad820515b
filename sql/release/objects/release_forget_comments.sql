-- Takes the comments of an object away: its file says again what it still says.

CREATE FUNCTION pg_temp.release_forget_comments(p_name text, p_kind text)
RETURNS void
LANGUAGE plpgsql
AS $release_forget_comments$
DECLARE
    v_statement text;
BEGIN
    FOREACH v_statement IN ARRAY ARRAY(
        SELECT format('COMMENT ON ROUTINE %s IS NULL', found.identity)
        FROM pg_temp.release_identities(p_name) AS found
        WHERE p_kind = 'function'
        UNION ALL
        SELECT format(
            'COMMENT ON %s %s IS NULL',
            pg_temp.release_relation_kind(p_name), pg_temp.release_quoted(p_name)
        )
        WHERE p_kind <> 'function'
        UNION ALL
        SELECT format(
            'COMMENT ON COLUMN %s.%I IS NULL',
            pg_temp.release_quoted(p_name), pg_attribute.attname
        )
        FROM pg_attribute
        WHERE
            p_kind <> 'function'
            AND pg_attribute.attrelid = to_regclass(pg_temp.release_quoted(p_name))
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
            AND col_description(pg_attribute.attrelid, pg_attribute.attnum) IS NOT NULL
    )
    LOOP
        EXECUTE v_statement;
    END LOOP;
END;
$release_forget_comments$;
