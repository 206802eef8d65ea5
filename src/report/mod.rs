//! What people see: log lines, progress bars, tables and metrics files.
