-- Names the rules by which the derived tables are computed.
--
-- Invariant: changes when a file that decides what is in a derived table changes, or when
-- the source is bound differently; so an upgrade of the rules leads to a rebuild by itself.

CREATE OR REPLACE FUNCTION analytics.rules_checksum()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rules_checksum$
    SELECT md5(string_agg(migration_ledger.checksum, ',' ORDER BY migration_ledger.name))
    FROM analytics.migration_ledger
    WHERE
        migration_ledger.kind = 'source view'
        OR migration_ledger.name LIKE 'views/recomputed\_%'
        OR migration_ledger.name IN (
            'functions/recomputed_solicitud_facts.sql',
            'functions/month_sums_query.sql',
            'functions/month_keys.sql',
            'functions/month_keys_query.sql',
            'functions/month_totals_query.sql',
            'functions/asesor_sums_query.sql',
            'functions/city_key.sql',
            'functions/local_date.sql',
            'functions/trim_white_space.sql'
        );
$rules_checksum$;

COMMENT ON FUNCTION analytics.rules_checksum() IS
'Checksum of the rules by which the derived tables are computed, and of the source binding.';

REVOKE ALL ON FUNCTION analytics.rules_checksum() FROM public;
