-- At a site: notes which facts a transaction changed, for a hub.
--
-- Invariant: a hub that takes the keys of all versions after its own, or everything, has the facts
-- of this site. The caller holds the refresh lock, so versions come in the order of their commits.
-- While the setting hub_days is 0 nothing is noted, and a hub that comes back takes everything: the
-- version that it has is gone.

CREATE OR REPLACE FUNCTION kpi_engine.note_hub_changes(
    p_table_names text[], p_is_everything boolean
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_hub_changes$
DECLARE
    v_days constant integer := analytics.setting('hub_days')::integer;
    v_version bigint;
    v_table record;
BEGIN
    IF v_days = 0 THEN
        DELETE FROM kpi_engine.hub_versions;
        RETURN;
    END IF;
    -- The newest stays: a hub that has it needs nothing. No version goes before an older one: after a
    -- clock that went back, a hub would take what came before and after, and not what was between.
    DELETE FROM kpi_engine.hub_versions AS old
    WHERE
        old.version < (
            SELECT coalesce(
                min(kept.version) FILTER (
                    WHERE kept.noted_at >= clock_timestamp() - make_interval(days => v_days)
                ),
                max(kept.version)
            )
            FROM kpi_engine.hub_versions AS kept
        );
    IF NOT EXISTS (SELECT FROM kpi_engine.hub_versions) THEN
        -- Nothing to go by: what changed before was not noted.
        INSERT INTO kpi_engine.hub_versions (is_everything) VALUES (true);
        RETURN;
    END IF;
    FOR v_table IN
        SELECT derived_tables.table_name, derived_tables.key_columns[1] AS key_column
        FROM kpi_engine.derived_tables
        WHERE derived_tables.upkeep = 'key' AND derived_tables.table_name = ANY (p_table_names)
    LOOP
        IF v_version IS NULL THEN
            INSERT INTO kpi_engine.hub_versions (is_everything) VALUES (p_is_everything)
            RETURNING hub_versions.version INTO v_version;
        END IF;
        EXIT WHEN p_is_everything;
        EXECUTE format(
            'INSERT INTO kpi_engine.hub_changes (version, table_name, keys)
             SELECT $1, $2, array_agg(DISTINCT changed.%I) FROM kpi_engine.%I AS changed',
            v_table.key_column, 'changed_' || v_table.table_name
        ) USING v_version, v_table.table_name;
    END LOOP;
END;
$note_hub_changes$;

COMMENT ON FUNCTION kpi_engine.note_hub_changes(text[], boolean) IS
'Notes in kpi_engine.hub_versions and kpi_engine.hub_changes that these derived tables changed: '
'the keys in their work tables, or everything. Internal to the refresh, the rebuild and the audit.';

REVOKE ALL ON FUNCTION kpi_engine.note_hub_changes(text[], boolean) FROM public;
