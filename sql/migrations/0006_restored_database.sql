-- A database that was restored from a dump goes on without computing everything again.

ALTER TABLE analytics.engine_state ADD COLUMN database_identity text;
COMMENT ON COLUMN analytics.engine_state.database_identity IS
'The database in which capture_signature was taken (analytics.database_identity()); NULL: not '
'known yet.';
