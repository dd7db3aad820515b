-- The name of a relation of ours, for a statement.

CREATE FUNCTION pg_temp.release_quoted(p_name text)
RETURNS text
LANGUAGE sql
AS $release_quoted$
    SELECT format(
        '%I.%I',
        CASE WHEN p_name LIKE '%.%' THEN split_part(p_name, '.', 1) ELSE 'analytics' END,
        regexp_replace(p_name, '^.*\.', '')
    )
$release_quoted$;
