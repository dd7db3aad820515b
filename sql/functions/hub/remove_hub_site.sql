-- Takes a site away from a hub, with its rows.
--
-- Invariant: the next refresh takes its figures out.

CREATE OR REPLACE FUNCTION kpi_engine.remove_hub_site(p_site text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $remove_hub_site$
DECLARE
    v_table record;
BEGIN
    PERFORM kpi_engine.hold_refresh_lock();
    FOR v_table IN
        SELECT mirrored.mirror, mirrored.entity FROM kpi_engine.mirrored_tables() AS mirrored
    LOOP
        EXECUTE format(
            'WITH gone AS (DELETE FROM kpi_engine.%s AS known WHERE known.site = $1 RETURNING known.id)
             INSERT INTO kpi_engine.change_log (entity, key) SELECT $2, gone.id FROM gone',
            v_table.mirror
        ) USING p_site, v_table.entity;
    END LOOP;
    DELETE FROM kpi_engine.hub_sites WHERE hub_sites.site = p_site;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no site %', quote_nullable(p_site)
            USING ERRCODE = 'no_data_found', HINT = 'SELECT site FROM analytics.hub_sites;';
    END IF;
    -- Somebody may have dropped it by hand.
    EXECUTE format('DROP SERVER IF EXISTS %I CASCADE', 'teloo_site_' || p_site);
    PERFORM kpi_engine.note_partial(false);
END;
$remove_hub_site$;

COMMENT ON FUNCTION kpi_engine.remove_hub_site(text) IS
'Removes a site: its rows in the mirror, its server and its user mapping. Error P0002 if there is '
'no such site; 55P03 while a refresh runs. Internal to scripts/hub.py.';

REVOKE ALL ON FUNCTION kpi_engine.remove_hub_site(text) FROM public;
