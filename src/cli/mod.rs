//! The command line: one file per subcommand, whose doc comment is its help.
