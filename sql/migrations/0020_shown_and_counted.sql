-- Until when a view was shown that was taken away, and what its figures have.

ALTER TABLE kpi_engine.publications ADD COLUMN shown_until timestamptz;
COMMENT ON COLUMN kpi_engine.publications.shown_until IS
'Since when the view was gone or empty: from then on nobody saw this publish, or it is not known. '
'NULL: it was shown until the next publish, or is shown now.';

ALTER TABLE kpi_engine.view_state ADD COLUMN counted_until timestamptz;
COMMENT ON COLUMN kpi_engine.view_state.counted_until IS
'What all origins and sites had until then is in the figures of the last successful refresh; '
'-infinity: that is not known; NULL: there was none since this is noted.';
