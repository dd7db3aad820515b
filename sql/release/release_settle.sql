-- Brings the rows and comments that follow from the objects up to date.

CREATE FUNCTION pg_temp.release_settle()
RETURNS void
LANGUAGE plpgsql
AS $release_settle$
BEGIN
    PERFORM kpi_engine.settle_objects(array_agg(views.key), array_agg(views.value))
    FROM jsonb_each_text(current_setting('teloo_release.rules_of_views')::jsonb) AS views;
    IF EXISTS (SELECT FROM pg_temp.release_changes) THEN
        -- Of what is generated, too, the code may be new.
        PERFORM kpi_engine.generate_statements();
    END IF;
    UPDATE kpi_engine.installation SET version = release_run.version
    FROM pg_temp.release_run
    WHERE installation.version IS DISTINCT FROM release_run.version;
    IF FOUND THEN
        INSERT INTO pg_temp.release_changes (change)
        SELECT 'version ' || release_run.version FROM pg_temp.release_run;
    END IF;
END;
$release_settle$;
