-- Moves an object that can't be replaced out of the way, until nothing reads it.

CREATE FUNCTION pg_temp.release_set_aside(p_kind text, p_identity text, p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_set_aside$
BEGIN
    IF to_regnamespace('analytics_replaced') IS NULL THEN
        PERFORM pg_temp.release_make_schema('analytics_replaced');
    END IF;
    EXECUTE format('ALTER %s %s SET SCHEMA analytics_replaced', p_kind, p_identity);
    INSERT INTO pg_temp.release_aside (identity, name) VALUES (
        format('%s analytics_replaced.%s', p_kind, regexp_replace(p_identity, '^[^.]*\.', '')),
        p_name
    );
END;
$release_set_aside$;
