-- Whether an object has to be applied: new, changed, or gone; or it reads what was moved away.

CREATE FUNCTION pg_temp.release_is_pending(p_name text)
RETURNS boolean
LANGUAGE plpgsql
AS $release_is_pending$
DECLARE
    v_file record;
BEGIN
    SELECT * INTO STRICT v_file FROM pg_temp.release_files WHERE release_files.name = p_name;
    RETURN
        EXISTS (
            SELECT FROM pg_temp.release_aside WHERE release_aside.name = ANY (v_file.named)
        )
        OR EXISTS (SELECT FROM pg_temp.release_moved WHERE release_moved.name = p_name)
        OR NOT EXISTS (
            SELECT FROM kpi_engine.migration_ledger AS ledger
            WHERE
                ledger.name = p_name AND ledger.kind = v_file.kind
                AND ledger.checksum = v_file.checksum
        )
        OR CASE
            WHEN v_file.kind = 'function'
                THEN NOT EXISTS (SELECT FROM pg_temp.release_identities(p_name))
            ELSE pg_temp.release_relation_kind(p_name) IS NULL
        END
        OR (
            v_file.derived_table IS NOT NULL
            AND pg_temp.release_relation_kind('kpi_engine.' || v_file.derived_table) IS NULL
        )
        OR EXISTS (
            SELECT FROM unnest(v_file.index_names) AS index_name
            WHERE to_regclass(format('analytics.%I', index_name)) IS NULL
        );
END;
$release_is_pending$;
