-- Writes the ledger row of a file.

CREATE FUNCTION pg_temp.release_record(p_name text, p_verb text, p_started_at timestamptz)
RETURNS void
LANGUAGE plpgsql
AS $release_record$
DECLARE
    v_label text;
    v_is_known boolean;
BEGIN
    v_is_known := EXISTS (
        SELECT FROM kpi_engine.migration_ledger AS ledger WHERE ledger.name = p_name
    );
    INSERT INTO kpi_engine.migration_ledger AS ledger
        (name, kind, version, file, checksum, text_checksum, duration_ms)
    SELECT
        release_files.name, release_files.kind, release_files.version, release_files.file,
        release_files.checksum, release_files.text_checksum,
        round(1000 * extract(EPOCH FROM clock_timestamp() - p_started_at)::numeric, 3)
    FROM pg_temp.release_files
    WHERE release_files.name = p_name
    ON CONFLICT (name) DO UPDATE SET
        kind = excluded.kind,
        file = excluded.file,
        checksum = excluded.checksum,
        text_checksum = excluded.text_checksum,
        duration_ms = coalesce(excluded.duration_ms, ledger.duration_ms),
        applied_by = excluded.applied_by,
        applied_at = excluded.applied_at;
    SELECT coalesce(nullif(release_files.file, ''), release_files.name) INTO v_label
    FROM pg_temp.release_files WHERE release_files.name = p_name;
    IF p_verb IS NOT NULL THEN
        INSERT INTO pg_temp.release_changes (change) VALUES (
            format('%s %s', CASE WHEN p_verb = 'applied' AND v_is_known THEN 'changed' ELSE p_verb END,
                v_label)
        );
    END IF;
END;
$release_record$;
