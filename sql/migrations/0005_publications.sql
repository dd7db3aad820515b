-- What was published: each publish of a view, and the rows that it changed.

CREATE TABLE kpi_engine.publications (
    view_name text NOT NULL,
    run_id bigint NOT NULL,
    data_version bigint NOT NULL,
    published_at timestamptz NOT NULL,
    calculated_at timestamptz,
    rows_shown bigint NOT NULL,
    rows_changed bigint NOT NULL,
    null_counts jsonb NOT NULL,
    keeps_rows boolean NOT NULL,
    PRIMARY KEY (view_name, run_id)
);
COMMENT ON TABLE kpi_engine.publications IS
'Each publish of a materialized view, in the order of run_id.';
COMMENT ON COLUMN kpi_engine.publications.view_name IS 'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.publications.run_id IS
'The refresh, as in analytics.refresh_log; a number of its own where make migrate built the view.';
COMMENT ON COLUMN kpi_engine.publications.data_version IS
'Data version that the view showed from then on.';
COMMENT ON COLUMN kpi_engine.publications.published_at IS
'When it was published (analytics.now()). A publish that a wrong clock put into the future counts '
'from the next one on.';
COMMENT ON COLUMN kpi_engine.publications.calculated_at IS
'The calculado_at of its rows; NULL where the view has no such column.';
COMMENT ON COLUMN kpi_engine.publications.rows_shown IS 'Rows of the view afterwards.';
COMMENT ON COLUMN kpi_engine.publications.rows_changed IS
'Rows that came, went or changed, calculado_at aside.';
COMMENT ON COLUMN kpi_engine.publications.null_counts IS
'How many rows have NULL, by column; columns without NULL are left out.';
COMMENT ON COLUMN kpi_engine.publications.keeps_rows IS
'Whether the history has its rows; false where the setting publication_history keeps none.';

CREATE TABLE kpi_engine.published_rows (
    view_name text NOT NULL,
    row_key jsonb NOT NULL,
    run_id bigint NOT NULL,
    period date,
    row_values text[]
);
-- Keys of rows (jsonb) have an index for views with a time alone: there single rows are looked up,
-- and few change. In the others, such as the ranking, nearly all rows change each day, and that
-- index took half of the time to write them.
CREATE UNIQUE INDEX published_rows_by_key ON kpi_engine.published_rows (view_name, row_key, run_id)
WHERE period IS NOT NULL;
CREATE INDEX published_rows_by_run ON kpi_engine.published_rows (view_name, run_id);
CREATE INDEX published_rows_by_period ON kpi_engine.published_rows (view_name, period)
WHERE period IS NOT NULL;
-- Without a primary key, a publication of all tables would keep rows from being deleted.
ALTER TABLE kpi_engine.published_rows REPLICA IDENTITY FULL;
COMMENT ON TABLE kpi_engine.published_rows IS
'The history of all KPI views: each row as it was published, once for each change. A row holds '
'from its run_id until the next run_id of the same key. Read it by analytics.as_reported().';
COMMENT ON COLUMN kpi_engine.published_rows.view_name IS 'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.published_rows.row_key IS
'Values of the view''s unique key, in the order of its columns.';
COMMENT ON COLUMN kpi_engine.published_rows.run_id IS 'The publish that changed the row.';
COMMENT ON COLUMN kpi_engine.published_rows.period IS
'The month, week or day of the row; NULL where the view has no time.';
COMMENT ON COLUMN kpi_engine.published_rows.row_values IS
'The row by column, as kpi_engine.published_layouts names them; NULL: the row was gone. '
'kpi_engine.reported_rows shows it as an object.';

CREATE TABLE kpi_engine.published_layouts (
    view_name text NOT NULL,
    run_id bigint NOT NULL,
    column_names text[] NOT NULL,
    column_kinds text[] NOT NULL,
    PRIMARY KEY (view_name, run_id)
);
COMMENT ON TABLE kpi_engine.published_layouts IS
'The columns that the rows of a view have in the history (kpi_engine.published_rows), from a '
'publish on until the next layout of that view.';
COMMENT ON COLUMN kpi_engine.published_layouts.view_name IS
'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.published_layouts.run_id IS 'The first publish with these columns.';
COMMENT ON COLUMN kpi_engine.published_layouts.column_names IS
'Columns of the view in its order, without calculado_at.';
COMMENT ON COLUMN kpi_engine.published_layouts.column_kinds IS
'How each value is kept: number, boolean and text as text; json as JSON.';

CREATE TABLE kpi_engine.published_hashes (
    view_name text NOT NULL,
    bucket integer NOT NULL,
    row_keys jsonb[] NOT NULL,
    row_hashes bigint[] NOT NULL,
    PRIMARY KEY (view_name, bucket)
)
-- Where all rows of a view change each day, the new versions find a place beside the old ones.
WITH (fillfactor = 45);
COMMENT ON TABLE kpi_engine.published_hashes IS
'One hash for each row that the views show, to find the rows that a publish changed.';
COMMENT ON COLUMN kpi_engine.published_hashes.view_name IS 'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.published_hashes.bucket IS
'0 to 255: where the rows of one hash of the key are kept together.';
COMMENT ON COLUMN kpi_engine.published_hashes.row_keys IS
'Keys of rows, as in kpi_engine.published_rows.';
COMMENT ON COLUMN kpi_engine.published_hashes.row_hashes IS
'For each of these the hash of its row_values and its layout.';

CREATE TABLE kpi_engine.closings (
    view_name text NOT NULL,
    period date NOT NULL,
    run_id bigint NOT NULL,
    closed_at timestamptz NOT NULL,
    reported_at timestamptz NOT NULL,
    PRIMARY KEY (view_name, period)
);
COMMENT ON TABLE kpi_engine.closings IS
'Closed periods of the views, and the publish whose figures are the reported ones.';
COMMENT ON COLUMN kpi_engine.closings.view_name IS 'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.closings.period IS 'First local day of the month, week or day.';
COMMENT ON COLUMN kpi_engine.closings.run_id IS
'The last publish up to closed_at; the first one of all where that is later.';
COMMENT ON COLUMN kpi_engine.closings.closed_at IS
'Local midnight, the setting closing_days after the end of the period.';
COMMENT ON COLUMN kpi_engine.closings.reported_at IS 'When that publish was.';

CREATE TABLE kpi_engine.restatements (
    restatement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    view_name text NOT NULL,
    period date NOT NULL,
    column_name text NOT NULL,
    row_key jsonb NOT NULL,
    reported numeric,
    previous numeric,
    current numeric,
    difference numeric,
    difference_pct numeric,
    reported_at timestamptz NOT NULL,
    since timestamptz NOT NULL,
    run_id bigint NOT NULL,
    requests_changed bigint
);
CREATE INDEX restatements_by_period ON kpi_engine.restatements (view_name, period);
CREATE INDEX restatements_by_instant ON kpi_engine.restatements (since);
COMMENT ON TABLE kpi_engine.restatements IS
'Each change of a figure of a closed period.';
COMMENT ON COLUMN kpi_engine.restatements.restatement_id IS 'Order of writing.';
COMMENT ON COLUMN kpi_engine.restatements.view_name IS 'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.restatements.period IS
'First local day of the month, week or day that was closed.';
COMMENT ON COLUMN kpi_engine.restatements.column_name IS 'The column that changed.';
COMMENT ON COLUMN kpi_engine.restatements.row_key IS
'Key of the row by column, such as {"mes": "2026-04-01", "nivel": 3}.';
COMMENT ON COLUMN kpi_engine.restatements.reported IS
'Figure at closing; NULL where there was none.';
COMMENT ON COLUMN kpi_engine.restatements.previous IS 'Figure just before this change.';
COMMENT ON COLUMN kpi_engine.restatements.current IS
'Figure since this change; NULL where there is none.';
COMMENT ON COLUMN kpi_engine.restatements.difference IS 'current − reported.';
COMMENT ON COLUMN kpi_engine.restatements.difference_pct IS
'100 × difference / |reported|, 2 decimals; NULL over 0 or none.';
COMMENT ON COLUMN kpi_engine.restatements.reported_at IS
'When the reported figure was published.';
COMMENT ON COLUMN kpi_engine.restatements.since IS 'When this change was published.';
COMMENT ON COLUMN kpi_engine.restatements.run_id IS
'The refresh that published it, as in analytics.refresh_log.';
COMMENT ON COLUMN kpi_engine.restatements.requests_changed IS
'Changed requests that this refresh applied; NULL where it computed everything again, or make '
'migrate built the view.';
