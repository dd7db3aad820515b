-- Tells whether a setting is another one than before.
--
-- Invariant: a view that reads settings and was published under the same checksum shows them as
-- they are.

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
            settings.name || '=' || settings.value, ',' ORDER BY settings.name COLLATE "C"
        ))
        FROM kpi_engine.settings
    );
END;
$settings_checksum$;

COMMENT ON FUNCTION kpi_engine.settings_checksum() IS
'Checksum of the values of all settings. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.settings_checksum() FROM public;
