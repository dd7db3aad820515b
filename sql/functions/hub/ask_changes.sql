-- At a hub: asks a site for all that changed after the version that the mirror has.
--
-- Invariant: it does not wait for the answers: one per table of facts, in the order of
-- kpi_engine.mirrored_tables(). The transaction at the site ends with the last of them: its
-- vacuum does not wait for the hub.
-- An answer may wait at the site until the hub has time to read it: that is no hang.

CREATE OR REPLACE FUNCTION kpi_engine.ask_changes(p_site text)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $ask_changes$
    SELECT kpi_engine.send_to_site(p_site, format(
        'SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = %L; %s; COMMIT',
        analytics.setting('hub_timeout_seconds') || 's',
        string_agg(
            format(
                'SELECT changed.key, %1$s
                 FROM kpi_engine.hub_keys(%2$L, %3$L) AS changed (key)
                 LEFT JOIN kpi_engine.%4$I AS facts ON facts.%5$I = changed.key',
                mirrored.remote_columns, mirrored.table_name, hub_sites.version,
                mirrored.table_name, mirrored.key_column
            ),
            '; ' ORDER BY mirrored.table_name
        )
    ))
    FROM kpi_engine.hub_sites
    CROSS JOIN kpi_engine.mirrored_tables() AS mirrored
    WHERE hub_sites.site = p_site
    GROUP BY hub_sites.site;
$ask_changes$;

COMMENT ON FUNCTION kpi_engine.ask_changes(text) IS
'Sends the questions whose answers kpi_engine.pull_changes() reads. Error 08006 if the connection '
'is lost. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.ask_changes(text) FROM public;
