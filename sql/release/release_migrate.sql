-- Runs the migrations that were not run, and adds the settings that are not there.

CREATE FUNCTION pg_temp.release_migrate()
RETURNS void
LANGUAGE plpgsql
AS $release_migrate$
DECLARE
    v_name text;
    v_text_checksum text;
    v_started_at timestamptz;
    -- A restore may have left the comments out.
    v_is_reworded boolean := obj_description('kpi_engine'::regnamespace, 'pg_namespace') IS NULL;
    v_is_applied boolean;
    v_is_validated boolean;
    v_missing text[];
BEGIN
    FOR v_name, v_text_checksum IN
        SELECT release_files.name, release_files.text_checksum FROM pg_temp.release_files
        WHERE release_files.kind = 'migration'
        ORDER BY release_files.version
    LOOP
        v_is_applied := false;
        IF to_regclass('kpi_engine.migration_ledger') IS NOT NULL THEN
            v_is_applied := EXISTS (
                SELECT FROM kpi_engine.migration_ledger AS ledger WHERE ledger.name = v_name
            );
        END IF;
        IF NOT v_is_applied THEN
            v_started_at := clock_timestamp();
            PERFORM pg_temp.release_execute(v_name);
            PERFORM pg_temp.release_record(v_name, 'applied', v_started_at);
        ELSE
            -- A later one may have given the same thing another comment.
            v_is_reworded := pg_temp.release_note_text(v_name, v_is_reworded) OR v_is_reworded;
        END IF;
    END LOOP;

    v_missing := ARRAY(
        SELECT defaults.name
        FROM kpi_engine.setting_defaults() AS defaults (name, value, description)
        WHERE defaults.name NOT IN (SELECT settings.name FROM kpi_engine.settings)
    );
    IF v_missing <> '{}' THEN
        -- The validation of an earlier version does not know a new setting.
        v_is_validated := EXISTS (
            SELECT FROM pg_trigger
            WHERE
                pg_trigger.tgname = 'validate_setting'
                AND pg_trigger.tgrelid = 'kpi_engine.settings'::regclass
        );
        IF v_is_validated THEN
            ALTER TABLE kpi_engine.settings DISABLE TRIGGER validate_setting;
        END IF;
        INSERT INTO kpi_engine.settings (name, value, description)
        SELECT defaults.name, defaults.value, defaults.description
        FROM kpi_engine.setting_defaults() AS defaults (name, value, description)
        ON CONFLICT (name) DO NOTHING;
        IF v_is_validated THEN
            ALTER TABLE kpi_engine.settings ENABLE TRIGGER validate_setting;
        END IF;
        INSERT INTO pg_temp.release_changes (change)
        VALUES (format('added %s setting(s)', cardinality(v_missing)));
    END IF;

    DELETE FROM kpi_engine.derived_rules AS known
    WHERE NOT EXISTS (
        SELECT FROM pg_temp.release_rules AS wanted
        WHERE wanted.table_name = known.table_name AND wanted.rule_name = known.rule_name
    );
    INSERT INTO kpi_engine.derived_rules (table_name, rule_name)
    SELECT wanted.table_name, wanted.rule_name FROM pg_temp.release_rules AS wanted
    ON CONFLICT DO NOTHING;

    UPDATE kpi_engine.installation SET facts_version = release_run.facts_version
    FROM pg_temp.release_run
    WHERE installation.facts_version IS DISTINCT FROM release_run.facts_version;
    IF FOUND THEN
        INSERT INTO pg_temp.release_changes (change) VALUES ('noted the rules of the facts');
    END IF;
END;
$release_migrate$;
