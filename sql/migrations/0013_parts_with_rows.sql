-- Which partitions without triggers had rows, so that rows that left them are missed.

ALTER TABLE kpi_engine.engine_state ADD COLUMN parts_with_rows oid[];
COMMENT ON COLUMN kpi_engine.engine_state.parts_with_rows IS
'Partitions without triggers that had rows when changes of partitions were noted last. NULL: any '
'of them may have had rows.';
