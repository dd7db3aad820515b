-- Names the rules by which the derived tables are computed.
--
-- Invariant: changes when the code of a file that decides what is in a derived table changes, or
-- when the source is bound differently; so an upgrade of the rules leads to a rebuild by itself.
-- migrate says in the ledger which files these are: by what refers to what.

CREATE OR REPLACE FUNCTION kpi_engine.rules_checksum()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rules_checksum$
    SELECT md5(string_agg(migration_ledger.checksum, ',' ORDER BY migration_ledger.name))
    FROM kpi_engine.migration_ledger
    WHERE migration_ledger.kind = 'source view' OR migration_ledger.is_rule;
$rules_checksum$;

COMMENT ON FUNCTION kpi_engine.rules_checksum() IS
'Checksum of the rules by which the derived tables are computed, and of the source binding.';

REVOKE ALL ON FUNCTION kpi_engine.rules_checksum() FROM public;
