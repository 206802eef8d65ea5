//! Writes an LMDB database in one pass: entries come in key order, so that each page is written once.
//!
//! The meta pages come last: until [`Writer::finish`] the file is no database, so an interrupted conversion is never
//! taken for a whole one.

use std::{
    fs::{self, File},
    io::{BufWriter, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::{
    super::{Access, DataError},
    page::{BIG, BRANCH, HEADER, LEAF, MAGIC, META, NO_PAGE, NODE, OVERFLOW, VERSION},
};

const PAGE: usize = 4096;
/// LMDB keeps at least two nodes on a page; larger ones move to overflow pages.
const MAX_NODE: usize = (((PAGE - HEADER) / 2) & !1) - 2;
/// The C library's limit.
const MAX_KEY: usize = 511;
/// The map size of a small database, the C library's default.
const MIN_MAP: u64 = 1 << 20;

/// A database being written.
pub struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    leaf: Nodes,
    /// The leaves written so far.
    leaves: Vec<Child>,
    /// The number of the next page.
    next_page: u64,
    overflow_pages: u64,
    entries: u64,
    last_key: Vec<u8>,
}

/// A page that is the child of a branch.
struct Child {
    first_key: Vec<u8>,
    page: u64,
}

impl Writer {
    /// Makes the folder `path` with an empty database; an existing one is an error.
    pub fn create(path: &Path) -> Result<Self, DataError> {
        fs::create_dir(path).map_err(DataError::io(Access::Create, path))?;
        let path = path.join("data.mdb");
        let mut file = File::create_new(&path).map_err(DataError::io(Access::Create, &path))?;
        file.seek(SeekFrom::Start(2 * PAGE as u64)).map_err(DataError::io(Access::Write, &path))?;
        Ok(Self {
            out: BufWriter::with_capacity(1 << 20, file),
            path,
            leaf: Nodes::new(),
            leaves: Vec::new(),
            next_page: 2,
            overflow_pages: 0,
            entries: 0,
            last_key: Vec::new(),
        })
    }

    /// Adds an entry; its key must be greater than the one before, byte by byte.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DataError> {
        let refuse =
            |problem: &str| Err(DataError::sample(&self.path, String::from_utf8_lossy(key), problem));
        if key.is_empty() || key.len() > MAX_KEY {
            return refuse("a key must have 1 to 511 bytes");
        }
        if self.entries > 0 && key <= &self.last_key[..] {
            return refuse("keys must come in ascending order");
        }
        let Ok(len) = u32::try_from(value.len()) else {
            return refuse("a value must be smaller than 4 GB");
        };
        let fits = NODE + key.len() + value.len() <= MAX_NODE;
        let (flags, bytes) =
            if fits { (0, value.to_vec()) } else { (BIG, self.overflow(value)?.to_le_bytes().to_vec()) };
        let head = u64::from(len) | u64::from(flags) << 32;
        if !self.leaf.has_room(key.len() + bytes.len()) {
            self.flush_leaf()?;
        }
        self.leaf.push(head, key, &bytes);
        self.entries += 1;
        key.clone_into(&mut self.last_key);
        Ok(())
    }

    /// Writes what is left, then the meta pages, and waits for the disk.
    pub fn finish(mut self) -> Result<(), DataError> {
        self.flush_leaf()?;
        let leaf_pages = self.leaves.len() as u64;
        let mut depth = u16::from(leaf_pages > 0);
        let mut branch_pages = 0;
        let mut level = std::mem::take(&mut self.leaves);
        while level.len() > 1 {
            level = self.write_branches(&level)?;
            branch_pages += level.len() as u64;
            depth += 1;
        }
        let mut main = Vec::with_capacity(48);
        main.extend(0u32.to_le_bytes());
        main.extend(0u16.to_le_bytes());
        main.extend(depth.to_le_bytes());
        let root = level.first().map_or(NO_PAGE, |child| child.page);
        for number in [branch_pages, leaf_pages, self.overflow_pages, self.entries, root] {
            main.extend(number.to_le_bytes());
        }
        self.write_metas(&main).map_err(DataError::io(Access::Write, &self.path))
    }

    fn write_metas(&mut self, main: &[u8]) -> std::io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        self.out.seek(SeekFrom::Start(0))?;
        let empty = [&[0; 40][..], &NO_PAGE.to_le_bytes()].concat();
        for (number, tree, transaction) in [(0u64, &empty[..], 0u64), (1, main, 1)] {
            let last_page = if number == 0 { 1 } else { self.next_page - 1 };
            self.out.write_all(&meta(number, tree, last_page, self.next_page, transaction))?;
        }
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }

    fn flush_leaf(&mut self) -> Result<(), DataError> {
        if self.leaf.is_empty() {
            return Ok(());
        }
        let leaf = std::mem::replace(&mut self.leaf, Nodes::new());
        let first_key = leaf.first_key.clone();
        let page = self.write_page(leaf, LEAF)?;
        self.leaves.push(Child { first_key, page });
        Ok(())
    }

    /// One level of branches over `children`. The last page never gets a single child: the C library wants two.
    fn write_branches(&mut self, children: &[Child]) -> Result<Vec<Child>, DataError> {
        let mut level = Vec::new();
        let mut nodes = Nodes::new();
        for (i, child) in children.iter().enumerate() {
            let is_last = i + 1 == children.len();
            // The child before the last starts a new page if the last would otherwise stand alone on one.
            let last_fits =
                |nodes: &Nodes| is_last || i + 2 != children.len() || nodes.has_both(child, &children[i + 1]);
            if nodes.len() >= 2 && !(nodes.has_room(child.first_key.len()) && last_fits(&nodes)) {
                let full = std::mem::replace(&mut nodes, Nodes::new());
                level.push(self.branch(full)?);
            }
            // The first key of a branch is never compared, so it is left out.
            let key = if nodes.is_empty() { &[][..] } else { &child.first_key };
            nodes.push(child.page, key, &[]);
            if nodes.len() == 1 {
                nodes.first_key.clone_from(&child.first_key);
            }
        }
        level.push(self.branch(nodes)?);
        Ok(level)
    }

    fn branch(&mut self, nodes: Nodes) -> Result<Child, DataError> {
        let first_key = nodes.first_key.clone();
        Ok(Child { first_key, page: self.write_page(nodes, BRANCH)? })
    }

    fn write_page(&mut self, nodes: Nodes, flags: u16) -> Result<u64, DataError> {
        let number = self.next_page;
        self.next_page += 1;
        let page = nodes.into_page(number, flags);
        self.out.write_all(&page).map_err(DataError::io(Access::Write, &self.path))?;
        Ok(number)
    }

    /// Writes a value to pages of its own and gives the first one's number.
    fn overflow(&mut self, value: &[u8]) -> Result<u64, DataError> {
        let pages = (HEADER + value.len()).div_ceil(PAGE);
        let mut header = page_header(self.next_page, OVERFLOW);
        header[12..16].copy_from_slice(&(pages as u32).to_le_bytes());
        let padding = pages * PAGE - HEADER - value.len();
        let mut write =
            |bytes: &[u8]| self.out.write_all(bytes).map_err(DataError::io(Access::Write, &self.path));
        write(&header)?;
        write(value)?;
        write(&[0; PAGE][..padding])?;
        let first = self.next_page;
        self.next_page += pages as u64;
        self.overflow_pages += pages as u64;
        Ok(first)
    }
}

/// The nodes of a page that is being filled.
struct Nodes {
    nodes: Vec<Vec<u8>>,
    /// Bytes of the nodes and their offsets.
    used: usize,
    first_key: Vec<u8>,
}

impl Nodes {
    fn new() -> Self {
        Self { nodes: Vec::new(), used: 0, first_key: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a node with so many bytes of key and value fits.
    fn has_room(&self, bytes: usize) -> bool {
        HEADER + self.used + cost(bytes) <= PAGE
    }

    fn has_both(&self, a: &Child, b: &Child) -> bool {
        HEADER + self.used + cost(a.first_key.len()) + cost(b.first_key.len()) <= PAGE
    }

    fn push(&mut self, head: u64, key: &[u8], value: &[u8]) {
        if self.is_empty() {
            key.clone_into(&mut self.first_key);
        }
        let mut node = Vec::with_capacity(NODE + key.len() + value.len() + 1);
        node.extend(&head.to_le_bytes()[..6]);
        node.extend((key.len() as u16).to_le_bytes());
        node.extend(key);
        node.extend(value);
        if !node.len().is_multiple_of(2) {
            node.push(0);
        }
        self.used += cost(key.len() + value.len());
        self.nodes.push(node);
    }

    /// Offsets grow from the header on, nodes from the end down.
    fn into_page(self, number: u64, flags: u16) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        let mut upper = PAGE;
        for (i, node) in self.nodes.iter().enumerate() {
            upper -= node.len();
            page[upper..upper + node.len()].copy_from_slice(node);
            page[HEADER + 2 * i..][..2].copy_from_slice(&(upper as u16).to_le_bytes());
        }
        let lower = HEADER + 2 * self.nodes.len();
        page[..HEADER].copy_from_slice(&page_header(number, flags));
        page[12..14].copy_from_slice(&(lower as u16).to_le_bytes());
        page[14..16].copy_from_slice(&(upper as u16).to_le_bytes());
        page
    }
}

/// Bytes that a node takes with its offset, at an even length.
fn cost(bytes: usize) -> usize {
    2 + (NODE + bytes).next_multiple_of(2)
}

fn page_header(number: u64, flags: u16) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&number.to_le_bytes());
    header[10..12].copy_from_slice(&flags.to_le_bytes());
    header
}

fn meta(number: u64, main: &[u8], last_page: u64, pages: u64, transaction: u64) -> Vec<u8> {
    /// The flag of LMDB's free tree: its keys are integers.
    const INTEGER_KEYS: u16 = 0x08;
    let map_size = (pages * PAGE as u64).max(MIN_MAP);
    let mut page = page_header(number, META).to_vec();
    page.extend(MAGIC.to_le_bytes());
    page.extend(VERSION.to_le_bytes());
    page.extend(0u64.to_le_bytes());
    page.extend(map_size.to_le_bytes());
    page.extend((PAGE as u32).to_le_bytes());
    page.extend(INTEGER_KEYS.to_le_bytes());
    page.extend([0; 2 + 4 * 8]);
    page.extend(NO_PAGE.to_le_bytes());
    page.extend(main);
    page.extend(last_page.to_le_bytes());
    page.extend(transaction.to_le_bytes());
    page.resize(PAGE, 0);
    page
}

#[cfg(test)]
mod tests {
    use super::{super::Reader, *};

    /// Entries of many sizes, around the limit between pages and overflow pages.
    fn entries(n: usize) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        (0..n).map(|i| {
            let key = format!("{i:08}{}", "x".repeat(i * 7 % 300));
            let len = [0, 1, 700, 1700, 2037, 2040, 4080, 4081, 9000][i % 9];
            (key.into_bytes(), vec![i as u8; len])
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for n in [0, 1, 2, 3, 50, 2000] {
            let path = folder.path().join(n.to_string());
            let mut writer = Writer::create(&path).unwrap();
            for (key, value) in entries(n) {
                writer.put(&key, &value).unwrap();
            }
            writer.finish().unwrap();
            let reader = Reader::open(&path).unwrap();
            assert_eq!(reader.len(), n);
            // Backwards first, so that a position is found without reading up to it in order.
            if n > 0 {
                assert_eq!(reader.get(n - 1).unwrap(), entries(n).last().unwrap());
            }
            for (i, entry) in entries(n).enumerate() {
                assert_eq!(reader.get(i).unwrap(), entry, "entry {i} of {n}");
            }
        }
    }

    #[test]
    fn keys_must_ascend_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut writer = Writer::create(&path).unwrap();
        writer.put(b"b", b"").unwrap();
        for (key, problem) in
            [(&b"b"[..], "ascending"), (b"a", "ascending"), (b"", "1 to 511"), (&[b'c'; 512], "1 to 511")]
        {
            let error = writer.put(key, b"").unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        drop(writer);
        let error = Reader::open(&path).unwrap_err().to_string();
        assert!(error.contains("not an LMDB database"), "an unfinished one is no database: {error}");
        assert!(Writer::create(&path).is_err());
    }

    #[test]
    fn any_damage_is_an_error_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut writer = Writer::create(&path).unwrap();
        for (key, value) in entries(60) {
            writer.put(&key, &value).unwrap();
        }
        writer.finish().unwrap();
        let whole = fs::read(path.join("data.mdb")).unwrap();
        let damaged = folder.path().join("damaged");
        let read_all = |bytes: &[u8]| -> Result<(), DataError> {
            fs::write(&damaged, bytes).unwrap();
            let reader = Reader::open(&damaged)?;
            // A damaged count may promise anything.
            (0..reader.len().min(100)).try_for_each(|i| reader.get(i).map(drop))
        };
        read_all(&whole).unwrap();
        for len in (0..whole.len()).step_by(4999) {
            assert!(read_all(&whole[..len]).is_err(), "cut to {len} bytes");
        }
        for step in 0..600 {
            let mut bytes = whole.clone();
            let at = step * 7919 % bytes.len();
            bytes[at] ^= 0xff;
            // Damage inside a value cannot be seen here; it must only not panic.
            let _ = read_all(&bytes);
        }
    }
}
