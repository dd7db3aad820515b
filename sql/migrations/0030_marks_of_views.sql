-- A view that a refresh leaves as it was goes on to lack what its figures lacked before.

ALTER TABLE kpi_engine.partial_spans ADD COLUMN ended_by_refresh boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN kpi_engine.partial_spans.ended_by_refresh IS
'Whether a refresh ended it: the facts have more than a view that was not published then. A tick '
'ends what all views have.';
