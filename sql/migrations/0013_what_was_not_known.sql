-- Which partitions without triggers had rows, so that rows that left them are missed.

ALTER TABLE kpi_engine.engine_state ADD COLUMN parts_with_rows oid[];
COMMENT ON COLUMN kpi_engine.engine_state.parts_with_rows IS
'Partitions without triggers that had rows when changes of partitions were noted last. NULL: any '
'of them may have had rows.';

COMMENT ON COLUMN kpi_engine.restatements.requests_changed IS
'Changed requests that this refresh applied; NULL where it computed everything again, where it '
'published late what earlier ones had applied, or where make migrate built the view.';
