-- Tells whether a setting is another one than before.
--
-- Invariant: a view that reads settings and was published under the same checksum shows them as
-- they are. A value that was set back counts as another one (xmin): meanwhile somebody may have
-- refreshed the view by hand.

CREATE OR REPLACE FUNCTION kpi_engine.settings_checksum()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $settings_checksum$
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN (
        SELECT md5(string_agg(
            concat(settings.name, '=', settings.value, ' ', settings.xmin), ',' ORDER BY settings.name COLLATE "C"
        ))
        FROM kpi_engine.settings
    );
END;
$settings_checksum$;

COMMENT ON FUNCTION kpi_engine.settings_checksum() IS
'Checksum of all settings and of when they were set. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.settings_checksum() FROM public;
