-- Hub: what a site logs for it, and what a hub knows of its sites.

GRANT USAGE ON SCHEMA kpi_engine TO analytics_hub;

CREATE TABLE kpi_engine.hub_versions (
    version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mark uuid NOT NULL DEFAULT gen_random_uuid(),
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_everything boolean NOT NULL
);
COMMENT ON TABLE kpi_engine.hub_versions IS
'At a site: each transaction that changed facts, for a hub. Empty while the setting hub_days is 0.';
COMMENT ON COLUMN kpi_engine.hub_versions.version IS
'Order of the transactions: one at a time writes facts.';
COMMENT ON COLUMN kpi_engine.hub_versions.mark IS
'Tells this version from one of the same number in a restored or copied database.';
COMMENT ON COLUMN kpi_engine.hub_versions.noted_at IS 'When, by the wall clock.';
COMMENT ON COLUMN kpi_engine.hub_versions.is_everything IS
'The facts were computed again, or the keys are not known: a hub that has an earlier version takes '
'all rows.';


CREATE TABLE kpi_engine.hub_changes (
    version bigint NOT NULL REFERENCES kpi_engine.hub_versions ON DELETE CASCADE,
    table_name text NOT NULL,
    keys uuid[] NOT NULL,
    PRIMARY KEY (version, table_name)
);
COMMENT ON TABLE kpi_engine.hub_changes IS
'At a site: the keys of the facts that changed in a version.';
COMMENT ON COLUMN kpi_engine.hub_changes.version IS 'The version.';
COMMENT ON COLUMN kpi_engine.hub_changes.table_name IS 'Derived table, kept by key.';
COMMENT ON COLUMN kpi_engine.hub_changes.keys IS 'Keys of its rows that came, changed or went.';


CREATE TABLE kpi_engine.hub_sites (
    site text PRIMARY KEY CHECK (site ~ '^[a-z][a-z0-9_]{0,39}$'),
    server_name text NOT NULL UNIQUE,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'ok', 'away', 'refused', 'clash')),
    message text,
    version bigint,
    mark uuid,
    as_of timestamptz,
    taken_at timestamptz,
    tried_at timestamptz,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE kpi_engine.hub_sites IS 'At a hub: its sites, and how far it has taken each.';
COMMENT ON COLUMN kpi_engine.hub_sites.site IS 'Name of the site.';
COMMENT ON COLUMN kpi_engine.hub_sites.server_name IS
'Foreign server with the address; the user mapping of analytics_owner has role and password.';
COMMENT ON COLUMN kpi_engine.hub_sites.state IS
'How the last try ended. new: not tried yet; ok; away: no connection, or an error or a time limit '
'there; refused: its figures can''t be added to these; clash: a row of it is at another site, too.';
COMMENT ON COLUMN kpi_engine.hub_sites.message IS 'Why, if it is not ok.';
COMMENT ON COLUMN kpi_engine.hub_sites.version IS
'Version of the site (kpi_engine.hub_versions there) that the mirror shows; NULL before the first.';
COMMENT ON COLUMN kpi_engine.hub_sites.mark IS 'The mark of that version.';
COMMENT ON COLUMN kpi_engine.hub_sites.as_of IS
'Last successful refresh of the site that the mirror shows, by the clock of the site.';
COMMENT ON COLUMN kpi_engine.hub_sites.taken_at IS
'When rows, or the word that nothing changed, were last taken.';
COMMENT ON COLUMN kpi_engine.hub_sites.tried_at IS 'When it was last tried.';
COMMENT ON COLUMN kpi_engine.hub_sites.added_at IS 'When the site was added, by the wall clock.';
