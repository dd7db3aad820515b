-- Tells whether tables or views will be made, changed or dropped. False for a first installation.

CREATE FUNCTION pg_temp.release_changes_relations()
RETURNS boolean
LANGUAGE plpgsql
AS $release_changes_relations$
BEGIN
    IF to_regclass('kpi_engine.migration_ledger') IS NULL THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        SELECT
        FROM (
            SELECT release_files.name, release_files.kind, release_files.checksum
            FROM pg_temp.release_files
            WHERE release_files.kind IN ('migration', 'view', 'materialized view')
        ) AS wanted
        FULL JOIN (
            SELECT ledger.name, ledger.kind, ledger.checksum
            FROM kpi_engine.migration_ledger AS ledger
            WHERE ledger.kind IN ('migration', 'view', 'materialized view')
        ) AS known ON known.name = wanted.name
        WHERE (known.kind, known.checksum) IS DISTINCT FROM (wanted.kind, wanted.checksum)
    );
END;
$release_changes_relations$;
