-- Adds a site to a hub: its address, and role and password for it.
--
-- Invariant: the password is only in the user mapping, which superusers alone can read.

CREATE OR REPLACE FUNCTION kpi_engine.add_hub_site(
    p_site text, p_options jsonb, p_user text, p_password text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $add_hub_site$
DECLARE
    v_server constant text := 'teloo_site_' || p_site;
    v_options text;
BEGIN
    PERFORM kpi_engine.dblink_schema();
    IF NOT kpi_engine.is_hub() THEN
        RAISE EXCEPTION 'this is not a hub: it has operational tables of its own'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Install a hub in a database of its own: make migrate HUB=1';
    END IF;
    INSERT INTO kpi_engine.hub_sites (site, server_name) VALUES (p_site, v_server);
    SELECT string_agg(format('%I %L', listed.key, listed.value), ', ' ORDER BY listed.key)
    INTO v_options
    FROM jsonb_each_text(
        '{"connect_timeout": "10", "application_name": "teloo-analytics hub", "keepalives_idle": "30"}'
        || p_options
    ) AS listed;
    EXECUTE format(
        'CREATE SERVER %I FOREIGN DATA WRAPPER dblink_fdw OPTIONS (%s)', v_server, v_options);
    EXECUTE format(
        'CREATE USER MAPPING FOR analytics_owner SERVER %I OPTIONS (user %L, password %L)',
        v_server, p_user, p_password);
    -- From now on the figures lack what it has.
    PERFORM kpi_engine.note_partial(false);
END;
$add_hub_site$;

COMMENT ON FUNCTION kpi_engine.add_hub_site(text, jsonb, text, text) IS
'Adds a site. p_options: options of libpq for its address (host, port, dbname, sslmode …). p_user '
'and p_password: a role there that is a member of analytics_hub. Errors: 55000 if this is no hub, '
'42704 without the extension dblink, 23514 for a wrong name. Internal to scripts/hub.py.';

REVOKE ALL ON FUNCTION kpi_engine.add_hub_site(text, jsonb, text, text) FROM public;
