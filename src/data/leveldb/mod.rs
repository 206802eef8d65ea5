//! LevelDB databases: read without touching the folder, written through rusty-leveldb.
//!
//! Opening a LevelDB, as its libraries do it, locks the folder, replays its log into new tables and deletes old files. A set of
//! samples may stand on a read-only disk and be read by many jobs at once, so the reader here only reads. LevelDB
//! keeps no counts: finding entries by number needs one pass over the database when it is opened.

mod log;
mod reader;
mod table;
mod version;
mod wire;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
