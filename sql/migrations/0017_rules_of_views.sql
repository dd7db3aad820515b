-- By which rules a KPI view was published, so that one that calls a changed rule is published anew.

ALTER TABLE kpi_engine.view_state ADD COLUMN rules_checksum text;
COMMENT ON COLUMN kpi_engine.view_state.rules_checksum IS
'Checksum of the code of the view and of all functions and views that it calls, as make migrate '
'read it off the files last.';
ALTER TABLE kpi_engine.view_state ADD COLUMN is_void boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN kpi_engine.view_state.is_void IS
'Whether the contents may follow other rules than those of now: the next refresh publishes the '
'view, whatever else changed.';
