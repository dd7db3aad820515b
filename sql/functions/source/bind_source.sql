-- Binds the src_ views to the operational tables that have the names of the contract now.
--
-- Invariant: the next refresh computes everything that is bound to other tables or columns than
-- before. Until then the published views stay. The ledger holds what make migrate would write.
-- SECURITY DEFINER: for the owner of the operational tables, as analytics.release_source().

CREATE OR REPLACE FUNCTION analytics.bind_source()
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $bind_source$
DECLARE
    v_moved text[];
BEGIN
    BEGIN
        v_moved := kpi_engine.bind_source_views();
    EXCEPTION WHEN invalid_table_definition THEN
        RAISE EXCEPTION 'the operational tables have columns of other types: %', SQLERRM
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'The views over the src_ views have to be created again too; nothing was changed.',
                  HINT = 'make migrate';
    END;
    UPDATE kpi_engine.migration_ledger SET
        checksum = encode(sha256(convert_to(definitions.definition, 'UTF8')), 'hex'),
        text_checksum = encode(sha256(convert_to(definitions.definition, 'UTF8')), 'hex'),
        applied_by = session_user,
        applied_at = clock_timestamp()
    FROM kpi_engine.source_definitions() AS definitions
    WHERE
        migration_ledger.kind = 'source view'
        AND migration_ledger.name = 'kpi_engine.' || definitions.view_name
        AND migration_ledger.checksum
        <> encode(sha256(convert_to(definitions.definition, 'UTF8')), 'hex');
    PERFORM kpi_engine.note_source_binding();
    PERFORM kpi_engine.require_source();
    RETURN v_moved;
END;
$bind_source$;

COMMENT ON FUNCTION analytics.bind_source() IS
'Binds the src_ views again to the tables and columns that have the names of the contract. '
'Returns the views that read something else before. The next refresh computes everything again. '
'Run CALL analytics.apply_change_capture(); after it. Errors: 42P01 lists what does not fit the '
'contract, 55000 if make migrate has to do it. For the owner of the operational tables, if '
'granted.';

REVOKE ALL ON FUNCTION analytics.bind_source() FROM public;
