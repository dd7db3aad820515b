-- What the API said of the figures of a moment: so that an answer of the past says it, too.

ALTER TABLE kpi_engine.publications ADD COLUMN confirmed_at timestamptz;
COMMENT ON COLUMN kpi_engine.publications.confirmed_at IS
'The last successful refresh before the view showed other figures; NULL: not known, or it is the '
'latest publish (then view_state.last_success_at says it).';

ALTER TABLE kpi_engine.publications ADD COLUMN outside_as_of timestamptz;
COMMENT ON COLUMN kpi_engine.publications.outside_as_of IS
'Until when the tables of other services behind the view were complete; NULL where it reads none.';

CREATE INDEX publications_by_instant ON kpi_engine.publications (view_name, published_at);

CREATE TABLE kpi_engine.partial_spans (
    origen text NOT NULL,
    is_site boolean NOT NULL,
    since timestamptz,
    noted_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE UNIQUE INDEX partial_spans_open ON kpi_engine.partial_spans (origen, is_site)
WHERE ended_at IS NULL;
-- Without a primary key, a publication of all tables would keep rows from being changed.
ALTER TABLE kpi_engine.partial_spans REPLICA IDENTITY FULL;
COMMENT ON TABLE kpi_engine.partial_spans IS
'When the figures lacked rows of an origin, a subscription or a site, as the header X-Partial said '
'it. A tick notes it within a minute, a refresh at once.';
COMMENT ON COLUMN kpi_engine.partial_spans.origen IS
'The origin, subscription or site, as in analytics.origins(), analytics.replication() or '
'analytics.hub_sites.';
COMMENT ON COLUMN kpi_engine.partial_spans.is_site IS 'Whether it is a site of a hub.';
COMMENT ON COLUMN kpi_engine.partial_spans.since IS
'At least until then its changes were in the figures; NULL: not known.';
COMMENT ON COLUMN kpi_engine.partial_spans.noted_at IS 'Since when this was so.';
COMMENT ON COLUMN kpi_engine.partial_spans.ended_at IS 'Until when it was so; NULL: it is so now.';

ALTER TABLE kpi_engine.publications ADD COLUMN time_zone text;
COMMENT ON COLUMN kpi_engine.publications.time_zone IS
'The zone of its days, weeks and months; NULL: not noted.';

ALTER TABLE kpi_engine.view_state ADD COLUMN time_zone text;
COMMENT ON COLUMN kpi_engine.view_state.time_zone IS
'The zone of the days, weeks and months of the last successful refresh; NULL: not noted.';

ALTER TABLE kpi_engine.closings ADD COLUMN noted_at timestamptz;
COMMENT ON COLUMN kpi_engine.closings.noted_at IS
'When it was noted; NULL: at closed_at. A closing that a clock in the future noted does not count.';
