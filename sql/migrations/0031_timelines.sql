-- On which timeline of this server a subscription was seen last.

ALTER TABLE kpi_engine.subscription_marks ADD COLUMN timeline text;
COMMENT ON COLUMN kpi_engine.subscription_marks.timeline IS
'kpi_engine.timeline() when a tick or a refresh saw the subscription last. Another one of the same '
'server: it was promoted or recovered since. NULL: never noted.';

ALTER TABLE kpi_engine.feeding_marks ADD COLUMN timeline text;
COMMENT ON COLUMN kpi_engine.feeding_marks.timeline IS
'As in kpi_engine.subscription_marks.';

COMMENT ON COLUMN kpi_engine.incomplete_tables.reason IS
'emptied: by TRUNCATE of another than its worker; skipped: a transaction, by ALTER SUBSCRIPTION; '
'missed: an update found no row, in a table of this subscription; promoted: this server was '
'promoted or recovered, and the publisher sends nothing twice.';
