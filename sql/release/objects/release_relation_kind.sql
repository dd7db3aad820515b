-- What kind of view there is under a name: MATERIALIZED VIEW, VIEW or NULL.

CREATE FUNCTION pg_temp.release_relation_kind(p_name text)
RETURNS text
LANGUAGE sql
AS $release_relation_kind$
    SELECT CASE pg_class.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END
    FROM pg_class
    WHERE
        pg_class.relnamespace = to_regnamespace(CASE
            WHEN p_name LIKE '%.%' THEN split_part(p_name, '.', 1) ELSE 'analytics'
        END)
        AND pg_class.relname = regexp_replace(p_name, '^.*\.', '')
$release_relation_kind$;
