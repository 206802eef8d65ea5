//! Reads an LMDB database, entry by entry, at any position in key order.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::super::{DataError, file::DataFile};
use super::page::{self, HEADER, Meta, NO_PAGE, OVERFLOW, Page, Value};

/// An open database: the main tree of a `data.mdb`.
///
/// Opens nothing for writing and takes no lock, so read-only folders and network file systems will do.
#[derive(Debug)]
pub struct Reader {
    file: DataFile,
    meta: Meta,
    index: Mutex<Index>,
}

/// The leaves found so far, in key order. LMDB does not count the entries under a branch, so a position is found only by
/// walking the leaves up to it; the walk is remembered, and goes only as far as it is needed.
#[derive(Debug)]
struct Index {
    /// Each leaf: the number of its first entry, and its page.
    leaves: Vec<(u64, u64)>,
    /// Entries in `leaves`.
    counted: u64,
    /// Pages still to visit, the next one last, with their heights: a leaf has 1.
    pending: Vec<(u64, u16)>,
}

/// A tree of this depth has more entries than there are atoms in a database.
const MAX_DEPTH: u16 = 32;

impl Reader {
    /// Opens the database at `path`: its folder, or the file itself.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = if path.is_dir() { path.join("data.mdb") } else { path.to_owned() };
        if !file.exists() && path.join("CURRENT").exists() {
            return Err(DataError::file(path, "this is a LevelDB database; say `backend: LEVELDB`"));
        }
        let file = DataFile::open(&file)?;
        let meta = read_meta(&file)?;
        let needed = (meta.last_page + 1).saturating_mul(meta.page_size as u64);
        if meta.root != NO_PAGE && needed > file.len() {
            let found = file.len();
            return Err(file.bad(format!("cut off: the database needs {needed} bytes, {found} found")));
        }
        if meta.depth > MAX_DEPTH {
            return Err(file.bad(format!("damaged: its tree is {} pages deep", meta.depth)));
        }
        let pending = if meta.root == NO_PAGE { Vec::new() } else { vec![(meta.root, meta.depth)] };
        let index = Mutex::new(Index { leaves: Vec::new(), counted: 0, pending });
        Ok(Self { file, meta, index })
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        usize::try_from(self.meta.entries).unwrap_or(usize::MAX)
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The key and the value of entry `index` in key order.
    pub fn get(&self, index: usize) -> Result<(Vec<u8>, Vec<u8>), DataError> {
        let (first, number) = self.leaf_of(index as u64)?;
        let page = self.page(number)?;
        let at = (index as u64 - first) as usize;
        if page.is_subtree(at) {
            return Err(self.file.bad("holds named databases; a set of samples is one plain database"));
        }
        let (key, value) = page.entry(at).ok_or_else(|| self.damaged(number, "a node is damaged"))?;
        let value = match value {
            Value::Here(bytes) => bytes.to_vec(),
            Value::Overflow { page, len } => self.overflow(page, len)?,
        };
        Ok((key.to_vec(), value))
    }

    fn overflow(&self, number: u64, len: usize) -> Result<Vec<u8>, DataError> {
        let mut bytes = self.file.read_vec(self.offset(number), HEADER + len)?;
        if page::u64_at(&bytes, 0) != Some(number) || page::u16_at(&bytes, 10) != Some(OVERFLOW) {
            return Err(self.damaged(number, "it is no overflow page"));
        }
        bytes.drain(..HEADER);
        Ok(bytes)
    }

    /// The leaf that holds entry `index`: the number of its first entry, and its page.
    fn leaf_of(&self, index: u64) -> Result<(u64, u64), DataError> {
        let mut known = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        while known.counted <= index {
            self.walk(&mut known)?;
        }
        let after = known.leaves.partition_point(|&(first, _)| first <= index);
        Ok(known.leaves[after - 1])
    }

    /// Visits the next page of the tree.
    fn walk(&self, index: &mut MutexGuard<'_, Index>) -> Result<(), DataError> {
        let Some((number, height)) = index.pending.pop() else {
            let (found, entries) = (index.counted, self.meta.entries);
            return Err(self.file.bad(format!("damaged: {found} entries found, {entries} expected")));
        };
        let page = self.page(number)?;
        if page.is_leaf != (height == 1) {
            return Err(self.damaged(number, "it is at the wrong height"));
        }
        if page.is_leaf {
            let first = index.counted;
            index.counted += page.len as u64;
            if page.len > 0 {
                index.leaves.push((first, number));
            }
        } else {
            for i in (0..page.len).rev() {
                let child = page.child(i).ok_or_else(|| self.damaged(number, "a node is damaged"))?;
                index.pending.push((child, height - 1));
            }
        }
        Ok(())
    }

    fn page(&self, number: u64) -> Result<Page, DataError> {
        if number > self.meta.last_page {
            return Err(self.damaged(number, "it lies behind the end"));
        }
        let bytes = self.file.read_vec(self.offset(number), self.meta.page_size)?;
        Page::parse(bytes, number).map_err(|problem| self.damaged(number, problem))
    }

    fn offset(&self, number: u64) -> u64 {
        number.saturating_mul(self.meta.page_size as u64)
    }

    fn damaged(&self, number: u64, problem: &str) -> DataError {
        self.file.bad(format!("damaged at page {number}: {problem}"))
    }
}

/// The newer of the two meta pages. Both must be whole, as the C library demands: an older one alone may well describe an
/// empty database.
fn read_meta(file: &DataFile) -> Result<Meta, DataError> {
    let at = |offset| Meta::parse(&file.read_vec(offset, Meta::SIZE).ok()?);
    let newest = at(0).and_then(|first| {
        let second = at(first.page_size as u64)?;
        Some(if second.transaction > first.transaction { second } else { first })
    });
    newest.ok_or_else(|| file.bad("not an LMDB database, or cut off in its first pages"))
}
