//! Reads a LevelDB database, entry by entry, at any position in key order.

use std::path::{Path, PathBuf};

use super::{
    super::{DataError, file::DataFile},
    log,
    table::Table,
    version::Version,
    wire::Cursor,
};

/// An open database. Nothing in its folder is changed.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    tables: Vec<Table>,
    /// Keys and values that stand only in the log.
    pub(super) logged: Vec<(Vec<u8>, Vec<u8>)>,
    /// The live entries in key order.
    entries: Vec<Place>,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Table { table: u32, block: u32, entry: u32 },
    Log(u32),
}

/// An entry while the database is opened.
struct Found {
    key: Vec<u8>,
    /// The number of its write, and whether it puts or deletes.
    tag: u64,
    place: Place,
}

impl Found {
    const PUT: u64 = 1;
    const KINDS: u64 = 0xff;

    fn is_put(&self) -> bool {
        self.tag & Self::KINDS == Self::PUT
    }
}

impl Reader {
    /// Opens the database in `folder` and reads it once, to find its entries.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let version = Version::read(folder)?;
        let mut reader =
            Self { folder: folder.to_owned(), tables: Vec::new(), logged: Vec::new(), entries: Vec::new() };
        let mut found = Vec::new();
        for (&number, &len) in &version.tables {
            reader.tables.push(Table::open(folder, number, len)?);
        }
        for (i, table) in reader.tables.iter().enumerate() {
            scan(i as u32, table, &mut found)?;
        }
        for path in version.logs(folder)? {
            reader.replay(&DataFile::open(&path)?, &mut found)?;
        }
        // The newest write of a key comes first, and it alone counts.
        found.sort_by(|a, b| a.key.cmp(&b.key).then(b.tag.cmp(&a.tag)));
        found.dedup_by(|later, first| later.key == first.key);
        for path in version.strangers(folder)? {
            // What a crash has left is half a table, or nothing new.
            let Ok(table) = Table::stray(&path) else { continue };
            if has_news(&table, &found).unwrap_or(false) {
                return Err(DataError::file(
                    &path,
                    "holds newer entries, but the manifest does not name it: it is cut off",
                ));
            }
        }
        reader.entries = found.iter().filter(|f| f.is_put()).map(|f| f.place).collect();
        Ok(reader)
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The database's folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The key and the value of entry `index` in key order.
    pub fn get(&self, index: usize) -> Result<(Vec<u8>, Vec<u8>), DataError> {
        match self.entries[index] {
            Place::Log(at) => Ok(self.logged[at as usize].clone()),
            Place::Table { table, block, entry } => {
                let table = &self.tables[table as usize];
                let mut at = 0;
                let mut found = None;
                table.visit(block as usize, |key, value| {
                    if at == entry {
                        found = user_key(key).map(|(key, _)| (key.to_vec(), value.to_vec()));
                    }
                    at += 1;
                    at <= entry
                })?;
                found.ok_or_else(|| DataError::file(table.path(), "changed while it was read"))
            }
        }
    }

    /// Takes over the writes of a log.
    fn replay(&mut self, file: &DataFile, found: &mut Vec<Found>) -> Result<(), DataError> {
        for record in log::records(file)? {
            self.batch(&record, found).ok_or_else(|| file.bad("damaged: a batch of writes is cut off"))?;
        }
        Ok(())
    }

    /// A batch: the number of its first write u64, their count u32, then type, key and, of a put, value of each.
    fn batch(&mut self, record: &[u8], found: &mut Vec<Found>) -> Option<()> {
        let mut rest = Cursor(record);
        let first = rest.u64()?;
        for i in 0..rest.u32()? {
            let kind = u64::from(*rest.take(1)?.first()?);
            let key = rest.bytes()?.to_vec();
            let place = Place::Log(u32::try_from(self.logged.len()).ok()?);
            if kind == Found::PUT {
                self.logged.push((key.clone(), rest.bytes()?.to_vec()));
            }
            found.push(Found { key, tag: (first + u64::from(i)) << 8 | kind, place });
        }
        Some(())
    }
}

/// Whether a table has entries that are newer than those of a database, which are in the order of their keys.
fn has_news(table: &Table, known: &[Found]) -> Result<bool, DataError> {
    let mut news = false;
    for block in 0..table.blocks() {
        table.visit(block, |key, _| {
            let Some((key, tag)) = user_key(key) else { return true };
            let at = known.binary_search_by(|found| found.key[..].cmp(key));
            news = at.map_or(true, |at| known[at].tag < tag);
            !news
        })?;
        if news {
            break;
        }
    }
    Ok(news)
}

fn scan(number: u32, table: &Table, found: &mut Vec<Found>) -> Result<(), DataError> {
    for block in 0..table.blocks() {
        let mut entry = 0;
        let mut whole = true;
        table.visit(block, |key, _| {
            match user_key(key) {
                Some((key, tag)) => {
                    let place = Place::Table { table: number, block: block as u32, entry };
                    found.push(Found { key: key.to_vec(), tag, place });
                }
                None => whole = false,
            }
            entry += 1;
            whole
        })?;
        if !whole {
            return Err(DataError::file(table.path(), "damaged: a key is too short"));
        }
    }
    Ok(())
}

/// Splits the eight bytes of the tag from an internal key.
fn user_key(key: &[u8]) -> Option<(&[u8], u64)> {
    let (key, tag) = key.split_last_chunk::<8>()?;
    Some((key, u64::from_le_bytes(*tag)))
}
