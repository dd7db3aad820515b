-- Until when a view was shown that was taken away.

ALTER TABLE kpi_engine.publications ADD COLUMN shown_until timestamptz;
COMMENT ON COLUMN kpi_engine.publications.shown_until IS
'Since when the view was gone or empty: from then on nobody saw this publish, or it is not known. '
'NULL: it was shown until the next publish, or is shown now.';
