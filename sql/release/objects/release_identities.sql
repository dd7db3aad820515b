-- The functions, procedures and aggregates of a name: identity and row version.

CREATE FUNCTION pg_temp.release_identities(p_name text)
RETURNS TABLE (identity text, row_version text)
LANGUAGE sql
AS $release_identities$
    SELECT
        format(
            '%I.%I(%s)', pg_namespace.nspname, pg_proc.proname,
            pg_get_function_identity_arguments(pg_proc.oid)
        ),
        pg_proc.xmin::text
    FROM pg_proc
    INNER JOIN pg_namespace ON pg_namespace.oid = pg_proc.pronamespace
    WHERE
        pg_namespace.nspname = CASE
            WHEN p_name LIKE '%.%' THEN split_part(p_name, '.', 1) ELSE 'analytics'
        END
        AND pg_proc.proname = regexp_replace(p_name, '^.*\.', '')
$release_identities$;
